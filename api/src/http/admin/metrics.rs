//! `GET /metrics`: the metrics, for Prometheus.

use rocket::{Route, State, get, http::ContentType, routes};

use crate::{
    http::{buffered_response::BufferedResponse, error::ApiError},
    store::SharedStore,
    telemetry::metrics::{CONTENT_TYPE, SharedMetrics},
};

/// The route `/metrics`. It is not part of the interface for publishers and subscribers, and
/// therefore not in the OpenAPI document.
#[must_use]
pub fn routes() -> Vec<Route> {
    routes![metrics]
}

#[get("/metrics")]
fn metrics(
    metrics: &State<SharedMetrics>,
    store: &State<SharedStore>,
) -> Result<BufferedResponse, ApiError> {
    let connections = store.connections();
    metrics
        .redis
        .set_pool(connections.streaming, connections.streaming_in_use);
    let text = metrics.text().map_err(|error| {
        tracing::error!(%error, "the broker could not write the metrics");
        ApiError::internal()
    })?;
    let (kind, params) = CONTENT_TYPE;
    Ok(BufferedResponse::text(
        ContentType::new("application", kind).with_params(params),
        text,
    ))
}

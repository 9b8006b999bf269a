//! What is measured, for Prometheus.

use rocket::{Route, State, get, http::ContentType, routes};

use crate::{
    http::{error::ApiError, response::Whole},
    store::SharedStore,
    telemetry::metrics::{CONTENT_TYPE, SharedMetrics},
};

/// `/metrics`. Not part of the interface for backends and clients, and therefore not in its
/// document.
#[must_use]
pub fn routes() -> Vec<Route> {
    routes![metrics]
}

#[get("/metrics")]
fn metrics(metrics: &State<SharedMetrics>, store: &State<SharedStore>) -> Result<Whole, ApiError> {
    let connections = store.connections();
    metrics
        .redis
        .set_pool(connections.streaming, connections.streaming_in_use);
    let text = metrics.text().map_err(|error| {
        tracing::error!(%error, "the metrics can't be written");
        ApiError::internal()
    })?;
    let (kind, params) = CONTENT_TYPE;
    Ok(Whole::text(
        ContentType::new("application", kind).with_params(params),
        text,
    ))
}

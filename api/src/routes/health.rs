//! Whether the broker lives, whether it can do its work, and what it is.

use rocket::{State, get, serde::json::Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    auth::guard::Backend,
    config::Settings,
    error::{ApiError, ErrorBody, ErrorCode},
    feed::Slots,
    lifecycle::Lifecycle,
    store::SharedStore,
};

/// What the broker is and how full it is.
#[derive(Serialize, ToSchema)]
pub struct BrokerInfo {
    /// The public URL.
    url: String,
    /// The broker's version.
    version: &'static str,
    /// `redis` or `memory`.
    store: &'static str,
    /// How live events reach clients.
    delivery: &'static str,
    /// Connections and slots.
    redis: ConnectionInfo,
}

/// Connections to Redis, and slots for streaming clients.
#[derive(Serialize, ToSchema)]
pub struct ConnectionInfo {
    /// Connections for writes and management; 0 with the embedded store.
    #[serde(rename = "static")]
    fixed: usize,
    /// Connections for streaming clients, idle ones included.
    streaming: usize,
    /// Streaming clients now.
    streaming_in_use: usize,
    /// Streaming clients that could come.
    streaming_available: usize,
    /// Streaming clients at the most.
    streaming_max: usize,
}

/// The process lives. Says nothing of the store, so that a failing Redis does not get healthy brokers restarted.
#[utoipa::path(operation_id = "health", context_path = "/api", tag = "health", responses((status = 200, description = "The process lives", body = String, content_type = "text/plain", example = "OK")))]
#[get("/health")]
#[must_use]
pub fn health() -> &'static str {
    "OK"
}

/// The store answers, and the broker is not stopping.
#[utoipa::path(operation_id = "ready", context_path = "/api", tag = "health", responses(
    (status = 200, description = "The broker can do its work", body = String, content_type = "text/plain", example = "OK"),
    (status = 503, description = "`store-unavailable`: the store does not answer within a second; `shutting-down`: the broker stops", body = ErrorBody<'static>)))]
#[get("/ready")]
pub async fn ready(store: &State<SharedStore>, lifecycle: &State<Lifecycle>) -> Result<&'static str, ApiError> {
    if lifecycle.is_closing() {
        return Err(ApiError::new(ErrorCode::ShuttingDown, "The broker is stopping"));
    }
    store.ready().await?;
    Ok("OK")
}

/// What the broker is, and how full.
#[utoipa::path(operation_id = "broker_info", context_path = "/api", tag = "health", security(("api_key" = [])), responses(
    (status = 200, description = "What the broker is, and how full", body = BrokerInfo),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>)))]
#[get("/info")]
#[must_use]
pub fn info(_backend: Backend, settings: &State<Settings>, store: &State<SharedStore>, slots: &State<Slots>) -> Json<BrokerInfo> {
    let (connections, in_use) = (store.connections(), slots.in_use());
    Json(BrokerInfo {
        url: settings.server_address.clone(),
        version: env!("CARGO_PKG_VERSION"),
        store: store.name(),
        delivery: store.delivery(),
        redis: ConnectionInfo {
            fixed: connections.fixed,
            streaming: connections.streaming,
            streaming_in_use: in_use,
            streaming_available: slots.max() - in_use,
            streaming_max: slots.max(),
        },
    })
}

//! Whether the broker lives, whether it can do its work, and what it is.

use rocket::{State, get, serde::json::Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    config::Settings,
    http::{
        error::{ApiError, ErrorBody, ErrorCode},
        guards::ApiKeyHolder,
    },
    lifecycle::Lifecycle,
    session::Registry,
    store::{SharedStore, StoreError},
    telemetry::metrics::{ClientMetrics, IngestMetrics, Metrics, SharedMetrics, Transport, Way},
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
    /// What this node has done since its start, and who is there now.
    activity: Activity,
}

/// What a node has done since its start, and who is there now.
#[derive(Serialize, ToSchema)]
pub struct Activity {
    /// Seconds since the start.
    uptime: u64,
    /// Events written into streams.
    events_in: u64,
    /// Events handed to clients, history included.
    events_out: u64,
    /// Bytes of names and data of the events written.
    bytes_in: u64,
    /// Bytes of the frames and messages with the events handed to clients.
    bytes_out: u64,
    /// Clients that follow a stream now.
    clients: ClientCounts,
}

/// Clients that follow a stream now, by transport.
#[derive(Serialize, ToSchema)]
pub struct ClientCounts {
    /// Over server-sent events.
    sse: u64,
    /// Over WebSocket.
    ws: u64,
    /// By long polling.
    poll: u64,
    /// Over newline-delimited JSON.
    ndjson: u64,
}

impl From<&Metrics> for Activity {
    fn from(metrics: &Metrics) -> Self {
        let ingest = || Way::ALL.iter().map(|&way| metrics.ingest(way));
        let clients = || {
            Transport::ALL
                .iter()
                .map(|&transport| metrics.clients(transport).as_ref())
        };
        let now = |transport| metrics.clients(transport).now();
        Self {
            uptime: metrics.uptime().as_secs(),
            events_in: ingest().map(IngestMetrics::events).sum(),
            events_out: clients().map(ClientMetrics::events).sum(),
            bytes_in: ingest().map(IngestMetrics::bytes).sum(),
            bytes_out: clients().map(ClientMetrics::bytes).sum(),
            clients: ClientCounts {
                sse: now(Transport::Sse),
                ws: now(Transport::Ws),
                poll: now(Transport::Poll),
                ndjson: now(Transport::Ndjson),
            },
        }
    }
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

/// The process lives. Says nothing of the store, so that a failing Redis does not get healthy
/// brokers restarted.
#[utoipa::path(operation_id = "health", context_path = "/api", tag = "health", responses((status = 200, description = "The process lives", body = String, content_type = "text/plain", example = "OK")))]
#[get("/health")]
#[must_use]
pub fn health() -> &'static str {
    "OK"
}

/// The store answers and takes writes, what is written is heard here, and the broker is not
/// stopping.
#[utoipa::path(operation_id = "ready", context_path = "/api", tag = "health", responses(
    (status = 200, description = "The broker can do its work. After `OK` come warnings for the operator, if there are any, a line each", body = String, content_type = "text/plain", example = "OK"),
    (status = 503, description = "`store-unavailable`: the store does not answer within a second, takes no writes, or what is written is not heard; `shutting-down`: the broker stops", body = ErrorBody<'static>)))]
#[get("/ready")]
pub async fn ready(
    store: &State<SharedStore>,
    lifecycle: &State<Lifecycle>,
) -> Result<String, ApiError> {
    if lifecycle.is_closing() {
        return Err(ApiError::new(
            ErrorCode::ShuttingDown,
            "The broker is stopping",
        ));
    }
    let warnings = store.ready().await.map_err(|error| match error {
        // The store has logged it.
        StoreError::Refused { fault, .. } => {
            ApiError::new(ErrorCode::StoreUnavailable, fault.to_string())
        }
        error => error.into(),
    })?;
    Ok(std::iter::once("OK".to_owned())
        .chain(
            warnings
                .into_iter()
                .map(|warning| format!("\nWarning: {warning}")),
        )
        .collect())
}

/// What the broker is, and how full.
#[utoipa::path(operation_id = "broker_info", context_path = "/api", tag = "health", security(("api_key" = [])), responses(
    (status = 200, description = "What the broker is, and how full", body = BrokerInfo),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>)))]
#[get("/info")]
#[must_use]
pub fn info(
    _backend: ApiKeyHolder,
    settings: &State<Settings>,
    store: &State<SharedStore>,
    registry: &State<Registry>,
    metrics: &State<SharedMetrics>,
) -> Json<BrokerInfo> {
    let (connections, in_use) = (store.connections(), registry.in_use());
    Json(BrokerInfo {
        url: settings.server_address.clone(),
        version: env!("CARGO_PKG_VERSION"),
        store: store.name(),
        delivery: store.delivery(),
        redis: ConnectionInfo {
            fixed: connections.fixed,
            streaming: connections.streaming,
            streaming_in_use: in_use,
            streaming_available: registry.max() - in_use,
            streaming_max: registry.max(),
        },
        activity: Activity::from(metrics.as_ref()),
    })
}

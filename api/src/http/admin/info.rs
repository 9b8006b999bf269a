//! `GET /info`: the broker's version, store and load.

use rocket::{State, get, serde::json::Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    config::Settings,
    http::{error_responses::Unauthorized, guards::ApiKeyHolder},
    session::Registry,
    store::SharedStore,
    telemetry::metrics::{ClientMetrics, IngestMetrics, Metrics, SharedMetrics, Transport, Way},
};

/// The broker: its version, its store and its load.
#[derive(Serialize, ToSchema)]
pub struct BrokerInfo {
    /// The public URL.
    url: String,
    /// The broker's version.
    version: &'static str,
    /// `redis` or `memory`.
    store: &'static str,
    /// How live events reach subscribers.
    delivery: &'static str,
    /// Connections and limits.
    redis: ConnectionInfo,
    /// What this node has done since its start, and its subscribers now.
    activity: Activity,
}

/// What a node has done since its start, and its subscribers now.
#[derive(Serialize, ToSchema)]
pub struct Activity {
    /// Seconds since the start.
    uptime: u64,
    /// Events written into streams.
    events_in: u64,
    /// Events sent to subscribers, history included.
    events_out: u64,
    /// Bytes of names and data of the events written.
    bytes_in: u64,
    /// Bytes of the frames and messages with the events sent to subscribers.
    bytes_out: u64,
    /// Subscribers now.
    clients: ClientCounts,
}

/// Subscribers now, by transport.
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

/// Connections to Redis, and the limit of subscribers.
#[derive(Serialize, ToSchema)]
pub struct ConnectionInfo {
    /// Connections for writes and management; 0 with the embedded store.
    #[serde(rename = "static")]
    fixed: usize,
    /// Connections for subscribers, idle ones included.
    streaming: usize,
    /// Subscribers now.
    streaming_in_use: usize,
    /// How many more subscribers could connect.
    streaming_available: usize,
    /// The most subscribers of the node.
    streaming_max: usize,
}

/// Reports the broker's version, store and load.
#[utoipa::path(
    operation_id = "broker_info",
    context_path = "/api",
    tag = "health",
    security(("api_key" = [])),
    responses(
        (
            status = 200,
            description = "The broker's version, store and load",
            body = BrokerInfo
        ),
        Unauthorized,
    )
)]
#[get("/info")]
#[must_use]
pub fn info(
    _caller: ApiKeyHolder,
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

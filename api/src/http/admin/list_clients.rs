//! Who is connected, for operators: list the node's clients, let one go.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    pin::pin,
    time::Duration,
};

use futures::{StreamExt, stream};
use rocket::{State, delete, get, serde::json::Json};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::{
    codec::json,
    http::{
        error::{ApiError, ErrorBody, ErrorCode},
        guards::ApiKeyHolder,
        query::stream_key,
        response::{AnswerPermit, Whole},
    },
    session::{Registry, SessionId, SessionInfo},
    store::{SharedStore, StoreError},
    stream::StreamKey,
};

/// Streams looked at together for how far behind their clients are.
const LOOK_AHEAD: usize = 64;

/// How long that may take: the list is worth having without it.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// A client of the node.
#[derive(Serialize, ToSchema)]
pub struct ClientRow {
    /// What it is called while it is connected.
    #[schema(value_type = String, example = "5f0c2a9be1d34c77")]
    id: SessionId,
    /// What it calls itself (`client_name`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    name: Option<Box<str>>,
    /// Words that it is to be found by (`tags`).
    #[schema(value_type = Vec<String>)]
    tags: Box<[Box<str>]>,
    /// The streams that it follows.
    #[schema(value_type = Vec<String>)]
    keys: Vec<StreamKey>,
    /// How it is connected: `sse`, `ws`, `poll` or `ndjson`.
    #[schema(example = "sse")]
    transport: &'static str,
    /// Since when. RFC 3339.
    #[schema(example = "2026-01-01T00:00:00.000Z")]
    since: String,
    /// Its IP address, as far as is known (`STREAMER_CLIENT_IP_HEADER`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "192.0.2.1")]
    address: Option<IpAddr>,
    /// Events that were handed to its connection.
    events: u64,
    /// Bytes of the frames and messages with them.
    bytes: u64,
    /// How many events it is behind, over all of its streams; null when the store can't say.
    lag: Option<u64>,
    /// The names of the events that it asked for; none: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    filter: Option<Box<str>>,
}

impl ClientRow {
    /// A client, given how many events each stream has had.
    fn new(client: SessionInfo, written: &HashMap<StreamKey, u64>) -> Self {
        let SessionInfo {
            id,
            metadata,
            streams,
            since_ms,
            address,
            events,
            bytes,
        } = client;
        // One that is ahead follows an earlier stream at the key, and is about to be told so.
        let lag = streams
            .iter()
            .map(|(key, next)| Some(written.get(key)?.saturating_sub(*next)))
            .sum();
        Self {
            id,
            name: metadata.name,
            tags: metadata.tags,
            keys: streams.into_iter().map(|(key, _)| key).collect(),
            transport: metadata.transport.as_str(),
            since: json::time(since_ms),
            address: address.map(|address| address.to_canonical()),
            events,
            bytes,
            lag,
            filter: metadata.filter,
        }
    }
}

/// What became of a client.
#[derive(Serialize, ToSchema)]
pub struct Disconnected {
    /// `disconnected`.
    #[schema(example = "disconnected")]
    status: &'static str,
}

/// The clients of this node.
#[utoipa::path(operation_id = "list_clients", context_path = "/api", tag = "connections", security(("api_key" = [])), params(
    ("key" = Option<String>, Query, description = "Only those that follow the stream at this key"),
    ("tag" = Option<String>, Query, description = "Only those with this tag")), responses(
    (status = 200, description = "The clients that are connected to this node, the oldest first", body = Vec<ClientRow>),
    (status = 400, description = "`invalid-key`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 429, description = "`too-many-clients`: too many large answers are being sent", body = ErrorBody<'static>)))]
#[get("/clients?<key>&<tag>")]
pub async fn list(
    _backend: ApiKeyHolder,
    key: Option<&str>,
    tag: Option<&str>,
    permit: AnswerPermit,
    registry: &State<Registry>,
    store: &State<SharedStore>,
) -> Result<Whole, ApiError> {
    let key = key.map(stream_key).transpose()?;
    let clients = registry.clients(key.as_ref(), tag);
    let keys = clients
        .iter()
        .flat_map(|client| &client.streams)
        .map(|(key, _)| key.clone())
        .collect();
    let written = written(store, keys).await;
    let rows: Vec<_> = clients
        .into_iter()
        .map(|client| ClientRow::new(client, &written))
        .collect();
    Whole::json(&rows, Some(permit))
}

/// How many events each of the streams has had, of those of which the store can say it in time.
/// Once it has failed it is not asked further.
async fn written(store: &SharedStore, keys: HashSet<StreamKey>) -> HashMap<StreamKey, u64> {
    let mut written = HashMap::with_capacity(keys.len());
    let look = |key| async move { (store.info(&key).await, key) };
    let mut answers = pin!(stream::iter(keys).map(look).buffer_unordered(LOOK_AHEAD));
    let all = async {
        while let Some((answer, key)) = answers.next().await {
            match answer {
                Ok(info) => _ = written.insert(key, info.last.n.saturating_add(1)),
                // It is waited for, or is no more: nothing to be behind of.
                Err(StoreError::NotFound) => _ = written.insert(key, 0),
                Err(error) => {
                    return tracing::debug!(%error, "the store can't say how far behind clients are");
                }
            }
        }
    };
    // What is not known by then is not told.
    let _ = timeout(LOOK_PATIENCE, all).await;
    written
}

/// Disconnects a client of this node. It may come back at once if its token is still good.
#[utoipa::path(operation_id = "disconnect_client", context_path = "/api", tag = "connections", security(("api_key" = [])), params(
    ("id" = String, Path, description = "The client's id, from the list")), responses(
    (status = 200, description = "The client was let go: server-sent events end, a WebSocket is closed with 1008", body = Disconnected),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 404, description = "`client-not-found`: no client of this node has this id", body = ErrorBody<'static>)))]
#[delete("/clients/<id>")]
pub fn disconnect(
    _backend: ApiKeyHolder,
    id: &str,
    registry: &State<Registry>,
) -> Result<Json<Disconnected>, ApiError> {
    if id.parse().is_ok_and(|id| registry.disconnect(id)) {
        Ok(Json(Disconnected {
            status: "disconnected",
        }))
    } else {
        Err(ApiError::new(
            ErrorCode::ClientNotFound,
            "No client of this node has this id",
        ))
    }
}

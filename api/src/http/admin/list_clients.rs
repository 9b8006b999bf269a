//! `GET /clients`: lists the subscribers that are connected to this node.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    pin::pin,
    time::Duration,
};

use futures::{StreamExt, stream};
use rocket::{State, get};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::{
    codec::json,
    http::{
        buffered_response::BufferedResponse,
        error::{ApiError, ErrorBody},
        error_responses::{TooManyLargeResponses, Unauthorized},
        guards::ApiKeyHolder,
        large_response::LargeResponsePermit,
        query::stream_key,
    },
    session::{Registry, SessionId, SessionInfo},
    store::{SharedStore, StoreError},
    stream::StreamKey,
};

/// How many streams the broker reads concurrently to compute how far behind subscribers are.
const CONCURRENT_READS: usize = 64;

/// How long these reads may take. The list is useful without their result.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// A connected subscriber of this node.
#[derive(Serialize, ToSchema)]
pub struct ClientRow {
    /// Identifies its connection.
    #[schema(value_type = String, example = "5f0c2a9be1d34c77")]
    id: SessionId,
    /// Its name (`client_name`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    name: Option<Box<str>>,
    /// Its tags (`tags`).
    #[schema(value_type = Vec<String>)]
    tags: Box<[Box<str>]>,
    /// The streams that it follows.
    #[schema(value_type = Vec<String>)]
    keys: Vec<StreamKey>,
    /// How it is connected: `sse`, `ws`, `poll` or `ndjson`.
    #[schema(example = "sse")]
    transport: &'static str,
    /// When it connected. RFC 3339.
    #[schema(example = "2026-01-01T00:00:00.000Z")]
    since: String,
    /// Its IP address, if known (`STREAMER_CLIENT_IP_HEADER`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, example = "192.0.2.1")]
    address: Option<IpAddr>,
    /// Events sent to it.
    events: u64,
    /// Bytes of the frames and messages with those events.
    bytes: u64,
    /// How many events it is behind, over all of its streams. Null if the store can't answer.
    lag: Option<u64>,
    /// Its event names filter. Absent if it receives all events.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    filter: Option<Box<str>>,
}

impl ClientRow {
    /// The row of a session. `written` has how many events each stream has had.
    fn new(session: SessionInfo, written: &HashMap<StreamKey, u64>) -> Self {
        let SessionInfo {
            id,
            metadata,
            streams,
            since_ms,
            address,
            events,
            bytes,
        } = session;
        // A session ahead of its stream follows an earlier stream at that key, and is about to
        // receive that the earlier one no longer exists.
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

/// Lists the subscribers that are connected to this node.
#[utoipa::path(
    operation_id = "list_clients",
    context_path = "/api",
    tag = "connections",
    security(("api_key" = [])),
    params(
        (
            "key" = Option<String>,
            Query,
            description = "Only subscribers of the stream at this key"
        ),
        ("tag" = Option<String>, Query, description = "Only subscribers with this tag"),
    ),
    responses(
        (
            status = 200,
            description = "The subscribers of this node, the oldest first",
            body = Vec<ClientRow>
        ),
        (status = 400, description = "`invalid-key`", body = ErrorBody<'static>),
        Unauthorized,
        TooManyLargeResponses,
    )
)]
#[get("/clients?<key>&<tag>")]
pub async fn list_clients(
    _caller: ApiKeyHolder,
    key: Option<&str>,
    tag: Option<&str>,
    permit: LargeResponsePermit,
    registry: &State<Registry>,
    store: &State<SharedStore>,
) -> Result<BufferedResponse, ApiError> {
    let key = key.map(stream_key).transpose()?;
    let sessions = registry.sessions(key.as_ref(), tag);
    let keys = sessions
        .iter()
        .flat_map(|session| &session.streams)
        .map(|(key, _)| key.clone())
        .collect();
    let written = events_written(store, keys).await;
    let rows: Vec<_> = sessions
        .into_iter()
        .map(|session| ClientRow::new(session, &written))
        .collect();
    BufferedResponse::json(&rows, Some(permit))
}

/// How many events each stream has had. Streams that the store could not read in time are absent.
/// After the first failure the broker stops to ask the store.
async fn events_written(store: &SharedStore, keys: HashSet<StreamKey>) -> HashMap<StreamKey, u64> {
    let mut written = HashMap::with_capacity(keys.len());
    let read = |key| async move { (store.info(&key).await, key) };
    let mut results = pin!(
        stream::iter(keys)
            .map(read)
            .buffer_unordered(CONCURRENT_READS)
    );
    let all = async {
        while let Some((result, key)) = results.next().await {
            match result {
                Ok(info) => _ = written.insert(key, info.last.n.saturating_add(1)),
                // The subscriber waits for the stream, or the stream was deleted. It is not behind.
                Err(StoreError::NotFound) => _ = written.insert(key, 0),
                Err(error) => {
                    return tracing::debug!(%error, "how far behind subscribers are is unknown");
                }
            }
        }
    };
    // After the timeout the rows of the remaining streams have no lag.
    let _ = timeout(READ_TIMEOUT, all).await;
    written
}

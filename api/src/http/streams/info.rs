//! `GET /stream/info`: the state of one stream.

use std::time::Duration;

use futures::future::try_join;
use rocket::{get, serde::json::Json};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::seconds::seconds;
use crate::{
    codec::{json, segment::Part},
    http::{
        error::ApiError,
        error_responses::{InvalidKeyParameter, StoreUnavailable, StreamNotFound, Unauthorized},
        guards::ApiKeyHolder,
        query::QueryKey,
        state::AppState,
        store_error::at,
    },
    store::{SharedStore, StoreError, StreamInfo},
    stream::{EventId, Generation, StartPosition, Status, StreamKey},
};

/// How long the broker waits for the subscriber counts of other nodes.
const PRESENCE_TIMEOUT: Duration = Duration::from_secs(1);

/// A stream.
#[derive(Serialize, ToSchema)]
pub struct StreamState {
    /// Its key.
    #[schema(value_type = String)]
    key: StreamKey,
    /// `active`, `ended`, `cancelled`, `failed` or `abandoned`.
    #[schema(value_type = String, example = "active")]
    status: Status,
    /// Why a stream is cancelled, failed or abandoned: the data of its last event, `{"reason",
    /// "by"}` or `{"code", "message"}`. Null if nobody gave a reason.
    #[schema(value_type = Option<serde_json::Value>)]
    reason: Option<Box<RawValue>>,
    /// Distinguishes the stream from every other that has had its key: 32 hex digits.
    #[schema(value_type = String, example = "5f2b8c0e9d4a4b7f8a1c3e5d7f90b2a4")]
    generation: Generation,
    /// How many events are stored.
    length: u64,
    /// Seconds left unless something is written.
    ttl: u64,
    /// The id of the oldest stored event.
    #[schema(value_type = String, example = "1767225600000-0")]
    first_id: EventId,
    /// The id of the newest event.
    #[schema(value_type = String, example = "1767225600000-41")]
    last_id: EventId,
    /// When the stream was created. RFC 3339.
    #[schema(example = "2026-01-01T00:00:00.000Z")]
    created_at: String,
    /// When the first signal `stop` arrived. RFC 3339. Null if none did.
    #[schema(example = "2026-01-01T00:00:07.000Z")]
    stop_requested_at: Option<String>,
    /// When the broker abandons the stream, unless its producer shows that it is alive. RFC 3339.
    /// Null if the stream has no lease.
    #[schema(example = "2026-01-01T00:00:30.000Z")]
    lease_expires_at: Option<String>,
    /// When the broker abandons the stream, unless its producer writes an event. RFC 3339. Null if
    /// the stream has no stall.
    #[schema(example = "2026-01-01T00:05:00.000Z")]
    stall_expires_at: Option<String>,
    /// Subscribers on this node.
    clients: u32,
    /// About how many subscribers all nodes have: each node reports its count every 5 seconds. Null
    /// if the store can't answer.
    clients_total: Option<u64>,
}

/// Reports the state of a stream.
#[utoipa::path(
    operation_id = "stream_info",
    context_path = "/api",
    tag = "streams",
    security(("api_key" = [])),
    params(("key" = String, Query, description = "The stream's key")),
    responses(
        (status = 200, description = "The stream, active or finished", body = StreamState),
        InvalidKeyParameter,
        Unauthorized,
        StreamNotFound,
        StoreUnavailable,
    )
)]
#[get("/stream/info")]
pub async fn info(
    _caller: ApiKeyHolder,
    key: QueryKey,
    state: AppState<'_>,
) -> Result<Json<StreamState>, ApiError> {
    let QueryKey(key) = key;
    let elsewhere =
        async { Ok(timeout(PRESENCE_TIMEOUT, state.store.subscribers_elsewhere(&key)).await) };
    let (info, elsewhere) = try_join(state.store.info(&key), elsewhere)
        .await
        .map_err(at(&key))?;
    let StreamInfo {
        status,
        length,
        ttl,
        first,
        last,
        created_ms,
        generation,
        stop_requested_ms,
        deadlines,
    } = info;
    let reason = match status {
        Status::Active | Status::Ended => None,
        Status::Cancelled | Status::Failed | Status::Abandoned => {
            reason(state.store, &key, generation)
                .await
                .map_err(at(&key))?
        }
    };
    // The state of a stream is useful without the counts of other nodes.
    let elsewhere = elsewhere
        .unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned())))
        .inspect_err(|error| {
            tracing::debug!(%error, "the subscriber counts of other nodes are unknown");
        })
        .ok();
    let clients = state.registry.subscribers(&key);
    Ok(Json(StreamState {
        key,
        status,
        reason,
        generation,
        length,
        ttl: seconds(ttl),
        first_id: first,
        last_id: last,
        created_at: json::time(created_ms),
        stop_requested_at: stop_requested_ms.map(json::time),
        lease_expires_at: deadlines.lease_expires_ms.map(json::time),
        stall_expires_at: deadlines.stall_expires_ms.map(json::time),
        clients,
        clients_total: elsewhere.map(|elsewhere| elsewhere + u64::from(clients)),
    }))
}

/// Why the stream was finished, as its last event says. None for a stream that was replaced.
async fn reason(
    store: &SharedStore,
    key: &StreamKey,
    generation: Generation,
) -> Result<Option<Box<RawValue>>, StoreError> {
    let before_last = store.locate(key, StartPosition::Last(1)).await?;
    let page = store.read(key, before_last).await?;
    let last = page.parts.iter().flat_map(Part::entries).last();
    Ok(last
        .filter(|_| page.info.generation == generation)
        .and_then(|last| serde_json::from_str(last.data.as_deref()?).ok()))
}

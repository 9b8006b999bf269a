//! Streams: start ([`access`]), look at, list, read ([`events`]), end.

use std::time::Duration;

use futures::{StreamExt, future::try_join, stream};
use rocket::{State, get, post, serde::json::Json};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::{
    codec::json,
    http::{
        body::Body,
        error::{ApiError, ErrorBody, ErrorCode},
        guards::ApiKeyHolder,
        query::{QueryKey, stream_key},
        response::{AnswerPermit, Whole},
        state::AppState,
        store_error::at,
    },
    store::{SharedStore, StoreError, StreamInfo},
    stream::{EventId, Finish, Status, StreamKey},
    telemetry::metrics::Outcome,
};

/// Streams looked at together when they are listed.
const LOOK_AHEAD: usize = 64;

/// How long to wait for what other nodes have told of their clients.
const COUNT_PATIENCE: Duration = Duration::from_secs(1);

/// Which stream.
#[derive(Deserialize, ToSchema)]
pub struct KeyOnly {
    /// The stream's key.
    #[schema(example = "chat-1")]
    key: String,
}

/// An active stream in a list.
#[derive(Serialize, ToSchema)]
pub struct StreamRow {
    /// Its key.
    #[schema(value_type = String)]
    key: StreamKey,
    /// Events stored.
    length: u64,
    /// Seconds left unless something is written.
    ttl: u64,
    /// Always `active`.
    #[schema(value_type = String, example = "active")]
    status: Status,
}

/// A stream.
#[derive(Serialize, ToSchema)]
pub struct StreamState {
    /// Its key.
    #[schema(value_type = String)]
    key: StreamKey,
    /// `active`, `ended` or `cancelled`.
    #[schema(value_type = String, example = "active")]
    status: Status,
    /// Events stored.
    length: u64,
    /// Seconds left unless something is written.
    ttl: u64,
    /// The oldest event stored.
    #[schema(value_type = String, example = "1767225600000-0")]
    first_id: EventId,
    /// The newest event.
    #[schema(value_type = String, example = "1767225600000-41")]
    last_id: EventId,
    /// RFC 3339.
    #[schema(example = "2026-01-01T00:00:00.000Z")]
    created_at: String,
    /// Clients that follow it over this node.
    clients: u32,
    /// Clients that follow it over any node, about: others say every 5 seconds how many they have.
    /// Null when the store can't say.
    clients_total: Option<u64>,
}

/// How a stream was finished.
#[derive(Serialize, ToSchema)]
pub struct Finished {
    /// `ended` or `cancelled`.
    #[schema(value_type = String, example = "ended")]
    status: Status,
}

/// The active streams.
#[utoipa::path(operation_id = "list_streams", context_path = "/api", tag = "streams", security(("api_key" = [])), params(("pattern" = Option<String>, Query, description = "A glob on keys (`*`, `?`, `[…]`); without a wildcard it is one exact key. All streams without it")), responses(
    (status = 200, description = "The active streams whose keys match, sorted by key", body = Vec<StreamRow>),
    (status = 400, description = "`invalid-pattern`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 429, description = "`too-many-clients`: too many large answers are being sent", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[get("/stream?<pattern>")]
pub async fn list(
    _backend: ApiKeyHolder,
    pattern: Option<&str>,
    permit: AnswerPermit,
    store: &State<SharedStore>,
) -> Result<Whole, ApiError> {
    let keys = match pattern.filter(|pattern| !pattern.is_empty()) {
        None => store.list().await?,
        Some(exact) if !exact.contains(['*', '?', '[']) => exact.parse().into_iter().collect(),
        Some(pattern) => {
            let pattern = glob(pattern)?;
            store
                .list()
                .await?
                .into_iter()
                .filter(|key| pattern.matches(key.as_str()))
                .collect()
        }
    };
    let look = |key: StreamKey| async move {
        match store.info(&key).await {
            Ok(info) if info.status == Status::Active => Ok(Some(StreamRow {
                key,
                length: info.length,
                ttl: seconds(info.ttl),
                status: info.status,
            })),
            Ok(_) | Err(StoreError::NotFound) => Ok(None),
            // One stream that can't be read does not hide the others.
            Err(StoreError::Unexpected(detail)) => {
                tracing::error!(
                    key = key.as_str(),
                    detail,
                    "a stream that can't be read is not listed"
                );
                Ok(None)
            }
            Err(error) => Err(ApiError::from(error)),
        }
    };
    let rows: Vec<_> = stream::iter(keys)
        .map(look)
        .buffer_unordered(LOOK_AHEAD)
        .collect()
        .await;
    let mut rows: Vec<_> = rows
        .into_iter()
        .filter_map(Result::transpose)
        .collect::<Result<_, _>>()?;
    rows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Whole::json(&rows, Some(permit))
}

fn glob(pattern: &str) -> Result<glob::Pattern, ApiError> {
    // To the library a double asterisk has to do with folders, of which keys have none.
    let mut single = pattern.to_owned();
    while single.contains("**") {
        single = single.replace("**", "*");
    }
    glob::Pattern::new(&single).map_err(|error| {
        ApiError::new(
            ErrorCode::InvalidPattern,
            format!(
                "The pattern can't be used: {} at character {}",
                error.msg,
                error.pos + 1
            ),
        )
    })
}

/// The state of a stream.
#[utoipa::path(operation_id = "stream_info", context_path = "/api", tag = "streams", security(("api_key" = [])), params(("key" = String, Query, description = "The stream's key")), responses(
    (status = 200, description = "The stream, active or finished", body = StreamState),
    (status = 400, description = "`missing-parameter`, `invalid-key`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 404, description = "`stream-not-found`", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[get("/stream/info")]
pub async fn info(
    _backend: ApiKeyHolder,
    key: QueryKey,
    state: AppState<'_>,
) -> Result<Json<StreamState>, ApiError> {
    let QueryKey(key) = key;
    let elsewhere =
        async { Ok(timeout(COUNT_PATIENCE, state.store.subscribers_elsewhere(&key)).await) };
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
        ..
    } = info;
    // A stream's state is worth having without it.
    let elsewhere =
        elsewhere.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned())));
    let elsewhere = elsewhere.inspect_err(|error| tracing::debug!(%error, "the store can't say how many clients other nodes have")).ok();
    let clients = state.registry.followers(&key);
    Ok(Json(StreamState {
        key,
        status,
        length,
        ttl: seconds(ttl),
        first_id: first,
        last_id: last,
        created_at: json::time(created_ms),
        clients,
        clients_total: elsewhere.map(|elsewhere| elsewhere + u64::from(clients)),
    }))
}

/// Ends a stream: nothing can follow, and its clients are closed when they have all of it.
#[utoipa::path(operation_id = "end_stream", context_path = "/api", tag = "streams", security(("api_key" = [])), request_body = KeyOnly, responses(
    (status = 200, description = "The stream has ended; its last event is `end`", body = Finished),
    (status = 400, description = "`invalid-key`, `invalid-request`, `malformed-json`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 404, description = "`no-active-stream`", body = ErrorBody<'static>),
    (status = 408, description = "`request-timeout`: the body did not arrive within `STREAMER_BODY_TIMEOUT`", body = ErrorBody<'static>),
    (status = 413, description = "`too-large`", body = ErrorBody<'static>),
    (status = 415, description = "`unsupported-media-type`: the body is compressed, or not UTF-8", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[post("/stream/end", data = "<body>")]
pub async fn end(
    _backend: ApiKeyHolder,
    body: Body,
    state: AppState<'_>,
) -> Result<Json<Finished>, ApiError> {
    finish(&body, Finish::End, state).await
}

/// Cancels a stream: nothing can follow, and its clients are closed when they have all of it.
#[utoipa::path(operation_id = "cancel_stream", context_path = "/api", tag = "streams", security(("api_key" = [])), request_body = KeyOnly, responses(
    (status = 200, description = "The stream is cancelled; its last event is `cancel`", body = Finished),
    (status = 400, description = "`invalid-key`, `invalid-request`, `malformed-json`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 404, description = "`no-active-stream`", body = ErrorBody<'static>),
    (status = 408, description = "`request-timeout`: the body did not arrive within `STREAMER_BODY_TIMEOUT`", body = ErrorBody<'static>),
    (status = 413, description = "`too-large`", body = ErrorBody<'static>),
    (status = 415, description = "`unsupported-media-type`: the body is compressed, or not UTF-8", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[post("/stream/cancel", data = "<body>")]
pub async fn cancel(
    _backend: ApiKeyHolder,
    body: Body,
    state: AppState<'_>,
) -> Result<Json<Finished>, ApiError> {
    finish(&body, Finish::Cancel, state).await
}

async fn finish(
    body: &Body,
    finish: Finish,
    state: AppState<'_>,
) -> Result<Json<Finished>, ApiError> {
    let KeyOnly { key } = body.json()?;
    let key = stream_key(&key)?;
    state.store.finish(&key, finish).await.map_err(at(&key))?;
    state.metrics.streams.finish(match finish {
        Finish::End => Outcome::Ended,
        Finish::Cancel => Outcome::Cancelled,
    });
    Ok(Json(Finished {
        status: finish.status(),
    }))
}

/// Whole seconds, rounded up: what is still there has at least one left.
fn seconds(ttl: Duration) -> u64 {
    ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)
}

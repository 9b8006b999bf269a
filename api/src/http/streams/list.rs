//! `GET /stream`: lists the active streams.

use futures::{StreamExt, stream};
use rocket::{State, get};
use serde::Serialize;
use utoipa::ToSchema;

use super::seconds::seconds;
use crate::{
    http::{
        buffered_response::BufferedResponse,
        error::{ApiError, ErrorBody, ErrorCode},
        error_responses::{StoreUnavailable, TooManyLargeResponses, Unauthorized},
        guards::ApiKeyHolder,
        large_response::LargeResponsePermit,
    },
    store::{SharedStore, StoreError},
    stream::{Generation, Status, StreamKey},
};

/// How many streams the broker reads concurrently.
const CONCURRENT_READS: usize = 64;

/// An active stream in a list.
#[derive(Serialize, ToSchema)]
pub struct StreamRow {
    /// Its key.
    #[schema(value_type = String)]
    key: StreamKey,
    /// How many events are stored.
    length: u64,
    /// Seconds left unless something is written.
    ttl: u64,
    /// Always `active`.
    #[schema(value_type = String, example = "active")]
    status: Status,
    /// Distinguishes the stream from every other that has had its key: 32 hex digits.
    #[schema(value_type = String, example = "5f2b8c0e9d4a4b7f8a1c3e5d7f90b2a4")]
    generation: Generation,
}

/// Lists the active streams.
#[utoipa::path(
    operation_id = "list_streams",
    context_path = "/api",
    tag = "streams",
    security(("api_key" = [])),
    params((
        "pattern" = Option<String>,
        Query,
        description = "A glob on keys (`*`, `?`, `[…]`). A pattern without a wildcard is one \
            exact key. Without a pattern the list has all active streams"
    )),
    responses(
        (
            status = 200,
            description = "The active streams whose keys match, sorted by key",
            body = Vec<StreamRow>
        ),
        (status = 400, description = "`invalid-pattern`", body = ErrorBody<'static>),
        Unauthorized,
        TooManyLargeResponses,
        StoreUnavailable,
    )
)]
#[get("/stream?<pattern>")]
pub async fn list(
    _caller: ApiKeyHolder,
    pattern: Option<&str>,
    permit: LargeResponsePermit,
    store: &State<SharedStore>,
) -> Result<BufferedResponse, ApiError> {
    let keys = matching_keys(store, pattern).await?;
    let rows: Vec<_> = stream::iter(keys)
        .map(|key| active_row(store, key))
        .buffer_unordered(CONCURRENT_READS)
        .collect()
        .await;
    let mut rows: Vec<_> = rows
        .into_iter()
        .filter_map(Result::transpose)
        .collect::<Result<_, _>>()?;
    rows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    BufferedResponse::json(&rows, Some(permit))
}

async fn matching_keys(
    store: &SharedStore,
    pattern: Option<&str>,
) -> Result<Vec<StreamKey>, ApiError> {
    match pattern.filter(|pattern| !pattern.is_empty()) {
        None => Ok(store.list().await?),
        Some(exact) if !exact.contains(['*', '?', '[']) => Ok(exact.parse().into_iter().collect()),
        Some(pattern) => {
            let pattern = glob(pattern)?;
            let mut keys = store.list().await?;
            keys.retain(|key| pattern.matches(key.as_str()));
            Ok(keys)
        }
    }
}

/// The row of a stream; none if the stream is not active.
async fn active_row(store: &SharedStore, key: StreamKey) -> Result<Option<StreamRow>, ApiError> {
    match store.info(&key).await {
        Ok(info) if info.status == Status::Active => Ok(Some(StreamRow {
            key,
            length: info.length,
            ttl: seconds(info.ttl),
            status: info.status,
            generation: info.generation,
        })),
        Ok(_) | Err(StoreError::NotFound) => Ok(None),
        // One unreadable stream does not hide the others.
        Err(StoreError::Unexpected(detail)) => {
            tracing::error!(
                key = key.as_str(),
                detail,
                "the list leaves out a stream that the broker can't read"
            );
            Ok(None)
        }
        Err(error) => Err(ApiError::from(error)),
    }
}

fn glob(pattern: &str) -> Result<glob::Pattern, ApiError> {
    // The library gives `**` a meaning for folders. Keys have none.
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

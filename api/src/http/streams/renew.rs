//! `POST /stream/renew`: a producer shows that it lives, or needs more time.

use rocket::{post, serde::json::Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::promise::period;
use crate::{
    codec::{json, number::whole},
    http::{
        body::Body,
        error::{ApiError, ErrorBody},
        error_responses::{
            NoActiveStream, RequestTimeout, StaleGeneration, StoreUnavailable, TooLarge,
            Unauthorized, UnsupportedMediaType,
        },
        guards::ApiKeyHolder,
        query::{generation, stream_key},
        state::AppState,
        store_error::at,
    },
    store::Renewed,
    stream::Renewal,
};

/// The stream whose producer is alive, and what the producer needs.
#[derive(Deserialize, ToSchema)]
pub struct RenewStream {
    /// Its key.
    #[schema(example = "chat-1")]
    key: String,
    /// The generation that the stream must have, as the broker gave it when the stream was created.
    #[schema(example = "5f2b8c0e9d4a4b7f8a1c3e5d7f90b2a4")]
    generation: Option<String>,
    /// The producer follows a stop, and needs its `stop_grace` once more. Only the first time
    /// counts.
    #[serde(default)]
    stop_ack: bool,
    /// Seconds that the producer may be silent from now on: 2 or more. 0 is no limit. Without it
    /// the lease begins anew with its old length.
    #[schema(minimum = 0, maximum = 86_400, example = 30)]
    #[serde(default, deserialize_with = "whole")]
    lease: Option<u64>,
    /// Seconds that the producer may write no event from now on: 2 or more. 0 is no limit. Without
    /// it the deadline stays as it is.
    #[schema(minimum = 0, maximum = 86_400, example = 300)]
    #[serde(default, deserialize_with = "whole")]
    stall: Option<u64>,
}

/// The deadlines of a stream.
#[derive(Serialize, ToSchema)]
#[schema(as = Renewed)]
#[expect(
    clippy::struct_field_names,
    reason = "the names of the answer's members"
)]
pub struct RenewedStream {
    /// When the broker abandons the stream, unless its producer shows that it is alive. RFC 3339.
    /// Null if the stream has no lease.
    #[schema(example = "2026-01-01T00:00:30.000Z")]
    lease_expires_at: Option<String>,
    /// When the broker abandons the stream, unless its producer writes an event. RFC 3339. Null if
    /// the stream has no stall.
    #[schema(example = "2026-01-01T00:05:00.000Z")]
    stall_expires_at: Option<String>,
    /// When the broker cancels the stream because its producer did not follow a stop. RFC 3339.
    /// Null if there is no such deadline.
    #[schema(example = "2026-01-01T00:00:17.000Z")]
    stop_expires_at: Option<String>,
    /// When somebody first asked the producer to stop. RFC 3339. Null if nobody did.
    #[schema(example = "2026-01-01T00:00:07.000Z")]
    stop_requested_at: Option<String>,
}

/// Renews the lease of a stream. Starts, changes or ends its lease and its stall. After a stop, it
/// gives the producer more time, once.
#[utoipa::path(
    operation_id = "renew_stream",
    context_path = "/api",
    tag = "streams",
    security(("api_key" = [])),
    request_body = RenewStream,
    responses(
        (status = 200, description = "The deadlines of the stream", body = RenewedStream),
        (
            status = 400,
            description = "`invalid-key`, `invalid-request`, `malformed-json`",
            body = ErrorBody<'static>
        ),
        Unauthorized,
        NoActiveStream,
        RequestTimeout,
        StaleGeneration,
        TooLarge,
        UnsupportedMediaType,
        StoreUnavailable,
    )
)]
#[post("/stream/renew", data = "<body>")]
pub async fn renew(
    _caller: ApiKeyHolder,
    body: Body,
    state: AppState<'_>,
) -> Result<Json<RenewedStream>, ApiError> {
    let RenewStream {
        key,
        generation: required,
        stop_ack,
        lease,
        stall,
    } = body.json()?;
    let (key, required) = (stream_key(&key)?, generation(required.as_deref())?);
    let renewal = Renewal {
        stop_ack,
        lease: period("lease", lease)?,
        stall: period("stall", stall)?,
    };
    let renewed = state.store.renew(&key, required, renewal).await;
    let Renewed {
        deadlines,
        stop_expires_ms,
        stop_requested_ms,
    } = renewed.map_err(at(&key))?;
    Ok(Json(RenewedStream {
        lease_expires_at: deadlines.lease_expires_ms.map(json::time),
        stall_expires_at: deadlines.stall_expires_ms.map(json::time),
        stop_expires_at: stop_expires_ms.map(json::time),
        stop_requested_at: stop_requested_ms.map(json::time),
    }))
}

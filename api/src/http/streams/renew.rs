//! `POST /stream/renew`: a producer shows that it needs more time.

use rocket::{post, serde::json::Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    codec::json,
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
};

/// The stream whose producer needs more time.
#[derive(Deserialize, ToSchema)]
pub struct RenewStream {
    /// Its key.
    #[schema(example = "chat-1")]
    key: String,
    /// The generation that the stream must have, as the broker gave it when the stream was created.
    #[schema(example = "5f2b8c0e9d4a4b7f8a1c3e5d7f90b2a4")]
    generation: Option<String>,
    /// The producer follows a stop, and needs the grace once more. Only the first time counts.
    #[serde(default)]
    stop_ack: bool,
}

/// The deadlines of a stream.
#[derive(Serialize, ToSchema)]
pub struct Renewed {
    /// When the broker cancels the stream because its producer did not follow a stop. RFC 3339.
    /// Null if it does not.
    #[schema(example = "2026-01-01T00:00:17.000Z")]
    stop_expires_at: Option<String>,
}

/// Gives the producer of a stream that is asked to stop more time, once.
#[utoipa::path(
    operation_id = "renew_stream",
    context_path = "/api",
    tag = "streams",
    security(("api_key" = [])),
    request_body = RenewStream,
    responses(
        (status = 200, description = "The deadlines of the stream", body = Renewed),
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
) -> Result<Json<Renewed>, ApiError> {
    let RenewStream {
        key,
        generation: required,
        stop_ack,
    } = body.json()?;
    let (key, required) = (stream_key(&key)?, generation(required.as_deref())?);
    let renewed = state.store.renew(&key, required, stop_ack).await;
    let stop_at = renewed.map_err(at(&key))?;
    Ok(Json(Renewed {
        stop_expires_at: stop_at.map(json::time),
    }))
}

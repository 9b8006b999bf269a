//! `POST /stream/end` and `POST /stream/cancel`: finish a stream.

use rocket::{post, serde::json::Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoResponses, ToSchema};

use crate::{
    http::{
        body::Body,
        error::{ApiError, ErrorBody},
        error_responses::{
            NoActiveStream, RequestTimeout, StoreUnavailable, TooLarge, Unauthorized,
            UnsupportedMediaType,
        },
        guards::ApiKeyHolder,
        query::stream_key,
        state::AppState,
        store_error::at,
    },
    stream::{Finish, Status},
    telemetry::metrics::Outcome,
};

/// The stream to finish.
#[derive(Deserialize, ToSchema)]
pub struct KeyOnly {
    /// The stream's key.
    #[schema(example = "chat-1")]
    key: String,
}

/// How a stream was finished.
#[derive(Serialize, ToSchema)]
pub struct Finished {
    /// `ended` or `cancelled`.
    #[schema(value_type = String, example = "ended")]
    status: Status,
}

/// `invalid-key`, `invalid-request`, `malformed-json`
#[derive(IntoResponses)]
#[response(status = 400)]
pub struct InvalidBody(pub ErrorBody<'static>);

/// Ends a stream: it takes no more events, and its subscribers are disconnected once they have all
/// of it.
#[utoipa::path(
    operation_id = "end_stream",
    context_path = "/api",
    tag = "streams",
    security(("api_key" = [])),
    request_body = KeyOnly,
    responses(
        (
            status = 200,
            description = "The stream has ended; its last event is `end`",
            body = Finished
        ),
        InvalidBody,
        Unauthorized,
        NoActiveStream,
        RequestTimeout,
        TooLarge,
        UnsupportedMediaType,
        StoreUnavailable,
    )
)]
#[post("/stream/end", data = "<body>")]
pub async fn end(
    _caller: ApiKeyHolder,
    body: Body,
    state: AppState<'_>,
) -> Result<Json<Finished>, ApiError> {
    finish(&body, Finish::End, state).await
}

/// Cancels a stream: it takes no more events, and its subscribers are disconnected once they have
/// all of it.
#[utoipa::path(
    operation_id = "cancel_stream",
    context_path = "/api",
    tag = "streams",
    security(("api_key" = [])),
    request_body = KeyOnly,
    responses(
        (
            status = 200,
            description = "The stream is cancelled; its last event is `cancel`",
            body = Finished
        ),
        InvalidBody,
        Unauthorized,
        NoActiveStream,
        RequestTimeout,
        TooLarge,
        UnsupportedMediaType,
        StoreUnavailable,
    )
)]
#[post("/stream/cancel", data = "<body>")]
pub async fn cancel(
    _caller: ApiKeyHolder,
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

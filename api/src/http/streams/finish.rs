//! `POST /stream/end`, `/stream/cancel` and `/stream/fail`: finish a stream.

use std::borrow::Cow;

use rocket::{post, serde::json::Json};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoResponses, ToSchema};

use super::access::invalid;
use crate::{
    codec::json::{self, InvalidFinish, stored_data},
    http::{
        body::Body,
        error::{ApiError, ErrorBody, ErrorCode},
        error_responses::{
            NoActiveStream, RequestTimeout, StaleGeneration, StoreUnavailable, TooLarge,
            Unauthorized, UnsupportedMediaType,
        },
        guards::ApiKeyHolder,
        query::{generation, stream_key},
        state::AppState,
        store_error::at,
    },
    stream::{Finish, FinishKind, Status},
    telemetry::metrics::Outcome,
};

/// The stream to end.
#[derive(Deserialize)]
struct EndIn<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    generation: Option<Cow<'a, str>>,
}

/// The stream to end.
// For the OpenAPI document; `EndIn` reads the body.
#[derive(Serialize, ToSchema)]
pub struct EndStream {
    /// The stream's key.
    #[schema(example = "chat-1")]
    key: String,
    /// The data of the last event: a string, or any other JSON value. The broker stores other
    /// values as their compact JSON text. `null` is the same as no data.
    #[schema(value_type = Option<serde_json::Value>)]
    data: Option<serde_json::Value>,
    /// The generation that the stream must have, as the broker gave it when the stream was created.
    #[schema(example = "5f2b8c0e9d4a4b7f8a1c3e5d7f90b2a4")]
    generation: Option<String>,
}

/// The stream to cancel.
#[derive(Deserialize, ToSchema)]
pub struct CancelStream {
    /// The stream's key.
    #[schema(example = "chat-1")]
    key: String,
    /// Why, in at most 1 KiB. The last event contains it.
    #[schema(example = "the user has stopped it")]
    reason: Option<String>,
    /// Who cancels it, in at most 128 bytes. The last event contains it.
    #[schema(example = "user-7")]
    by: Option<String>,
    /// The generation that the stream must have, as the broker gave it when the stream was created.
    #[schema(example = "5f2b8c0e9d4a4b7f8a1c3e5d7f90b2a4")]
    generation: Option<String>,
}

/// The stream that fails.
#[derive(Deserialize, ToSchema)]
pub struct FailStream {
    /// The stream's key.
    #[schema(example = "chat-1")]
    key: String,
    /// A word for programs that says what went wrong: 1 to 64 of `a` to `z`, `0` to `9`, `-`. The
    /// default is `error`.
    #[schema(example = "model-overloaded")]
    code: Option<String>,
    /// A text for people that says what went wrong, in at most 1 KiB. The default is empty.
    #[schema(example = "The model is overloaded")]
    message: Option<String>,
    /// The generation that the stream must have, as the broker gave it when the stream was created.
    #[schema(example = "5f2b8c0e9d4a4b7f8a1c3e5d7f90b2a4")]
    generation: Option<String>,
}

/// How a stream was finished.
#[derive(Serialize, ToSchema)]
pub struct Finished {
    /// `ended`, `cancelled` or `failed`.
    #[schema(value_type = String, example = "ended")]
    status: Status,
}

/// `invalid-key`, `invalid-request`, `malformed-json`
#[derive(IntoResponses)]
#[response(status = 400)]
pub struct InvalidBody(pub ErrorBody<'static>);

/// Ends a stream. It takes no more events. The broker disconnects each subscriber after it has sent
/// all events.
#[utoipa::path(
    operation_id = "end_stream",
    context_path = "/api",
    tag = "streams",
    security(("api_key" = [])),
    request_body = EndStream,
    responses(
        (
            status = 200,
            description = "The stream has ended. Its last event is `end`, with `data` if given",
            body = Finished
        ),
        InvalidBody,
        Unauthorized,
        NoActiveStream,
        RequestTimeout,
        StaleGeneration,
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
    let EndIn {
        key,
        data,
        generation,
    } = body.json()?;
    let data =
        stored_data(data).map_err(|error| invalid(format!("data is not valid text: {error}")))?;
    let finish = json::ended(data, state.settings.max_event);
    finish_with(&key, generation.as_deref(), finish, state).await
}

/// Cancels a stream. It takes no more events. The broker disconnects each subscriber after it has
/// sent all events.
#[utoipa::path(
    operation_id = "cancel_stream",
    context_path = "/api",
    tag = "streams",
    security(("api_key" = [])),
    request_body = CancelStream,
    responses(
        (
            status = 200,
            description = "The stream is cancelled. Its last event is `cancel`, with the data \
                `{\"reason\"?, \"by\"?}` if one is given",
            body = Finished
        ),
        InvalidBody,
        Unauthorized,
        NoActiveStream,
        RequestTimeout,
        StaleGeneration,
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
    let CancelStream {
        key,
        reason,
        by,
        generation,
    } = body.json()?;
    let finish = json::cancelled(reason.as_deref(), by.as_deref());
    finish_with(&key, generation.as_deref(), finish, state).await
}

/// Reports that the producer failed. The stream takes no more events. The broker disconnects each
/// subscriber after it has sent all events.
#[utoipa::path(
    operation_id = "fail_stream",
    context_path = "/api",
    tag = "streams",
    security(("api_key" = [])),
    request_body = FailStream,
    responses(
        (
            status = 200,
            description = "The stream has failed. Its last event is `fail`, with the data \
                `{\"code\", \"message\"}`",
            body = Finished
        ),
        InvalidBody,
        Unauthorized,
        NoActiveStream,
        RequestTimeout,
        StaleGeneration,
        TooLarge,
        UnsupportedMediaType,
        StoreUnavailable,
    )
)]
#[post("/stream/fail", data = "<body>")]
pub async fn fail(
    _caller: ApiKeyHolder,
    body: Body,
    state: AppState<'_>,
) -> Result<Json<Finished>, ApiError> {
    let FailStream {
        key,
        code,
        message,
        generation,
    } = body.json()?;
    let finish = json::failed(code.as_deref(), message.as_deref());
    finish_with(&key, generation.as_deref(), finish, state).await
}

fn refusal(problem: &InvalidFinish) -> ApiError {
    match problem {
        InvalidFinish::TooLarge { .. } => ApiError::new(ErrorCode::TooLarge, problem.to_string()),
        InvalidFinish::TooLong { .. } | InvalidFinish::Code => invalid(problem.to_string()),
    }
}

async fn finish_with(
    key: &str,
    required: Option<&str>,
    finish: Result<Finish, InvalidFinish>,
    state: AppState<'_>,
) -> Result<Json<Finished>, ApiError> {
    let finish = finish.map_err(|problem| refusal(&problem))?;
    let (key, required) = (stream_key(key)?, generation(required)?);
    state
        .store
        .finish(&key, required, &finish)
        .await
        .map_err(at(&key))?;
    state.metrics.streams.finish(match finish.kind {
        FinishKind::End => Outcome::Ended,
        FinishKind::Cancel => Outcome::Cancelled,
        FinishKind::Fail => Outcome::Failed,
    });
    Ok(Json(Finished {
        status: finish.kind.status(),
    }))
}

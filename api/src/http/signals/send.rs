//! `POST /client/signal`: a subscriber asks the producer of a stream to do something.

use rocket::{
    Request, async_trait, post,
    request::{FromRequest, Outcome},
    serde::json::Json,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    auth::permissions::Subject,
    codec::json::compact,
    http::{
        body::Body,
        error::{ApiError, ErrorBody, ErrorCode},
        error_responses::{
            NoActiveStream, RequestTimeout, StaleGeneration, StoreUnavailable, TooLarge,
            UnsupportedMediaType,
        },
        guards::{ApiKeyHolder, TokenGrant},
        query::{QueryKey, generation},
        state::AppState,
        store_error::at,
    },
    store::StoreError,
    stream::{BY_API_KEY, InvalidSignalId, InvalidSignalName, MAX_SIGNAL_DATA, NewSignal},
    telemetry::metrics::SignalKind,
};

/// A signal to the producer of a stream.
#[derive(Deserialize, ToSchema)]
pub struct SendSignal<'a> {
    /// What the producer is asked to do: 1 to 64 of `a` to `z`, `0` to `9`, `-`. `stop` asks it to
    /// finish. Other names are the application's own.
    #[schema(example = "stop")]
    name: String,
    /// More about it: any JSON value of at most 16 KiB. `null` is the same as none.
    #[serde(borrow)]
    #[schema(value_type = Option<serde_json::Value>)]
    data: Option<&'a RawValue>,
    /// An id of the signal, 1 to 64 characters. If the same sender sends a signal with the same id
    /// again, the broker does not store it again.
    #[schema(example = "c7d1c1c0", min_length = 1, max_length = 64)]
    id: Option<String>,
    /// The generation that the stream must have, as the broker gave it when the stream was created.
    #[schema(example = "5f2b8c0e9d4a4b7f8a1c3e5d7f90b2a4")]
    generation: Option<String>,
}

/// The number of a stored signal.
#[derive(Serialize, ToSchema)]
pub struct SignalSent {
    /// The number of the signal in its stream, from 1. For a signal that was stored before, this is
    /// the number of that one.
    #[schema(example = 1)]
    seq: u64,
}

/// The sender of a signal: who holds an API key, or a token.
pub enum SignalSender {
    /// The caller sent a valid API key.
    ApiKey,
    /// The caller sent a valid token.
    Token(TokenGrant),
}

#[async_trait]
impl<'r> FromRequest<'r> for SignalSender {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        if request.headers().contains("X-API-KEY") {
            ApiKeyHolder::from_request(request)
                .await
                .map(|_| Self::ApiKey)
        } else {
            TokenGrant::from_request(request).await.map(Self::Token)
        }
    }
}

/// Sends a signal to the producer of an active stream, for example `stop`.
#[utoipa::path(
    operation_id = "send_signal",
    context_path = "/api",
    tag = "clients",
    security(("client_token" = []), ("client_token_query" = []), ("api_key" = [])),
    params(("key" = String, Query, description = "The stream's key")),
    request_body = SendSignal<'_>,
    responses(
        (
            status = 200,
            description = "The broker has stored the signal, and the producer gets it",
            body = SignalSent
        ),
        (
            status = 400,
            description = "`missing-parameter`, `invalid-key`, `invalid-request`, \
                `malformed-json`",
            body = ErrorBody<'static>
        ),
        (
            status = 401,
            description = "`unauthorized`, `token-expired`",
            body = ErrorBody<'static>
        ),
        (
            status = 403,
            description = "`forbidden`: the token does not have the permission `signal`, does not \
                open the stream, or is for an earlier stream at the key",
            body = ErrorBody<'static>
        ),
        NoActiveStream,
        RequestTimeout,
        StaleGeneration,
        TooLarge,
        UnsupportedMediaType,
        (
            status = 429,
            description = "`too-many-signals`: the stream, or this subject, has sent too many",
            body = ErrorBody<'static>
        ),
        StoreUnavailable,
    )
)]
#[post("/client/signal", data = "<body>")]
pub async fn send(
    sender: SignalSender,
    key: QueryKey,
    body: Body,
    state: AppState<'_>,
) -> Result<Json<SignalSent>, ApiError> {
    let QueryKey(key) = key;
    let (bound, by) = match &sender {
        SignalSender::ApiKey => (None, Some(BY_API_KEY)),
        SignalSender::Token(token) => (
            token.may_signal(&key)?,
            token.subject().map(Subject::as_str),
        ),
    };
    let SendSignal {
        name,
        data,
        id,
        generation: required,
    } = body.json()?;
    let required = generation(required.as_deref())?;
    let signal = NewSignal {
        name: name
            .parse()
            .map_err(|error: InvalidSignalName| invalid(error.to_string()))?,
        data: data.map(checked).transpose()?,
        id: id
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|error: InvalidSignalId| invalid(error.to_string()))?,
        by: by.map(Into::into),
    };
    let kind = if signal.name.is_stop() {
        SignalKind::Stop
    } else {
        SignalKind::Other
    };
    let sent = match (bound, required) {
        (Some(bound), Some(required)) if bound != required => Err(StoreError::StaleGeneration),
        _ => state.store.signal(&key, bound.or(required), &signal).await,
    };
    match sent {
        Ok(seq) => {
            state.metrics.streams.signal(kind);
            Ok(Json(SignalSent { seq }))
        }
        Err(StoreError::StaleGeneration) if required.is_none() => Err(ApiError::new(
            ErrorCode::Forbidden,
            format!("The token is for an earlier stream at {:?}", key.as_str()),
        )),
        Err(error) => Err(at(&key)(error)),
    }
}

/// The data as compact JSON text.
fn checked(data: &RawValue) -> Result<Box<str>, ApiError> {
    let data = compact(data.get());
    if data.len() > MAX_SIGNAL_DATA {
        return Err(invalid(format!(
            "data is at most {MAX_SIGNAL_DATA} bytes of JSON, not {}",
            data.len()
        )));
    }
    Ok(data.into())
}

fn invalid(message: String) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, message)
}

//! What routes take from the query and the headers, checked before a handler runs.

use rocket::{
    Request, async_trait,
    request::{FromRequest, Outcome},
};
use rocket_ws::WebSocket;

use crate::{
    config::Settings,
    cors::may_connect,
    error::{ApiError, ErrorCode},
    event::{EventId, StreamKey},
};

/// `?key=`: a stream key.
pub struct QueryKey(pub StreamKey);

/// Where a client wants to go on: `Last-Event-ID`, else `?last_event_id=`, else `?lastEventId=`. An empty one is none.
pub struct Cursor(pub Option<EventId>);

/// A WebSocket handshake, or a plain request, which a handler refuses when nothing else is wrong with it: a client that may
/// not follow the stream should hear that, not how it might have asked better. A handshake from a page of an origin that is not allowed
/// is refused.
pub struct Upgrade(Option<WebSocket>);

impl Upgrade {
    /// The handshake.
    pub(super) fn required(self) -> Result<WebSocket, ApiError> {
        self.0.ok_or_else(|| ApiError::new(ErrorCode::UpgradeRequired, "This path speaks WebSocket: send an upgrade request"))
    }
}

/// Reads a stream key from a request's body or query.
pub(super) fn stream_key(text: &str) -> Result<StreamKey, ApiError> {
    text.parse().map_err(|error: crate::event::InvalidKey| ApiError::new(ErrorCode::InvalidKey, error.to_string()))
}

#[async_trait]
impl<'r> FromRequest<'r> for QueryKey {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        // Rocket's own reading would turn bytes that are not UTF-8 into other characters, and so into another key.
        let raw = request.uri().query().and_then(|query| {
            let pairs = query.raw_segments().map(|pair| pair.split_at_byte(b'='));
            pairs.into_iter().find_map(|(name, value)| (name == "key").then_some(value))
        });
        let Some(raw) = raw else {
            return ApiError::new(ErrorCode::MissingParameter, "The query needs a key: ?key=…").refuse(request);
        };
        match stream_key(&raw.url_decode().unwrap_or_default()) {
            Ok(key) => Outcome::Success(Self(key)),
            Err(error) => error.refuse(request),
        }
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for Cursor {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        let query = |name| request.query_value::<&str>(name).and_then(Result::ok);
        let given = [request.headers().get_one("Last-Event-ID"), query("last_event_id"), query("lastEventId")];
        match given.into_iter().flatten().find(|text| !text.is_empty()).map(str::parse::<EventId>).transpose() {
            Ok(cursor) => Outcome::Success(Self(cursor)),
            Err(error) => ApiError::new(ErrorCode::InvalidEventId, error.to_string()).refuse(request),
        }
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for Upgrade {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        // Without settings the server was put together wrongly, which no request can cause.
        let Some(settings) = request.rocket().state::<Settings>() else { return ApiError::internal().refuse(request) };
        let Outcome::Success(socket) = WebSocket::from_request(request).await else { return Outcome::Success(Self(None)) };
        if may_connect(request.headers(), settings) {
            return Outcome::Success(Self(Some(socket)));
        }
        ApiError::new(ErrorCode::Forbidden, "Pages of this origin may not connect; STREAMER_ALLOWED_ORIGINS says which may").refuse(request)
    }
}

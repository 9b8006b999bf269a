//! Parameters of the query and the headers, checked before a handler runs.

use std::{borrow::Cow, str::Utf8Error};

use rocket::{
    Request, async_trait,
    http::RawStr,
    request::{FromRequest, Outcome},
};
use rocket_ws::WebSocket;

use super::{
    cors::may_connect,
    error::{ApiError, ErrorCode},
};
use crate::{
    config::Settings,
    stream::{Generation, InvalidGeneration, StreamKey},
};

/// The decoded pairs of a query. Rocket's own parser would replace bytes that are not UTF-8, and so
/// turn a key into another key.
pub(super) struct Query<'r>(Vec<(&'r str, Result<Cow<'r, str>, Utf8Error>)>);

impl<'r> Query<'r> {
    pub(super) fn of(request: &'r Request<'_>) -> Self {
        request.uri().query().map_or(Self(Vec::new()), |query| {
            Self::read(RawStr::new(query.as_str()))
        })
    }

    pub(super) fn read(query: &'r RawStr) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_at_byte(b'='))
                .map(|(name, value)| (name.as_str(), value.url_decode()))
                .collect(),
        )
    }

    /// The values of this name, in order. None for a value that is not UTF-8.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = Option<&str>> {
        self.0
            .iter()
            .filter(move |(found, _)| *found == name)
            .map(|(_, value)| value.as_deref().ok())
    }

    /// The values of this name, in order. An error if one is not UTF-8.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<&str>, ApiError> {
        let text = |value: Option<_>| {
            value.ok_or_else(|| {
                ApiError::new(ErrorCode::InvalidParameter, format!("{name} is not UTF-8"))
            })
        };
        self.all(name).map(text).collect()
    }

    /// The first value of this name.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        Ok(self.texts(name)?.first().copied())
    }
}

/// The query parameter `key`: a stream key.
pub struct QueryKey(pub StreamKey);

/// The query parameters `key` and `generation`. With a generation, the stream must have it.
pub struct QueryStream {
    pub(super) key: StreamKey,
    pub(super) generation: Option<Generation>,
}

/// Parses the generation of a body.
pub(super) fn generation(text: Option<&str>) -> Result<Option<Generation>, ApiError> {
    text.map(str::parse)
        .transpose()
        .map_err(|error: InvalidGeneration| {
            ApiError::new(ErrorCode::InvalidRequest, error.to_string())
        })
}

/// A WebSocket handshake, or none if the request is a plain one. A handler refuses a plain request
/// last: an error about the token or the stream helps the caller more. The guard itself refuses a
/// handshake from a page of an origin that is not allowed.
pub struct Upgrade(Option<WebSocket>);

impl Upgrade {
    /// The handshake, or an error if the request is a plain one.
    pub(super) fn required(self) -> Result<WebSocket, ApiError> {
        self.0.ok_or_else(|| {
            ApiError::new(
                ErrorCode::UpgradeRequired,
                "This path needs a WebSocket handshake",
            )
        })
    }
}

/// Parses a stream key of a body or a query.
pub(super) fn stream_key(text: &str) -> Result<StreamKey, ApiError> {
    text.parse().map_err(|error: crate::stream::InvalidKey| {
        ApiError::new(ErrorCode::InvalidKey, error.to_string())
    })
}

/// The key of a query.
fn key_of(query: &Query<'_>) -> Result<StreamKey, ApiError> {
    let Some(key) = query.all("key").next() else {
        let message = "The query needs the parameter key: ?key=…";
        return Err(ApiError::new(ErrorCode::MissingParameter, message));
    };
    stream_key(key.unwrap_or_default())
}

#[async_trait]
impl<'r> FromRequest<'r> for QueryKey {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        match key_of(&Query::of(request)) {
            Ok(key) => Outcome::Success(Self(key)),
            Err(error) => error.refuse(request),
        }
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for QueryStream {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        let query = Query::of(request);
        let generation = |text: &str| {
            text.parse().map_err(|error: InvalidGeneration| {
                ApiError::new(ErrorCode::InvalidParameter, error.to_string())
            })
        };
        let parsed = key_of(&query).and_then(|key| {
            let generation = query.text("generation")?.map(generation).transpose()?;
            Ok(Self { key, generation })
        });
        match parsed {
            Ok(stream) => Outcome::Success(stream),
            Err(error) => error.refuse(request),
        }
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for Upgrade {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        // Only a bug in `server.rs` can leave out the settings.
        let Some(settings) = request.rocket().state::<Settings>() else {
            return ApiError::internal().refuse(request);
        };
        let Outcome::Success(socket) = WebSocket::from_request(request).await else {
            return Outcome::Success(Self(None));
        };
        if may_connect(request.headers(), settings) {
            return Outcome::Success(Self(Some(socket)));
        }
        ApiError::new(
            ErrorCode::Forbidden,
            "Pages of this origin may not connect; STREAMER_ALLOWED_ORIGINS lists those that may",
        )
        .refuse(request)
    }
}

//! Request guards that authenticate callers: a route with one of them refuses all others.

use std::borrow::Cow;

use rocket::{
    Request, async_trait,
    http::RawStr,
    request::{FromRequest, Outcome},
};

use super::error::{ApiError, ErrorCode};
use crate::{
    auth::{
        api_key::{ApiKeys, KeyIndex},
        claims::Claims,
        client_token::{TokenError, TokenRing},
        permissions::Subject,
    },
    store::StreamInfo,
    stream::{Generation, StreamKey},
};

/// The caller sent a valid API key in the header `X-API-KEY`: this one.
#[derive(Debug)]
pub struct ApiKeyHolder(pub KeyIndex);

/// The caller sent a valid token that has not expired. The route must still check which streams the
/// token opens, and to what end.
#[derive(Clone, Debug)]
pub struct TokenGrant(Claims);

#[async_trait]
impl<'r> FromRequest<'r> for ApiKeyHolder {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        // Only a bug in `server.rs` can leave out the keys.
        let Some(keys) = request.rocket().state::<ApiKeys>() else {
            return ApiError::internal().refuse(request);
        };
        match request
            .headers()
            .get_one("X-API-KEY")
            .map(|key| keys.accept(key))
        {
            Some(Some(index)) => Outcome::Success(Self(index)),
            Some(None) => ApiError::new(
                ErrorCode::Unauthorized,
                "The API key in the header X-API-KEY is not valid",
            )
            .refuse(request),
            None => ApiError::new(
                ErrorCode::Unauthorized,
                "This route needs an API key in the header X-API-KEY",
            )
            .refuse(request),
        }
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for TokenGrant {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        let Some(ring) = request.rocket().state::<TokenRing>() else {
            return ApiError::internal().refuse(request);
        };
        let Some(token) = token(request) else {
            return ApiError::new(
                ErrorCode::Unauthorized,
                "This route needs a token: Authorization: Bearer …, or ?token=…",
            )
            .refuse(request);
        };
        let now = u64::try_from(chrono::Utc::now().timestamp()).unwrap_or(0);
        match ring.open(&token, now) {
            Ok(claims) => Outcome::Success(Self(claims)),
            Err(TokenError::Invalid) => {
                ApiError::new(ErrorCode::Unauthorized, "The token is not valid").refuse(request)
            }
            Err(TokenError::Expired) => ApiError::new(
                ErrorCode::TokenExpired,
                "The token has expired; ask the backend for another one",
            )
            .refuse(request),
        }
    }
}

impl TokenGrant {
    /// What the token says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.0
    }

    /// Returns an error unless the token permits to follow streams, and covers this key.
    pub fn may_follow(&self, key: &StreamKey) -> Result<(), ApiError> {
        if !self.0.permissions.read {
            Err(forbidden("The token does not permit to read", key))
        } else if self.0.scope.covers(key) {
            Ok(())
        } else {
            Err(forbidden("The token does not open", key))
        }
    }

    /// Returns an error unless the token permits to send signals, and covers this key. Returns the
    /// generation that it is bound to, if any.
    pub fn may_signal(&self, key: &StreamKey) -> Result<Option<Generation>, ApiError> {
        if !self.0.permissions.signal {
            let what = "The token does not permit to send signals to";
            Err(forbidden(what, key))
        } else if self.0.scope.covers(key) {
            Ok(self.0.scope.generation(key))
        } else {
            Err(forbidden("The token does not open", key))
        }
    }

    /// The subject of the token, if it has one.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        self.0.subject.as_ref()
    }

    /// Returns an error if the token is bound to an earlier stream at this key. It does not check
    /// whether the token covers the key: [`Self::may_follow`] does.
    pub fn may_open(&self, key: &StreamKey, info: &StreamInfo) -> Result<(), ApiError> {
        let opens = self
            .0
            .scope
            .generation(key)
            .is_none_or(|generation| generation == info.generation);
        if opens {
            Ok(())
        } else {
            Err(forbidden("The token is for an earlier stream at", key))
        }
    }

    /// Whether the token opens only one stream at this key, and no later one.
    #[must_use]
    pub fn is_bound(&self, key: &StreamKey) -> bool {
        self.0.scope.generation(key).is_some()
    }
}

/// A `forbidden` error. Its message names the key, because a request may have several.
fn forbidden(what: &str, key: &StreamKey) -> ApiError {
    ApiError::new(ErrorCode::Forbidden, format!("{what} {:?}", key.as_str()))
}

/// The token of the header, or else of the query: `EventSource` and `WebSocket` in browsers can't
/// set headers. Headers of other schemes, which proxies may add, do not count.
fn token(request: &Request<'_>) -> Option<String> {
    let bearer = request.headers().get("Authorization").find_map(|value| {
        let (scheme, token) = value.trim().split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| token.trim().to_owned())
    });
    bearer
        .or_else(|| token_in_query(request))
        .filter(|token| !token.is_empty())
}

/// Reads exactly `token=`. Rocket's own parser would accept `token[]=`, `token.x=` and
/// `token%5B%5D=` too. Proxies and log filters hide only the first name, and would show a token
/// under another name.
fn token_in_query(request: &Request<'_>) -> Option<String> {
    let query = RawStr::new(request.uri().query()?.as_str());
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))?;
    value.url_decode().ok().map(Cow::into_owned)
}

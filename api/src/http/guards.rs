//! Request guards: a route that takes one of these is open to nobody else.

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
        claims::Scope,
        client_token::{TokenError, TokenRing},
    },
    store::StreamInfo,
    stream::StreamKey,
};

/// The request has a good `X-API-KEY`: this one.
#[derive(Debug)]
pub struct ApiKeyHolder(pub KeyIndex);

/// The request has a client token that is one of ours and has not expired. Which streams it opens
/// is still to be asked.
#[derive(Clone, Debug)]
pub struct TokenGrant(Scope);

#[async_trait]
impl<'r> FromRequest<'r> for ApiKeyHolder {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        // Without its keys the server was put together wrongly, which no request can cause.
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
                "The X-API-KEY header does not hold a key that is good here",
            )
            .refuse(request),
            None => ApiError::new(
                ErrorCode::Unauthorized,
                "This route needs an X-API-KEY header",
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
                "This route needs a client token: Authorization: Bearer …, or ?token=…",
            )
            .refuse(request);
        };
        let now = u64::try_from(chrono::Utc::now().timestamp()).unwrap_or(0);
        match ring.open(&token, now) {
            Ok(claims) => Outcome::Success(Self(claims.scope)),
            Err(TokenError::Invalid) => {
                ApiError::new(ErrorCode::Unauthorized, "The client token is not valid")
                    .refuse(request)
            }
            Err(TokenError::Expired) => ApiError::new(
                ErrorCode::TokenExpired,
                "The client token has expired; ask the backend for another",
            )
            .refuse(request),
        }
    }
}

impl TokenGrant {
    /// Refuses unless the token covers this key.
    pub fn may_follow(&self, key: &StreamKey) -> Result<(), ApiError> {
        if self.0.covers(key) {
            Ok(())
        } else {
            Err(forbidden("The client token does not open", key))
        }
    }

    /// Refuses where the token is bound to a stream at this key and this one is another: a later
    /// one. Whether it covers the key is for [`Self::may_follow`] to say.
    pub fn may_open(&self, key: &StreamKey, info: &StreamInfo) -> Result<(), ApiError> {
        let good = self
            .0
            .generation(key)
            .is_none_or(|generation| generation == info.generation);
        if good {
            Ok(())
        } else {
            Err(forbidden(
                "The client token is for an earlier stream at",
                key,
            ))
        }
    }

    /// Whether the token is bound to one stream of all that this key ever has.
    #[must_use]
    pub fn is_bound(&self, key: &StreamKey) -> bool {
        self.0.generation(key).is_some()
    }
}

/// A request may have several keys: the message names the one that it failed for.
fn forbidden(what: &str, key: &StreamKey) -> ApiError {
    ApiError::new(ErrorCode::Forbidden, format!("{what} {:?}", key.as_str()))
}

/// The token in the header, else in the query: `EventSource` and browsers' `WebSockets` can't set
/// headers. A header of another scheme, such as a proxy's own, does not count.
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

/// Rocket's own reading of a query takes `token[]=`, `token.x=` and `token%5B%5D=` for `token=`,
/// too. Proxies and log filters that hide tokens know the one name, so that a token under another
/// name would be shown.
fn token_in_query(request: &Request<'_>) -> Option<String> {
    let query = RawStr::new(request.uri().query()?.as_str());
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))?;
    value.url_decode().ok().map(Cow::into_owned)
}

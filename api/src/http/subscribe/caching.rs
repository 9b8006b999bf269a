//! Whether the answer to a poll may be cached, and whether the subscriber has it already.

use std::{convert::Infallible, time::Duration};

use rocket::{
    Request, async_trait,
    request::{FromRequest, Outcome},
};
use sha2::{Digest, Sha256};

use super::resolve::{ResolvedStream, StreamState};
use crate::{http::guards::TokenGrant, stream::Status};

/// How long an answer may be cached. The events of finished streams do not change any more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Freshness {
    pub(super) is_final: bool,
    /// The token opens only these streams, and no later ones at their keys.
    is_bound: bool,
    /// How long all of the streams are kept.
    ttl: Duration,
}

impl Freshness {
    pub(super) fn of(found: &[ResolvedStream], token: &TokenGrant) -> Self {
        let kept = |found: &ResolvedStream| match &found.state {
            StreamState::Open { page, .. } if page.info.status != Status::Active => {
                Some(page.info.ttl)
            }
            StreamState::Complete { ttl, .. } => Some(*ttl),
            StreamState::Open { .. } | StreamState::Awaited { .. } | StreamState::Deleted => None,
        };
        match found
            .iter()
            .map(kept)
            .collect::<Option<Vec<_>>>()
            .and_then(|kept| kept.into_iter().min())
        {
            Some(ttl) => Self {
                is_final: true,
                is_bound: found.iter().all(|found| token.is_bound(&found.key)),
                ttl,
            },
            None => Self::default(),
        }
    }
}

/// The `If-None-Match` of a request.
pub struct KnownTags(Option<String>);

impl KnownTags {
    pub(super) fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for KnownTags {
    type Error = Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Infallible> {
        let tags: Vec<_> = request.headers().get("If-None-Match").collect();
        Outcome::Success(Self((!tags.is_empty()).then(|| tags.join(","))))
    }
}

/// The headers that say how long an answer may be cached.
#[derive(Debug, Default)]
pub struct FreshnessHeaders {
    /// The `ETag`, and the `Cache-Control` that goes with it.
    pub(super) tag: Option<(String, String)>,
    /// The subscriber has this answer.
    pub(super) is_known: bool,
}

impl Freshness {
    pub(super) fn headers(self, body: &str, known: Option<&str>) -> FreshnessHeaders {
        if !self.is_final {
            return FreshnessHeaders::default();
        }
        // RFC 9110, 8.8.3. The tag depends on nothing but the body.
        let tag = format!(
            "\"{}\"",
            hex::encode(&Sha256::digest(body.as_bytes())[..16])
        );
        let mut known = known
            .into_iter()
            .flat_map(|tags| tags.split(','))
            .map(str::trim);
        let is_known =
            known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag);
        let cache_control = if self.is_bound {
            format!("private, max-age={}", self.ttl.as_secs())
        } else {
            "private, no-cache".to_owned()
        };
        FreshnessHeaders {
            tag: Some((tag, cache_control)),
            is_known,
        }
    }
}

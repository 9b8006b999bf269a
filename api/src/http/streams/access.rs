//! The access to streams that a caller hands on to its subscribers: URLs and a token.

use std::{borrow::Cow, time::Duration};

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    auth::{
        claims::{Claims, Scope},
        client_token::{MAX_PLAIN_BYTES, SealError, TokenRing},
        permissions::{InvalidSubject, Permissions, Subject},
    },
    codec::list::Bounded,
    config::{Settings, TTL_SECONDS},
    http::error::{ApiError, ErrorCode},
    stream::{Generation, StreamKey},
};

/// The characters that URLs encode: all but the unreserved ones ([RFC 3986,
/// 2.3](https://www.rfc-editor.org/rfc/rfc3986#section-2.3)). Client libraries compare such URLs as
/// strings.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The most items of a list of permissions: each once.
pub(super) const MAX_PERMISSIONS: usize = 2;

/// The URLs at which subscribers follow streams, and the token that opens the streams. The URLs
/// name the streams, except for a token of a prefix.
#[derive(Serialize, ToSchema)]
pub struct Access {
    /// For server-sent events; without the token.
    #[schema(example = "http://localhost:8000/api/client/sse?key=chat-1")]
    sse_url: String,
    /// For WebSocket; without the token.
    #[schema(example = "ws://localhost:8000/api/client/ws?key=chat-1")]
    ws_url: String,
    /// The token.
    token: String,
    /// When the token expires. RFC 3339.
    #[schema(example = "2026-01-01T00:10:00.000Z")]
    expires_at: String,
    /// Distinguishes the stream from every other that has had its key: 32 hex digits. A request
    /// that names it means this stream and no later one. Absent unless the token is for one stream
    /// that exists.
    #[schema(
        value_type = Option<String>,
        example = "5f2b8c0e9d4a4b7f8a1c3e5d7f90b2a4",
        nullable = false
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<Generation>,
    /// Whether this request created the stream. Only in the answer to `POST /stream`.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<bool>,
}

/// What a token can permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Permission {
    /// To follow the streams.
    Read,
    /// To send signals to their producers.
    Signal,
}

/// What a token is to permit, and for whom.
pub(super) struct Grant {
    permissions: Permissions,
    subject: Option<Subject>,
}

impl Grant {
    /// Checks the members `permissions` and `subject` of a body. Errors: `invalid-request`.
    pub(super) fn new(
        permissions: Option<Bounded<Permission, MAX_PERMISSIONS>>,
        subject: Option<&str>,
    ) -> Result<Self, ApiError> {
        let permissions = match permissions {
            None => Permissions::READ,
            Some(Bounded { values, count }) if (1..=MAX_PERMISSIONS).contains(&count) => {
                Permissions {
                    read: values.contains(&Permission::Read),
                    signal: values.contains(&Permission::Signal),
                }
            }
            Some(_) => {
                return Err(invalid(
                    "permissions is a list of read, of signal, or of both",
                ));
            }
        };
        let subject = subject.map(str::parse).transpose();
        Ok(Self {
            permissions,
            subject: subject.map_err(|error: InvalidSubject| invalid(error.to_string()))?,
        })
    }
}

impl Access {
    /// Says whether the request created the stream.
    pub(super) fn with_created(mut self, created: bool) -> Self {
        self.created = Some(created);
        self
    }

    /// Issues a token with this scope, and makes the URLs for these streams.
    pub(super) fn issue(
        scope: Scope,
        grant: Grant,
        keys: &[StreamKey],
        ttl: Duration,
        settings: &Settings,
        ring: &TokenRing,
    ) -> Result<Self, ApiError> {
        let address = &settings.server_address;
        let ws_address = address.replacen("http", "ws", 1);
        let query = query_of(keys);
        // Rounded up, because tokens count whole seconds: none expires sooner than requested.
        let expires_at = (Utc::now() + ttl + Duration::from_millis(999)).trunc_subsecs(0);
        let generation = match keys {
            [key] => scope.generation(key),
            _ => None,
        };
        let claims = Claims {
            scope,
            permissions: grant.permissions,
            subject: grant.subject,
            expires_at: u64::try_from(expires_at.timestamp()).unwrap_or(0),
        };
        Ok(Self {
            sse_url: format!("{address}/api/client/sse{query}"),
            ws_url: format!("{ws_address}/api/client/ws{query}"),
            token: ring.seal(&claims).map_err(seal_error)?,
            expires_at: rfc3339(expires_at),
            generation,
            created: None,
        })
    }
}

fn query_of(keys: &[StreamKey]) -> String {
    if keys.is_empty() {
        return String::new();
    }
    let pairs: Vec<_> = keys
        .iter()
        .map(|key| format!("key={}", utf8_percent_encode(key.as_str(), RESERVED)))
        .collect();
    format!("?{}", pairs.join("&"))
}

fn seal_error(error: SealError) -> ApiError {
    match error {
        SealError::TooLong => invalid(format!(
            "These keys would make a token of more than {MAX_PLAIN_BYTES} bytes; \
             use a prefix, which covers any number of streams"
        )),
        SealError::Cipher => {
            tracing::error!(%error, "the broker could not make a token");
            ApiError::internal()
        }
    }
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The time to live that a body asks for, or the default.
pub(super) fn time_to_live(
    requested: Option<u64>,
    settings: &Settings,
) -> Result<Duration, ApiError> {
    match requested {
        None => Ok(settings.ttl),
        Some(ttl) if TTL_SECONDS.contains(&ttl) => Ok(Duration::from_secs(ttl)),
        Some(ttl) => Err(invalid(format!(
            "ttl is {} to {} seconds, not {ttl}",
            TTL_SECONDS.start(),
            TTL_SECONDS.end()
        ))),
    }
}

/// An `invalid-request` error.
pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, message)
}

//! Starting a stream, and letting clients in: URLs and tokens.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rocket::{State, post, serde::json::Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    auth::{
        client_token::{Claims, TokenRing},
        guard::Backend,
    },
    config::{MAX_EVENTS, Settings, TTL_SECONDS},
    error::{ApiError, ErrorBody, ErrorCode},
    event::StreamKey,
    metrics::SharedMetrics,
    routes::{body::Body, params::stream_key, streams::quota::Quotas},
    store::{Birth, NewStream, SharedStore, StoreError},
};

/// What a new stream asks for.
#[derive(Deserialize, ToSchema)]
pub struct CreateStream {
    /// Its key: 1 to 256 bytes of UTF-8 without control characters.
    #[schema(example = "chat-1", max_length = 256)]
    key: String,
    /// Seconds that it lives after its last write, and that the token is good for; the default is `STREAMER_TTL`.
    #[schema(minimum = 1, maximum = 604_800)]
    ttl: Option<u64>,
    /// How many events it keeps; the default is `STREAMER_MAX_EVENTS`.
    #[schema(minimum = 1, maximum = 1_000_000)]
    max_events: Option<u64>,
}

/// Which stream a token is for.
#[derive(Deserialize, ToSchema)]
pub struct IssueToken {
    /// The key of a stream that exists.
    #[schema(example = "chat-1")]
    key: String,
    /// Seconds that the token is good for; the default is `STREAMER_TTL`.
    #[schema(minimum = 1, maximum = 604_800)]
    ttl: Option<u64>,
}

/// Where clients follow a stream, and what opens it to them.
#[derive(Serialize, ToSchema)]
pub struct Access {
    /// For server-sent events; without the token.
    #[schema(example = "http://localhost:8000/api/client/sse?key=chat%2D1")]
    sse_url: String,
    /// For WebSocket; without the token.
    #[schema(example = "ws://localhost:8000/api/client/ws?key=chat%2D1")]
    ws_url: String,
    /// The client token.
    token: String,
    /// From when on the token is no good. RFC 3339.
    #[schema(example = "2026-01-01T00:10:00.000Z")]
    expires_at: String,
}

/// Starts a stream.
#[utoipa::path(operation_id = "create_stream", context_path = "/api", tag = "streams", security(("api_key" = [])), request_body = CreateStream, responses(
    (status = 200, description = "The stream is there; its first event is `start`", body = Access),
    (status = 400, description = "`existing-stream`: a stream at this key is active; `invalid-key`, `invalid-request`, `malformed-json`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 408, description = "`request-timeout`: the body did not arrive within `STREAMER_BODY_TIMEOUT`", body = ErrorBody<'static>),
    (status = 413, description = "`too-large`", body = ErrorBody<'static>),
    (status = 429, description = "`too-many-streams`: of the API key, on this node (`STREAMER_MAX_STREAMS_PER_KEY`)", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[post("/stream", data = "<body>")]
pub async fn create(
    backend: Backend,
    body: Body,
    settings: &State<Settings>,
    store: &State<SharedStore>,
    ring: &State<TokenRing>,
    quotas: &State<Quotas>,
    metrics: &State<SharedMetrics>,
) -> Result<Json<Access>, ApiError> {
    let wanted: CreateStream = body.json()?;
    let key = stream_key(&wanted.key)?;
    let ttl = lifetime(wanted.ttl, settings)?;
    let max_events = wanted.max_events.unwrap_or(settings.max_events);
    if !MAX_EVENTS.contains(&max_events) {
        return Err(ApiError::new(
            ErrorCode::InvalidRequest,
            format!("max_events is {} to {}, not {max_events}", MAX_EVENTS.start(), MAX_EVENTS.end()),
        ));
    }
    let Backend(by) = backend;
    let permit = quotas.claim(by, &key, store).await.inspect_err(|error| {
        if error.code == ErrorCode::TooManyStreams {
            metrics.streams.refused.inc();
        }
    })?;
    let info = store.create(&key, NewStream { ttl, max_events }).await?;
    permit.keep(by, &key, info.birth);
    metrics.streams.created.inc();
    access(key, info.birth, ttl, settings, ring).map(Json)
}

/// Issues a token for a stream that exists.
#[utoipa::path(operation_id = "issue_token", context_path = "/api", tag = "streams", security(("api_key" = [])), request_body = IssueToken, responses(
    (status = 200, description = "A token for the stream that is at this key now", body = Access),
    (status = 400, description = "`invalid-key`, `invalid-request`, `malformed-json`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 404, description = "`no-active-stream`: no stream at this key, neither active nor finished", body = ErrorBody<'static>),
    (status = 408, description = "`request-timeout`: the body did not arrive within `STREAMER_BODY_TIMEOUT`", body = ErrorBody<'static>),
    (status = 413, description = "`too-large`", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[post("/stream/token", data = "<body>")]
pub async fn issue_token(
    _backend: Backend,
    body: Body,
    settings: &State<Settings>,
    store: &State<SharedStore>,
    ring: &State<TokenRing>,
) -> Result<Json<Access>, ApiError> {
    let wanted: IssueToken = body.json()?;
    let key = stream_key(&wanted.key)?;
    let ttl = lifetime(wanted.ttl, settings)?;
    let info = store.info(&key).await.map_err(|error| match error {
        StoreError::NotFound => ApiError::new(ErrorCode::NoActiveStream, "No stream at this key to issue a token for"),
        error => error.into(),
    })?;
    access(key, info.birth, ttl, settings, ring).map(Json)
}

/// URLs and a token for a client of this stream.
fn access(key: StreamKey, birth: Birth, ttl: Duration, settings: &Settings, ring: &TokenRing) -> Result<Access, ApiError> {
    let address = &settings.server_address;
    let ws_address = address.replacen("http", "ws", 1);
    let query = utf8_percent_encode(key.as_str(), NON_ALPHANUMERIC).to_string();
    // Up to a whole second, as tokens count in those: none is good for less than was asked for.
    let expires_at = (Utc::now() + ttl + Duration::from_millis(999)).trunc_subsecs(0);
    let claims = Claims { key, birth, expires_at: u64::try_from(expires_at.timestamp()).unwrap_or(0) };
    let token = ring.seal(&claims).map_err(|error| {
        tracing::error!(%error, "no token");
        ApiError::internal()
    })?;
    Ok(Access {
        sse_url: format!("{address}/api/client/sse?key={query}"),
        ws_url: format!("{ws_address}/api/client/ws?key={query}"),
        token,
        expires_at: rfc3339(expires_at),
    })
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn lifetime(wanted: Option<u64>, settings: &Settings) -> Result<Duration, ApiError> {
    match wanted {
        None => Ok(settings.ttl),
        Some(ttl) if TTL_SECONDS.contains(&ttl) => Ok(Duration::from_secs(ttl)),
        Some(ttl) => Err(ApiError::new(
            ErrorCode::InvalidRequest,
            format!("ttl is {} to {} seconds, not {ttl}", TTL_SECONDS.start(), TTL_SECONDS.end()),
        )),
    }
}

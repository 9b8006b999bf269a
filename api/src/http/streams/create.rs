//! Starting a stream, and letting clients in: URLs and tokens.

use std::{borrow::Cow, time::Duration};

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rocket::{State, post, serde::json::Json};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::{
    auth::{
        claims::{Claims, Scope},
        client_token::{MAX_PLAIN_BYTES, SealError, TokenRing},
    },
    codec::{list::Distinct, number::whole},
    config::{MAX_EVENTS, MAX_KEYS, Settings, TTL_SECONDS},
    http::{
        body::Body,
        error::{ApiError, ErrorBody, ErrorCode},
        guards::ApiKeyHolder,
        query::stream_key,
        store_error::at,
    },
    store::{NewStream, SharedStore, StoreError, quota::Quotas},
    stream::{Generation, StreamKey},
    telemetry::metrics::SharedMetrics,
};

/// Streams that are looked up together for a token.
const LOOK_AHEAD: usize = 16;

/// What is encoded in a URL: all but the unreserved characters ([RFC 3986,
/// 2.3](https://www.rfc-editor.org/rfc/rfc3986#section-2.3)), which should stand for themselves.
/// Clients compare such URLs as strings.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// What a new stream asks for.
#[derive(Deserialize, ToSchema)]
pub struct CreateStream {
    /// Its key: 1 to 256 bytes of UTF-8 without control characters.
    #[schema(example = "chat-1")]
    key: String,
    /// Seconds that it lives after its last write, and that the token is good for; the default is
    /// `STREAMER_TTL`.
    #[schema(minimum = 1, maximum = 604_800)]
    #[serde(default, deserialize_with = "whole")]
    ttl: Option<u64>,
    /// How many events it keeps; the default is `STREAMER_MAX_EVENTS`.
    #[schema(minimum = 1, maximum = 1_000_000)]
    #[serde(default, deserialize_with = "whole")]
    max_events: Option<u64>,
}

/// Which streams a token is for: exactly one of `key`, `keys` and `prefix`.
#[derive(Deserialize, ToSchema)]
pub struct IssueToken {
    /// The key of one stream.
    #[schema(example = "chat-1")]
    key: Option<String>,
    /// The keys of several streams, at most `STREAMER_MAX_KEYS_PER_CLIENT` (32); the same key twice
    /// counts once.
    #[serde(default, deserialize_with = "distinct_keys")]
    keys: Option<Vec<String>>,
    /// What the keys of all streams begin with that the token is for, now and later: 1 to 256 bytes
    /// of UTF-8 without control characters.
    prefix: Option<String>,
    /// Seconds that the token is good for; the default is `STREAMER_TTL`.
    #[schema(minimum = 1, maximum = 604_800)]
    #[serde(default, deserialize_with = "whole")]
    ttl: Option<u64>,
    /// With `key` or `keys`: whether streams that are not there yet are let in, whichever comes at
    /// their key.
    #[serde(default)]
    wait: bool,
}

/// Where clients follow streams, and what opens these to them. The URLs name the streams, but for
/// those of a prefix.
#[derive(Serialize, ToSchema)]
pub struct Access {
    /// For server-sent events; without the token.
    #[schema(example = "http://localhost:8000/api/client/sse?key=chat-1")]
    sse_url: String,
    /// For WebSocket; without the token.
    #[schema(example = "ws://localhost:8000/api/client/ws?key=chat-1")]
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
    (status = 415, description = "`unsupported-media-type`: the body is compressed, or not UTF-8", body = ErrorBody<'static>),
    (status = 429, description = "`too-many-streams`: of the API key, on this node (`STREAMER_MAX_STREAMS_PER_KEY`)", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[post("/stream", data = "<body>")]
pub async fn create(
    backend: ApiKeyHolder,
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
        return Err(invalid(format!(
            "max_events is {} to {}, not {max_events}",
            MAX_EVENTS.start(),
            MAX_EVENTS.end()
        )));
    }
    let ApiKeyHolder(by) = backend;
    let permit = quotas.claim(by, &key, store).await.inspect_err(|error| {
        if error.code == ErrorCode::TooManyStreams {
            metrics.streams.refused.inc();
        }
    })?;
    let info = store
        .create(&key, NewStream { ttl, max_events })
        .await
        .map_err(at(&key))?;
    permit.keep(by, &key, info.generation);
    metrics.streams.created.inc();
    let scope = Scope::Streams([(key.clone(), Some(info.generation))].into());
    access(scope, &[key], ttl, settings, ring).map(Json)
}

/// Issues a token for a stream, for several, or for all whose keys begin alike.
#[utoipa::path(operation_id = "issue_token", context_path = "/api", tag = "streams", security(("api_key" = [])), request_body = IssueToken, responses(
    (status = 200, description = "For `key` and `keys` a token that opens the streams that are there now, and with `wait` whichever comes where there is none; \
        for `prefix` one that opens whatever is at a key with it, now and later", body = Access),
    (status = 400, description = "`invalid-key`, `malformed-json`; `invalid-request`: also where not exactly one of `key`, `keys` and `prefix` is given, or the keys are more than \
        `STREAMER_MAX_KEYS_PER_CLIENT` or longer together than a token can say", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 404, description = "`no-active-stream`: no stream at one of the keys, neither active nor finished, and no `wait`", body = ErrorBody<'static>),
    (status = 408, description = "`request-timeout`: the body did not arrive within `STREAMER_BODY_TIMEOUT`", body = ErrorBody<'static>),
    (status = 413, description = "`too-large`", body = ErrorBody<'static>),
    (status = 415, description = "`unsupported-media-type`: the body is compressed, or not UTF-8", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[post("/stream/token", data = "<body>")]
pub async fn issue_token(
    _backend: ApiKeyHolder,
    body: Body,
    settings: &State<Settings>,
    store: &State<SharedStore>,
    ring: &State<TokenRing>,
) -> Result<Json<Access>, ApiError> {
    let IssueToken {
        key,
        keys,
        prefix,
        ttl,
        wait,
    } = body.json()?;
    let ttl = lifetime(ttl, settings)?;
    let keys = match (key, keys, prefix) {
        (Some(key), None, None) => vec![stream_key(&key)?],
        (None, Some(keys), None) => stream_keys(&keys, settings.max_keys_per_client)?,
        (None, None, Some(prefix)) => {
            let prefix = prefix.parse().map_err(|_| {
                invalid("prefix is 1 to 256 bytes of UTF-8 without control characters")
            })?;
            return access(Scope::Prefix(prefix), &[], ttl, settings, ring).map(Json);
        }
        _ => {
            return Err(invalid(
                "The body takes exactly one of key, keys and prefix",
            ));
        }
    };
    let bind = |key: StreamKey| async move {
        generation(store, &key, wait)
            .await
            .map(|generation| (key, generation))
    };
    let scope = Scope::Streams(
        stream::iter(keys.clone())
            .map(bind)
            .buffered(LOOK_AHEAD)
            .try_collect()
            .await?,
    );
    access(scope, &keys, ttl, settings, ring).map(Json)
}

/// Reads each key once, and one more than there may be: a long list takes no more memory than a
/// short one.
fn distinct_keys<'de, D: Deserializer<'de>>(list: D) -> Result<Option<Vec<String>>, D::Error> {
    let keys: Option<Distinct<{ MAX_KEYS + 1 }>> = Deserialize::deserialize(list)?;
    Ok(keys.map(|Distinct(keys)| keys))
}

/// Checks keys that differ from each other.
fn stream_keys(texts: &[String], most: usize) -> Result<Vec<StreamKey>, ApiError> {
    let keys = texts
        .iter()
        .take(most + 1)
        .map(|text| stream_key(text))
        .collect::<Result<Vec<_>, _>>()?;
    match keys.len() {
        0 => Err(invalid("keys names no stream")),
        count if count > most => Err(invalid(format!(
            "keys names more than {most} streams; a prefix covers any number"
        ))),
        _ => Ok(keys),
    }
}

/// The mark of the stream at this key; none where there is no stream and one may be waited for.
async fn generation(
    store: &SharedStore,
    key: &StreamKey,
    wait: bool,
) -> Result<Option<Generation>, ApiError> {
    match store.info(key).await {
        Ok(info) => Ok(Some(info.generation)),
        Err(StoreError::NotFound) if wait => Ok(None),
        Err(StoreError::NotFound) => Err(ApiError::new(
            ErrorCode::NoActiveStream,
            format!("No stream at {:?} to issue a token for", key.as_str()),
        )),
        Err(error) => Err(error.into()),
    }
}

/// A token that opens this, and URLs for a client of these streams.
fn access(
    scope: Scope,
    keys: &[StreamKey],
    ttl: Duration,
    settings: &Settings,
    ring: &TokenRing,
) -> Result<Access, ApiError> {
    let address = &settings.server_address;
    let ws_address = address.replacen("http", "ws", 1);
    let pairs: Vec<_> = keys
        .iter()
        .map(|key| format!("key={}", utf8_percent_encode(key.as_str(), RESERVED)))
        .collect();
    let query = if pairs.is_empty() {
        String::new()
    } else {
        format!("?{}", pairs.join("&"))
    };
    // Up to a whole second, as tokens count in those: none is good for less than was asked for.
    let expires_at = (Utc::now() + ttl + Duration::from_millis(999)).trunc_subsecs(0);
    let claims = Claims {
        scope,
        expires_at: u64::try_from(expires_at.timestamp()).unwrap_or(0),
    };
    let token = ring.seal(&claims).map_err(|error| match error {
        SealError::TooLong => {
            invalid(format!("These keys would make a token of more than {MAX_PLAIN_BYTES} bytes; a prefix covers any number"))
        }
        SealError::Cipher => {
            tracing::error!(%error, "no token");
            ApiError::internal()
        }
    })?;
    Ok(Access {
        sse_url: format!("{address}/api/client/sse{query}"),
        ws_url: format!("{ws_address}/api/client/ws{query}"),
        token,
        expires_at: rfc3339(expires_at),
    })
}

fn invalid(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, message)
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn lifetime(wanted: Option<u64>, settings: &Settings) -> Result<Duration, ApiError> {
    match wanted {
        None => Ok(settings.ttl),
        Some(ttl) if TTL_SECONDS.contains(&ttl) => Ok(Duration::from_secs(ttl)),
        Some(ttl) => Err(invalid(format!(
            "ttl is {} to {} seconds, not {ttl}",
            TTL_SECONDS.start(),
            TTL_SECONDS.end()
        ))),
    }
}

//! `POST /stream/token`: issues a token for streams.

use futures::{StreamExt, TryStreamExt, stream};
use rocket::{State, post, serde::json::Json};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::access::{Access, Grant, MAX_PERMISSIONS, Permission, invalid, time_to_live};
use crate::{
    auth::{claims::Scope, client_token::TokenRing},
    codec::{
        list::{Bounded, Distinct},
        number::whole,
    },
    config::{MAX_KEYS, Settings},
    http::{
        body::Body,
        error::{ApiError, ErrorBody, ErrorCode},
        error_responses::{
            RequestTimeout, StoreUnavailable, TooLarge, Unauthorized, UnsupportedMediaType,
        },
        guards::ApiKeyHolder,
        query::stream_key,
    },
    store::{SharedStore, StoreError},
    stream::{Generation, StreamKey},
};

/// How many streams the broker reads concurrently.
const CONCURRENT_READS: usize = 16;

/// The streams that a token is for: exactly one of `key`, `keys` and `prefix`.
#[derive(Deserialize, ToSchema)]
pub struct IssueToken {
    /// The key of one stream.
    #[schema(example = "chat-1")]
    key: Option<String>,
    /// The keys of several streams, at most `STREAMER_MAX_KEYS_PER_CLIENT` (32). The same key twice
    /// counts once.
    #[serde(default, deserialize_with = "distinct_keys")]
    keys: Option<Vec<String>>,
    /// The token opens every stream whose key begins with this, now and later: 1 to 256 bytes of
    /// UTF-8 without control characters.
    prefix: Option<String>,
    /// Seconds that the token is valid. The default is `STREAMER_TTL`.
    #[schema(minimum = 1, maximum = 604_800)]
    #[serde(default, deserialize_with = "whole")]
    ttl: Option<u64>,
    /// With `key` or `keys`: for a key without a stream, the token opens each later stream at that
    /// key.
    #[serde(default)]
    wait: bool,
    /// What the token permits. `read`: to follow the streams. `signal`: to send signals to their
    /// producers. The default is `["read"]`.
    #[schema(value_type = Option<Vec<Permission>>, min_items = 1, max_items = 2)]
    permissions: Option<Bounded<Permission, MAX_PERMISSIONS>>,
    /// The user of the token: 1 to 128 bytes of UTF-8 without control characters. Signals that are
    /// sent with the token carry this name.
    #[schema(example = "user-7")]
    subject: Option<String>,
}

/// Issues a token for one stream, for several, or for all streams whose keys begin with a prefix.
#[utoipa::path(
    operation_id = "issue_token",
    context_path = "/api",
    tag = "streams",
    security(("api_key" = [])),
    request_body = IssueToken,
    responses(
        (
            status = 200,
            description = "For `key` and `keys`: a token that opens the streams that exist now. \
                With `wait`, it also opens each later stream at a key that has no stream now. For \
                `prefix`: a token that opens every stream with that prefix, now and later",
            body = Access
        ),
        (
            status = 400,
            description = "`invalid-key`, `malformed-json`. `invalid-request`: also if the body \
                does not have exactly one of `key`, `keys` and `prefix`, if there are more keys \
                than `STREAMER_MAX_KEYS_PER_CLIENT`, or if they are too long for a token",
            body = ErrorBody<'static>
        ),
        Unauthorized,
        (
            status = 404,
            description = "`no-active-stream`: one of the keys has no stream, neither active nor \
                finished, and `wait` is not true",
            body = ErrorBody<'static>
        ),
        RequestTimeout,
        TooLarge,
        UnsupportedMediaType,
        StoreUnavailable,
    )
)]
#[post("/stream/token", data = "<body>")]
pub async fn issue_token(
    _caller: ApiKeyHolder,
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
        permissions,
        subject,
    } = body.json()?;
    let grant = Grant::new(permissions, subject.as_deref())?;
    let ttl = time_to_live(ttl, settings)?;
    let keys = match (key, keys, prefix) {
        (Some(key), None, None) => vec![stream_key(&key)?],
        (None, Some(keys), None) => stream_keys(&keys, settings.max_keys_per_client)?,
        (None, None, Some(prefix)) => {
            let prefix = prefix.parse().map_err(|_| {
                invalid("prefix is 1 to 256 bytes of UTF-8 without control characters")
            })?;
            return Access::issue(Scope::Prefix(prefix), grant, &[], ttl, settings, ring).map(Json);
        }
        _ => {
            return Err(invalid(
                "The body needs exactly one of key, keys and prefix",
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
            .buffered(CONCURRENT_READS)
            .try_collect()
            .await?,
    );
    Access::issue(scope, grant, &keys, ttl, settings, ring).map(Json)
}

/// Reads each key once, and one key more than the limit: a long list takes no more memory than a
/// short one.
fn distinct_keys<'de, D: Deserializer<'de>>(list: D) -> Result<Option<Vec<String>>, D::Error> {
    let keys: Option<Distinct<{ MAX_KEYS + 1 }>> = Deserialize::deserialize(list)?;
    Ok(keys.map(|Distinct(keys)| keys))
}

/// Checks distinct keys.
fn stream_keys(texts: &[String], limit: usize) -> Result<Vec<StreamKey>, ApiError> {
    let keys = texts
        .iter()
        .take(limit + 1)
        .map(|text| stream_key(text))
        .collect::<Result<Vec<_>, _>>()?;
    match keys.len() {
        0 => Err(invalid("keys needs at least one stream")),
        count if count > limit => Err(invalid(format!(
            "keys names more than {limit} streams; use a prefix, which covers any number"
        ))),
        _ => Ok(keys),
    }
}

/// The generation of the stream at this key. None if no stream exists and the token may wait for
/// one.
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
            format!(
                "No stream exists at the key {:?}; with wait, a token covers a later one",
                key.as_str()
            ),
        )),
        Err(error) => Err(error.into()),
    }
}

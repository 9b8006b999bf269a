//! `POST /stream`: creates a stream.

use std::time::Duration;

use rocket::{State, post, serde::json::Json};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    access::{Access, Grant, MAX_PERMISSIONS, Permission, invalid, time_to_live},
    promise::period,
};
use crate::{
    auth::{claims::Scope, client_token::TokenRing},
    codec::{list::Bounded, number::whole},
    config::{MAX_EVENTS, Settings},
    http::{
        body::Body,
        error::{ApiError, ErrorBody},
        error_responses::{
            RequestTimeout, StoreUnavailable, TooLarge, Unauthorized, UnsupportedMediaType,
        },
        guards::ApiKeyHolder,
        query::stream_key,
        store_error::at,
    },
    store::{
        CreateOutcome, Created, DEFAULT_STOP_GRACE, IfTaken, InvalidRequestId, NewStream,
        SharedStore, StoreError,
        quota::{QuotaError, Quotas},
    },
    stream::{Generation, Promise, StreamKey},
    telemetry::metrics::SharedMetrics,
};

/// The longest time that a producer may have to follow a stop, in seconds: a day.
const MAX_STOP_GRACE: u64 = 86_400;

/// The stream to create.
#[derive(Deserialize, ToSchema)]
pub struct CreateStream {
    /// Its key: 1 to 256 bytes of UTF-8 without control characters.
    #[schema(example = "chat-1")]
    key: String,
    /// Seconds that the stream lives after its last write, and that the token is valid. The default
    /// is `STREAMER_TTL`.
    #[schema(minimum = 1, maximum = 604_800)]
    #[serde(default, deserialize_with = "whole")]
    ttl: Option<u64>,
    /// About how many events the stream keeps. The default is `STREAMER_MAX_EVENTS`.
    #[schema(minimum = 1, maximum = 1_000_000)]
    #[serde(default, deserialize_with = "whole")]
    max_events: Option<u64>,
    /// What to do if an active stream has the key. `error`: answer `existing-stream`. `attach`:
    /// give a token for that stream. `replace`: delete it, without a last event, and create a new
    /// one.
    #[serde(default = "error")]
    #[schema(default = "error")]
    if_exists: IfTaken,
    /// What to do if a finished stream has the key.
    #[serde(default = "replace")]
    #[schema(default = "replace")]
    if_finished: IfTaken,
    /// An id of this request, 1 to 64 characters. If you repeat the request with the same id within
    /// a minute, the answer is the stream that the first request created, not `existing-stream`.
    #[schema(example = "c7d1c1c0", min_length = 1, max_length = 64)]
    request_id: Option<String>,
    /// Seconds that the producer has to follow the signal `stop` before the broker cancels the
    /// stream. 0 is no limit. The default is 10.
    #[schema(minimum = 0, maximum = 86_400, example = 10)]
    #[serde(default, deserialize_with = "whole")]
    stop_grace: Option<u64>,
    /// Seconds that the producer may be silent before the broker abandons the stream: 2 or more. 0
    /// is no limit. Every write shows that the producer is alive, and so does `POST /stream/renew`.
    /// The default is `STREAMER_LEASE`.
    #[schema(minimum = 0, maximum = 86_400, example = 30)]
    #[serde(default, deserialize_with = "whole")]
    lease: Option<u64>,
    /// Seconds that the producer may write no event before the broker abandons the stream: 2 or
    /// more. 0 is no limit. The default is `STREAMER_STALL`.
    #[schema(minimum = 0, maximum = 86_400, example = 300)]
    #[serde(default, deserialize_with = "whole")]
    stall: Option<u64>,
    /// What the token permits. `read`: to follow the streams. `signal`: to send signals to their
    /// producers. The default is `["read"]`.
    #[schema(value_type = Option<Vec<Permission>>, min_items = 1, max_items = 2)]
    permissions: Option<Bounded<Permission, MAX_PERMISSIONS>>,
    /// The user of the token: 1 to 128 bytes of UTF-8 without control characters. Signals that are
    /// sent with the token carry this name.
    #[schema(example = "user-7")]
    subject: Option<String>,
}

fn error() -> IfTaken {
    IfTaken::Error
}

fn replace() -> IfTaken {
    IfTaken::Replace
}

/// Creates a stream.
#[utoipa::path(
    operation_id = "create_stream",
    context_path = "/api",
    tag = "streams",
    security(("api_key" = [])),
    request_body = CreateStream,
    responses(
        (
            status = 200,
            description = "The stream exists, and its first event is `start`. `created` says \
                whether this request created it",
            body = Access
        ),
        (
            status = 400,
            description = "`existing-stream`: a stream has this key, and `if_exists` or \
                `if_finished` makes that an error; `invalid-key`, `invalid-request`, \
                `malformed-json`",
            body = ErrorBody<'static>
        ),
        Unauthorized,
        RequestTimeout,
        TooLarge,
        UnsupportedMediaType,
        (
            status = 429,
            description = "`too-many-streams`: the API key has too many active streams on this \
                node (`STREAMER_MAX_STREAMS_PER_KEY`)",
            body = ErrorBody<'static>
        ),
        StoreUnavailable,
    )
)]
#[post("/stream", data = "<body>")]
pub async fn create(
    caller: ApiKeyHolder,
    body: Body,
    settings: &State<Settings>,
    store: &State<SharedStore>,
    ring: &State<TokenRing>,
    quotas: &State<Quotas>,
    metrics: &State<SharedMetrics>,
) -> Result<Json<Access>, ApiError> {
    let requested: CreateStream = body.json()?;
    let key = stream_key(&requested.key)?;
    let ttl = time_to_live(requested.ttl, settings)?;
    let max_events = requested.max_events.unwrap_or(settings.max_events);
    if !MAX_EVENTS.contains(&max_events) {
        return Err(invalid(format!(
            "max_events is {} to {}, not {max_events}",
            MAX_EVENTS.start(),
            MAX_EVENTS.end()
        )));
    }
    let stop_grace = match requested.stop_grace {
        None => DEFAULT_STOP_GRACE,
        Some(seconds) if seconds <= MAX_STOP_GRACE => Duration::from_secs(seconds),
        Some(seconds) => {
            return Err(invalid(format!(
                "stop_grace is 0 to {MAX_STOP_GRACE} seconds, not {seconds}"
            )));
        }
    };
    let promise = Promise {
        lease: period("lease", requested.lease)?.unwrap_or(settings.lease),
        stall: period("stall", requested.stall)?.unwrap_or(settings.stall),
    };
    let grant = Grant::new(requested.permissions, requested.subject.as_deref())?;
    let request_id = requested.request_id.as_deref();
    let new = NewStream {
        ttl,
        max_events,
        if_exists: requested.if_exists,
        if_finished: requested.if_finished,
        stop_grace,
        promise,
        request_id: request_id
            .map(str::parse)
            .transpose()
            .map_err(|error: InvalidRequestId| invalid(error.to_string()))?,
    };
    let ApiKeyHolder(api_key) = caller;
    let (generation, created) = match quotas.claim(api_key, &key, store).await {
        Ok(permit) => {
            let Created { info, outcome } = store.create(&key, &new).await.map_err(at(&key))?;
            if outcome == CreateOutcome::New {
                permit.keep(api_key, &key, info.generation);
                metrics.streams.created.inc();
            }
            (info.generation, outcome != CreateOutcome::Attached)
        }
        Err(error) => {
            let attached = attachable(store, &key, &new).await?;
            let Some(generation) = attached else {
                if matches!(error, QuotaError::TooMany { .. }) {
                    metrics.streams.refused.inc();
                }
                return Err(error.into());
            };
            (generation, false)
        }
    };
    let scope = Scope::Streams([(key.clone(), Some(generation))].into());
    let access = Access::issue(scope, grant, &[key], ttl, settings, ring)?;
    Ok(Json(access.with_created(created)))
}

/// The stream that the request attaches to, if it need not create one. An API key may attach to
/// streams also when it may start no more.
async fn attachable(
    store: &SharedStore,
    key: &StreamKey,
    new: &NewStream,
) -> Result<Option<Generation>, ApiError> {
    if ![new.if_exists, new.if_finished].contains(&IfTaken::Attach) {
        return Ok(None);
    }
    match store.info(key).await {
        Ok(info) => {
            let choice = if info.status.is_finished() {
                new.if_finished
            } else {
                new.if_exists
            };
            Ok((choice == IfTaken::Attach).then_some(info.generation))
        }
        Err(StoreError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

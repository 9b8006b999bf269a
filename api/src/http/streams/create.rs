//! `POST /stream`: creates a stream.

use rocket::{State, post, serde::json::Json};
use serde::Deserialize;
use utoipa::ToSchema;

use super::access::{Access, invalid, time_to_live};
use crate::{
    auth::{claims::Scope, client_token::TokenRing},
    codec::number::whole,
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
        NewStream, SharedStore,
        quota::{QuotaError, Quotas},
    },
    telemetry::metrics::SharedMetrics,
};

/// The stream to create.
#[derive(Deserialize, ToSchema)]
pub struct CreateStream {
    /// Its key: 1 to 256 bytes of UTF-8 without control characters.
    #[schema(example = "chat-1")]
    key: String,
    /// Seconds that the stream lives after its last write, and that the token is valid; the default
    /// is `STREAMER_TTL`.
    #[schema(minimum = 1, maximum = 604_800)]
    #[serde(default, deserialize_with = "whole")]
    ttl: Option<u64>,
    /// How many events the stream keeps; the default is `STREAMER_MAX_EVENTS`.
    #[schema(minimum = 1, maximum = 1_000_000)]
    #[serde(default, deserialize_with = "whole")]
    max_events: Option<u64>,
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
            description = "The stream exists; its first event is `start`",
            body = Access
        ),
        (
            status = 400,
            description = "`existing-stream`: a stream at this key is active; `invalid-key`, \
                `invalid-request`, `malformed-json`",
            body = ErrorBody<'static>
        ),
        Unauthorized,
        RequestTimeout,
        TooLarge,
        UnsupportedMediaType,
        (
            status = 429,
            description = "`too-many-streams`: of the API key, on this node \
                (`STREAMER_MAX_STREAMS_PER_KEY`)",
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
    let ApiKeyHolder(api_key) = caller;
    let permit = quotas
        .claim(api_key, &key, store)
        .await
        .inspect_err(|error| {
            if matches!(error, QuotaError::TooMany { .. }) {
                metrics.streams.refused.inc();
            }
        })?;
    let info = store
        .create(&key, NewStream { ttl, max_events })
        .await
        .map_err(at(&key))?;
    permit.keep(api_key, &key, info.generation);
    metrics.streams.created.inc();
    let scope = Scope::Streams([(key.clone(), Some(info.generation))].into());
    Access::issue(scope, &[key], ttl, settings, ring).map(Json)
}

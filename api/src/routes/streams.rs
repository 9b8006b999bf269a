//! Streams: create, look at, list, end; and tokens for their clients.

use std::{io, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use futures::{StreamExt, stream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rocket::{Response, State, get, http::ContentType, post, response::Responder, serde::json::Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    body::Body,
    byte_stream::streamed,
    params::{QueryKey, stream_key},
};
use crate::{
    auth::{
        client_token::{Claims, TokenRing},
        guard::Backend,
    },
    config::{MAX_EVENTS, Settings, TTL_SECONDS},
    error::{ApiError, ErrorBody, ErrorCode},
    event::{EventId, Finish, Part, Status, StreamKey},
    store::{Birth, NewStream, Page, SharedStore, StoreError, StreamInfo},
    wire::json,
};

/// Streams looked at together when they are listed.
const LOOK_AHEAD: usize = 64;

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

/// Which stream.
#[derive(Deserialize, ToSchema)]
pub struct KeyOnly {
    /// The stream's key.
    #[schema(example = "chat-1")]
    key: String,
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

/// An active stream in a list.
#[derive(Serialize, ToSchema)]
pub struct StreamRow {
    /// Its key.
    #[schema(value_type = String)]
    key: StreamKey,
    /// Events stored.
    length: u64,
    /// Seconds left unless something is written.
    ttl: u64,
    /// Always `active`.
    #[schema(value_type = String, example = "active")]
    status: Status,
}

/// A stream.
#[derive(Serialize, ToSchema)]
pub struct StreamState {
    /// Its key.
    #[schema(value_type = String)]
    key: StreamKey,
    /// `active`, `ended` or `cancelled`.
    #[schema(value_type = String, example = "active")]
    status: Status,
    /// Events stored.
    length: u64,
    /// Seconds left unless something is written.
    ttl: u64,
    /// The oldest event stored.
    #[schema(value_type = String, example = "1767225600000-0")]
    first_id: EventId,
    /// The newest event.
    #[schema(value_type = String, example = "1767225600000-41")]
    last_id: EventId,
    /// RFC 3339.
    #[schema(example = "2026-01-01T00:00:00.000Z")]
    created_at: String,
}

/// An event as it is stored. For the documents; what is sent is written by `wire::json`.
#[derive(Serialize, ToSchema)]
pub struct StoredEvent {
    /// `<milliseconds>-<number>`.
    #[schema(example = "1767225600000-1")]
    id: String,
    /// When it was written. RFC 3339 with milliseconds.
    #[schema(example = "2026-01-01T00:00:00.000Z")]
    time: String,
    /// Its name.
    #[schema(example = "token")]
    event: String,
    /// Its data, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

/// How a stream was finished.
#[derive(Serialize, ToSchema)]
pub struct Finished {
    /// `ended` or `cancelled`.
    #[schema(value_type = String, example = "ended")]
    status: Status,
}

/// Which streams to list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query for the documents")]
struct ListQuery {
    /// A glob on keys (`*`, `?`, `[…]`); without a wildcard it is one exact key. All streams without it.
    pattern: Option<String>,
}

/// The active streams.
#[utoipa::path(context_path = "/api", tag = "streams", security(("api_key" = [])), params(ListQuery), responses(
    (status = 200, description = "The active streams whose keys match, sorted by key", body = Vec<StreamRow>),
    (status = 400, description = "`invalid-pattern`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[get("/stream?<pattern>")]
pub async fn list(_backend: Backend, pattern: Option<&str>, store: &State<SharedStore>) -> Result<Json<Vec<StreamRow>>, ApiError> {
    let keys = match pattern.filter(|pattern| !pattern.is_empty()) {
        None => store.list().await?,
        Some(exact) if !exact.contains(['*', '?', '[']) => exact.parse().into_iter().collect(),
        Some(pattern) => {
            let pattern = glob(pattern)?;
            store.list().await?.into_iter().filter(|key| pattern.matches(key.as_str())).collect()
        }
    };
    let look = |key: StreamKey| async move {
        match store.info(&key).await {
            Ok(info) if info.status == Status::Active => {
                Ok(Some(StreamRow { key, length: info.length, ttl: seconds(info.ttl), status: info.status }))
            }
            Ok(_) | Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(ApiError::from(error)),
        }
    };
    let rows: Vec<_> = stream::iter(keys).map(look).buffer_unordered(LOOK_AHEAD).collect().await;
    let mut rows: Vec<_> = rows.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
    rows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(Json(rows))
}

fn glob(pattern: &str) -> Result<glob::Pattern, ApiError> {
    // To the library a double asterisk has to do with folders, of which keys have none.
    let mut single = pattern.to_owned();
    while single.contains("**") {
        single = single.replace("**", "*");
    }
    glob::Pattern::new(&single).map_err(|error| {
        ApiError::new(ErrorCode::InvalidPattern, format!("The pattern can't be used: {} at character {}", error.msg, error.pos + 1))
    })
}

/// Starts a stream.
#[utoipa::path(context_path = "/api", tag = "streams", security(("api_key" = [])), request_body = CreateStream, responses(
    (status = 200, description = "The stream is there; its first event is `start`", body = Access),
    (status = 400, description = "`existing-stream`: a stream at this key is active; `invalid-key`, `invalid-request`, `malformed-json`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 413, description = "`too-large`", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[post("/stream", data = "<body>")]
pub async fn create(
    _backend: Backend,
    body: Body,
    settings: &State<Settings>,
    store: &State<SharedStore>,
    ring: &State<TokenRing>,
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
    let info = store.create(&key, NewStream { ttl, max_events }).await?;
    access(key, info.birth, ttl, settings, ring).map(Json)
}

/// Issues a token for a stream that exists.
#[utoipa::path(context_path = "/api", tag = "streams", security(("api_key" = [])), request_body = IssueToken, responses(
    (status = 200, description = "A token for the stream that is at this key now", body = Access),
    (status = 400, description = "`invalid-key`, `invalid-request`, `malformed-json`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 404, description = "`no-active-stream`: no stream at this key, neither active nor finished", body = ErrorBody<'static>),
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

/// The state of a stream.
#[utoipa::path(context_path = "/api", tag = "streams", security(("api_key" = [])), params(("key" = String, Query, description = "The stream's key")), responses(
    (status = 200, description = "The stream, active or finished", body = StreamState),
    (status = 400, description = "`missing-parameter`, `invalid-key`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 404, description = "`stream-not-found`", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[get("/stream/info")]
pub async fn info(_backend: Backend, key: QueryKey, store: &State<SharedStore>) -> Result<Json<StreamState>, ApiError> {
    let QueryKey(key) = key;
    let StreamInfo { status, length, ttl, first, last, created_ms, .. } = store.info(&key).await?;
    Ok(Json(StreamState { key, status, length, ttl: seconds(ttl), first_id: first, last_id: last, created_at: json::time(created_ms) }))
}

/// All stored events of a stream, also after its end. Takes no streaming slot.
#[utoipa::path(context_path = "/api", tag = "streams", security(("api_key" = [])), params(("key" = String, Query, description = "The stream's key")), responses(
    (status = 200, description = "The stored events, oldest first", body = Vec<StoredEvent>),
    (status = 400, description = "`missing-parameter`, `invalid-key`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 404, description = "`stream-not-found`", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[get("/stream/events")]
pub async fn events(_backend: Backend, key: QueryKey, store: &State<SharedStore>) -> Result<StoredEvents, ApiError> {
    let first = store.read(&key.0, None).await?;
    Ok(StoredEvents { store: SharedStore::clone(store), first })
}

/// A JSON array of a stream's events, written page by page, so that a long stream takes no more memory than a page.
pub struct StoredEvents {
    store: SharedStore,
    first: Page,
}

impl<'r> Responder<'r, 'static> for StoredEvents {
    fn respond_to(self, _: &'r rocket::Request<'_>) -> rocket::response::Result<'static> {
        let Self { store, first } = self;
        // The newest event when the request came: what is written later is not waited for.
        let StreamInfo { birth, last, .. } = first.info;
        let opening = stream::iter([Ok(array_items(&first, '['))]);
        let rest = stream::try_unfold(first.cursor, move |cursor| {
            let (store, key) = (SharedStore::clone(&store), first.key.clone());
            async move {
                if cursor.is_none_or(|cursor| cursor >= last) {
                    return Ok(None);
                }
                // The status line is sent: all that can be done about a failure is to break off, which leaves the JSON
                // without its end.
                let page = store.read(&key, cursor).await.map_err(io::Error::other)?;
                if page.info.birth != birth {
                    return Err(io::Error::other(StoreError::NotFound));
                }
                Ok(Some((array_items(&page, ','), page.cursor)))
            }
        });
        let closing = stream::iter([Ok(Bytes::from_static(b"]"))]);
        let response: Response<'static> = streamed(ContentType::JSON, opening.chain(rest).chain(closing));
        Ok(response)
    }
}

/// The page's events as items of a JSON array, each after a comma, the first one after `lead`.
fn array_items(page: &Page, lead: char) -> Bytes {
    let mut out = String::new();
    let mut lead = lead;
    for entry in page.parts.iter().flat_map(Part::entries) {
        out.push(lead);
        out.push_str(&json::stored_entry(entry));
        lead = ',';
    }
    out.into()
}

/// Ends a stream: nothing can follow, and its clients are closed when they have all of it.
#[utoipa::path(context_path = "/api", tag = "streams", security(("api_key" = [])), request_body = KeyOnly, responses(
    (status = 200, description = "The stream has ended; its last event is `end`", body = Finished),
    (status = 400, description = "`invalid-key`, `invalid-request`, `malformed-json`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 404, description = "`no-active-stream`", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[post("/stream/end", data = "<body>")]
pub async fn end(_backend: Backend, body: Body, store: &State<SharedStore>) -> Result<Json<Finished>, ApiError> {
    finish(&body, Finish::End, store).await
}

/// Cancels a stream: nothing can follow, and its clients are closed when they have all of it.
#[utoipa::path(context_path = "/api", tag = "streams", security(("api_key" = [])), request_body = KeyOnly, responses(
    (status = 200, description = "The stream is cancelled; its last event is `cancel`", body = Finished),
    (status = 400, description = "`invalid-key`, `invalid-request`, `malformed-json`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 404, description = "`no-active-stream`", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[post("/stream/cancel", data = "<body>")]
pub async fn cancel(_backend: Backend, body: Body, store: &State<SharedStore>) -> Result<Json<Finished>, ApiError> {
    finish(&body, Finish::Cancel, store).await
}

async fn finish(body: &Body, finish: Finish, store: &State<SharedStore>) -> Result<Json<Finished>, ApiError> {
    let KeyOnly { key } = body.json()?;
    store.finish(&stream_key(&key)?, finish).await?;
    Ok(Json(Finished { status: finish.status() }))
}

/// URLs and a token for a client of this stream.
fn access(key: StreamKey, birth: Birth, ttl: Duration, settings: &Settings, ring: &TokenRing) -> Result<Access, ApiError> {
    let address = &settings.server_address;
    let ws_address = address.replacen("http", "ws", 1);
    let query = utf8_percent_encode(key.as_str(), NON_ALPHANUMERIC).to_string();
    let expires_at = Utc::now() + ttl;
    let claims = Claims { key, birth, expires_at: u64::try_from(expires_at.timestamp()).unwrap_or(0) };
    let token = ring.seal(&claims).map_err(|error| {
        tracing::error!(%error, "no token");
        ApiError::new(ErrorCode::InternalError, "The broker failed to answer; the fault is on its side")
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

/// Whole seconds, rounded up: what is still there has at least one left.
fn seconds(ttl: Duration) -> u64 {
    ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)
}

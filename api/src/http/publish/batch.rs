//! `POST /event/add`: writes the events of one request, all or nothing.

use std::borrow::Cow;

use rocket::post;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    append::count,
    documented::StrictParams,
    event_error_code::code_of,
    producer::producer_sequence,
    unknown_members::{MemberCheck, Strict},
};
use crate::{
    codec::{
        json::{Object, UncheckedEvent},
        list::Bounded,
        number::whole,
    },
    config::MAX_BATCH,
    http::{
        body::Body,
        buffered_response::BufferedResponse,
        error::{ApiError, ErrorBody, ErrorCode},
        error_responses::{
            NoActiveStream, RefusedByScript, RequestTimeout, Unauthorized, UnsupportedMediaType,
        },
        guards::ApiKeyHolder,
        hooks::PublishHook,
        query::{generation, stream_key},
        state::AppState,
        store_error::at,
    },
    stream::{EventId, NewEvent, StreamKey},
    telemetry::metrics::Way,
};

/// The body of the request.
#[derive(Deserialize)]
struct BatchIn<'a> {
    key: Cow<'a, str>,
    #[serde(borrow)]
    events: Bounded<Object<UncheckedEvent<'a>>, MAX_BATCH>,
    #[serde(borrow, default)]
    producer: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "whole")]
    sequence: Option<u64>,
    #[serde(borrow, default)]
    generation: Option<Cow<'a, str>>,
}

/// Events for a stream.
// For the OpenAPI document; `BatchIn` reads the body.
#[derive(Serialize, ToSchema)]
pub struct AddEvents {
    /// The stream's key.
    #[schema(example = "chat-1")]
    key: String,
    /// The events, in order.
    events: Vec<Event>,
    /// The producer of the events: a name that no other producer uses, 1 to 64 of `A` to `Z`, `a`
    /// to `z`, `0` to `9`, `_`, `-`. With it, a caller can repeat a request whose response was
    /// lost: the broker skips events that the stream already has.
    #[schema(example = "4f2a90c1")]
    producer: Option<String>,
    /// How many events the producer had sent into this stream before these. It needs a `producer`.
    #[schema(example = 0, maximum = 9_007_199_254_740_992_u64)]
    sequence: Option<u64>,
    /// The generation that the stream must have, as the broker gave it when the stream was created.
    #[schema(example = "5f2b8c0e9d4a4b7f8a1c3e5d7f90b2a4")]
    generation: Option<String>,
}

/// An event of a producer.
// For the OpenAPI document; `codec::json` reads the event.
#[derive(Serialize, ToSchema)]
pub struct Event {
    /// Its name: 1 to 128 bytes without control characters. The broker itself uses `start`, `end`,
    /// `cancel`, `fail`, `abandon`, `error` and `missedevents`.
    #[schema(example = "token")]
    event: String,
    /// A string, or any other JSON value. The broker stores other values as their compact JSON
    /// text. `null` is the same as no data.
    #[schema(value_type = Option<Value>, example = "Hello")]
    data: Option<Value>,
}

/// The events that were written.
#[derive(Serialize, ToSchema)]
pub struct Added {
    /// The ids of the events that were written, in the order of the request.
    #[schema(value_type = Vec<String>, example = json!(["1767225600000-1"]))]
    ids: Vec<EventId>,
    /// How many events were written.
    #[schema(example = 1)]
    num_events: usize,
    /// How many events, from the first on, the stream already had. Only with a producer.
    #[schema(example = 0, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    num_duplicates: Option<usize>,
    /// The names of members that are neither `event` nor `data`, and were not stored: each once,
    /// the first 16, cut to 64 bytes. Absent when there are none.
    #[schema(example = json!(["comment"]), max_items = 16)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<String>,
}

/// Writes a batch of events, all or nothing.
#[utoipa::path(
    operation_id = "add_events",
    context_path = "/api",
    tag = "ingestion",
    security(("api_key" = [])),
    params(StrictParams),
    request_body = AddEvents,
    responses(
        (status = 200, description = "All events are written", body = Added),
        (
            status = 400,
            description = "`invalid-event`, `reserved-event`: the message names the first event \
                that is not valid; `invalid-key`, `invalid-parameter`, `invalid-producer`, \
                `invalid-request`, `malformed-json`",
            body = ErrorBody<'static>
        ),
        Unauthorized,
        NoActiveStream,
        RequestTimeout,
        RefusedByScript,
        (
            status = 409,
            description = "`sequence-gap`: events of the producer are missing before these; \
                `stale-generation`",
            body = ErrorBody<'static>
        ),
        (
            status = 413,
            description = "`too-large`: the body is larger than `STREAMER_MAX_BODY`, or an event, \
                which the message names, is larger than `STREAMER_MAX_EVENT`. `too-many-events`: \
                there are more than `STREAMER_MAX_BATCH`",
            body = ErrorBody<'static>
        ),
        UnsupportedMediaType,
        (
            status = 503,
            description = "`store-unavailable`: the store did not confirm the write. The events \
                may or may not be written. `script-failed`: nothing is written",
            body = ErrorBody<'static>
        ),
    )
)]
#[post("/event/add", data = "<body>")]
pub async fn add(
    _caller: ApiKeyHolder,
    strict: Strict,
    body: Body,
    state: AppState<'_>,
    hook: PublishHook,
) -> Result<BufferedResponse, ApiError> {
    let batch: BatchIn<'_> = body.json()?;
    let key = stream_key(&batch.key)?;
    let producer_sequence = producer_sequence(batch.producer.as_deref(), batch.sequence)?;
    let generation = generation(batch.generation.as_deref())?;
    let (limit, metrics) = (state.settings.max_batch, state.metrics.ingest(Way::Batch));
    if batch.events.count > limit {
        metrics.refuse(ErrorCode::TooManyEvents.as_str());
        return Err(ApiError::new(
            ErrorCode::TooManyEvents,
            format!(
                "A batch holds at most {limit} events, not {}",
                batch.events.count
            ),
        ));
    }
    let mut members = MemberCheck::new(strict);
    let check = |(index, Object(event)): (usize, Object<UncheckedEvent<'_>>)| {
        members
            .check(event, state.settings.max_event)
            .map_err(|problem| {
                let code = code_of(&problem);
                metrics.refuse(code.as_str());
                ApiError::new(code, format!("events[{index}]: {problem}"))
            })
    };
    let mut events: Vec<NewEvent> = batch
        .events
        .values
        .into_iter()
        .enumerate()
        .map(check)
        .collect::<Result<_, _>>()?;
    run_hook(&hook, &key, &mut events, &state).await?;
    let appended = state
        .store
        .append(&key, generation, &events, producer_sequence.as_ref())
        .await
        .map_err(at(&key))?;
    count(metrics, &events, appended);
    let ids: Vec<EventId> = appended.ids(events.len()).collect();
    let added = Added {
        num_events: ids.len(),
        ids,
        num_duplicates: producer_sequence.map(|_| appended.duplicates),
        ignored: members.take_ignored(),
    };
    BufferedResponse::json(&added, None)
}

/// Runs the script's hook for each event, in order. The first that is refused refuses all.
async fn run_hook(
    hook: &PublishHook,
    key: &StreamKey,
    events: &mut [NewEvent],
    state: &AppState<'_>,
) -> Result<(), ApiError> {
    for (index, event) in events.iter_mut().enumerate() {
        let limit = state.settings.max_event;
        *event = hook
            .apply(key, event.clone(), limit)
            .await
            .map_err(|refusal| {
                let ApiError { code, message, .. } = refusal.into();
                state.metrics.ingest(Way::Batch).refuse(code.as_str());
                ApiError::new(code, format!("events[{index}]: {message}"))
            })?;
    }
    Ok(())
}

//! `GET /stream/signals`: a producer reads the signals of its stream, and waits for new ones.

use std::{future::pending, io, time::Duration};

use bytes::Bytes;
use futures::stream::{BoxStream, unfold};
use rocket::{
    Request, State, get,
    http::{ContentType, Status as HttpStatus},
    response::{self, Responder},
};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{
    feed::SignalFeed,
    producer_limit::{ProducerLimit, ProducerPermit},
    query::SignalsQuery,
    view::SignalRecord,
};
use crate::{
    codec::{json, sse},
    http::{
        buffered_response::BufferedResponse,
        error::{ApiError, ErrorBody},
        error_responses::{StaleGeneration, StoreUnavailable, StreamNotFound, Unauthorized},
        guards::ApiKeyHolder,
        query::QueryStream,
        state::AppState,
        store_error::at,
        streaming::{streaming_response, with_write_timeout},
    },
    lifecycle::Lifecycle,
    store::{SignalPage, StoreError},
    stream::{Generation, Signal, Status},
};

/// Signals of a stream.
#[derive(Serialize, ToSchema)]
#[schema(as = Signals)]
pub struct SignalList {
    /// Distinguishes the stream from every other that has had its key: 32 hex digits.
    #[schema(value_type = String, example = "5f2b8c0e9d4a4b7f8a1c3e5d7f90b2a4")]
    generation: Generation,
    /// The signals after `after`, in order. More may follow: ask again with the last `seq`.
    signals: Vec<SignalRecord>,
    /// `active`, `ended`, `cancelled`, `failed` or `abandoned`.
    #[schema(value_type = String, example = "active")]
    stream_status: Status,
}

/// The answer to a request for signals.
pub enum SignalsResponse {
    /// The signals so far.
    Now(Box<BufferedResponse>),
    /// Signals as they come, as server-sent events.
    Events(BoxStream<'static, io::Result<Bytes>>),
    /// The stream is finished, and the producer has all of its signals.
    Complete,
}

/// Reads the signals of a stream. With `Accept: text/event-stream`, the broker sends them as they
/// come until the stream is finished. Each event is named `signal`, and its id is `GENERATION:SEQ`.
/// The broker answers 204 if the stream is finished and no signal follows.
#[utoipa::path(
    operation_id = "read_signals",
    context_path = "/api",
    tag = "streams",
    security(("api_key" = [])),
    params(
        ("key" = String, Query, description = "The stream's key"),
        (
            "after" = Option<u64>,
            Query,
            maximum = 9_007_199_254_740_992_u64,
            description = "The number of the last signal that the producer has. 0 asks for all"
        ),
        (
            "generation" = Option<String>,
            Query,
            description = "The generation that the stream must have, as the broker gave it when \
                the stream was created"
        ),
        (
            "wait" = Option<u64>,
            Query,
            maximum = 60,
            description = "Seconds to wait if there are no signals. The default is 0"
        ),
    ),
    responses(
        (status = 200, description = "The signals", body = SignalList),
        (
            status = 400,
            description = "`missing-parameter`, `invalid-key`, `invalid-parameter`",
            body = ErrorBody<'static>
        ),
        Unauthorized,
        StreamNotFound,
        StaleGeneration,
        (
            status = 429,
            description = "`too-many-producers`: too many producers wait for signals on this node \
                (`STREAMER_MAX_PRODUCERS`)",
            body = ErrorBody<'static>
        ),
        StoreUnavailable,
    )
)]
#[get("/stream/signals")]
pub async fn read(
    _caller: ApiKeyHolder,
    stream: QueryStream,
    query: SignalsQuery,
    limit: &State<ProducerLimit>,
    state: AppState<'_>,
) -> Result<SignalsResponse, ApiError> {
    let QueryStream { key, generation } = stream;
    let mut page = (state.store.signals(&key, query.after).await).map_err(at(&key))?;
    let is_other = |required: Option<Generation>| required.is_some_and(|it| it != page.generation);
    if is_other(generation) || is_other(query.generation) {
        return Err(at(&key)(StoreError::StaleGeneration));
    }
    let is_over = page.signals.is_empty() && page.status.is_finished();
    let feed = || SignalFeed::new(state.store, key.clone(), page.generation, query.after);
    if query.as_events {
        return Ok(if is_over {
            SignalsResponse::Complete
        } else {
            let events = SignalEvents {
                feed: feed(),
                generation: page.generation,
                heartbeat: state.settings.heartbeat,
                lifecycle: state.lifecycle.clone(),
            };
            let stall = state.settings.client_timeout;
            SignalsResponse::Events(events.body(limit.acquire()?, stall))
        });
    }
    if page.signals.is_empty() && !is_over && query.wait > 0 {
        let _permit = limit.acquire()?;
        let mut feed = feed();
        let wait = timeout(Duration::from_secs(query.wait), feed.next());
        tokio::select! {
            biased;
            () = state.lifecycle.closing() => {}
            waited = wait => match waited {
                Ok(Ok(signals)) => page.signals = signals,
                // The answer says how the stream was finished.
                Ok(Err(StoreError::NotActive { status: Some(status) })) => page.status = status,
                Ok(Err(error)) => return Err(at(&key)(error)),
                Err(_) => {}
            }
        }
    }
    let SignalPage {
        generation,
        status,
        signals,
        ..
    } = page;
    let list = SignalList {
        generation,
        signals: signals.iter().map(SignalRecord::from).collect(),
        stream_status: status,
    };
    let response = BufferedResponse::json(&list, None)?;
    Ok(SignalsResponse::Now(Box::new(response)))
}

/// The signals of a stream as server-sent events.
struct SignalEvents {
    feed: SignalFeed,
    generation: Generation,
    heartbeat: Duration,
    lifecycle: Lifecycle,
}

impl SignalEvents {
    /// The body. It ends when the stream is finished or the process stops. The permit is held until
    /// then, and while the peer takes each piece within `stall`.
    fn body(
        self,
        permit: ProducerPermit,
        stall: Duration,
    ) -> BoxStream<'static, io::Result<Bytes>> {
        let pieces = unfold(Some(self), |events| async {
            let mut events: Self = events?;
            let piece = events.next().await?;
            Some((Ok(piece), Some(events)))
        });
        with_write_timeout(pieces, stall, pending(), permit)
    }

    async fn next(&mut self) -> Option<Bytes> {
        let lifecycle = self.lifecycle.clone();
        tokio::select! {
            biased;
            () = lifecycle.closing() => None,
            signals = timeout(self.heartbeat, self.feed.next()) => match signals {
                Ok(Ok(signals)) => Some(frames(self.generation, &signals)),
                Ok(Err(_)) => None,
                Err(_) => Some(Bytes::from_static(sse::HEARTBEAT)),
            }
        }
    }
}

/// Frames of server-sent events.
fn frames(generation: Generation, signals: &[Signal]) -> Bytes {
    let frame = |signal: &Signal| {
        let data = json::text(&SignalRecord::from(signal));
        let seq = signal.seq;
        format!("event: signal\ndata: {data}\nid: {generation}:{seq}\n\n")
    };
    signals.iter().map(frame).collect::<String>().into()
}

impl<'r> Responder<'r, 'static> for SignalsResponse {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        match self {
            Self::Now(response) => response.respond_to(request),
            Self::Events(events) => Ok(streaming_response(ContentType::EventStream, events)),
            Self::Complete => rocket::Response::build()
                .status(HttpStatus::NoContent)
                .raw_header("Cache-Control", "no-store")
                .ok(),
        }
    }
}

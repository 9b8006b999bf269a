//! Long polling: for clients whose way to the broker lets no stream through.

use std::{io, slice, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream, unfold},
};
use rocket::{
    Request, get,
    http::{ContentType, Header, Status},
    response::{self, Responder},
};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::{
    body::{EXCLUSIVE_PROBE, objects},
    caching::{Freshness, FreshnessHeaders, KnownTags},
    documented::{Forbidden, SubscribeErrors, SubscribeParams},
    request::SubscribeRequest,
    resolve::{Resolution, ResolvedStream, followed},
};
use crate::{
    codec::{cursor, json},
    http::{
        error::{ApiError, ErrorBody},
        guards::TokenGrant,
        state::AppState,
        store_error::at,
        streaming::{
            CHUNK_BYTES, chunks, streaming_response, with_content_length, with_write_timeout,
            write_timeout,
        },
    },
    session::{Admission, Session, Step, SubscribedStream, Subscription},
    store::{Batch, Gone, PAGE_BYTES, PAGE_ENTRIES},
    stream::{Finish, Position, StartPosition, Status as StreamStatus},
    telemetry::metrics::Transport,
};

/// How long a client waits that does not say.
const PATIENCE_SECONDS: u64 = 25;

/// An event of a stream.
// For the documents, as is `Polled`; what is sent is written by `wire::json`.
#[derive(Serialize, ToSchema)]
pub struct KeyedEvent {
    /// The key of its stream.
    #[schema(example = "chat-1")]
    key: String,
    /// `<milliseconds>-<number>`; absent in `missedevents`.
    #[schema(example = "1767225600000-1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Its name.
    #[schema(example = "token")]
    event: String,
    /// Its data, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

/// What there is after a cursor.
#[derive(Serialize, ToSchema)]
pub struct Polled {
    /// The events, each stream's in its order.
    events: Vec<KeyedEvent>,
    /// What to ask for next, as `after`. With one key an event's id; null while nothing is known of
    /// the stream.
    cursor: Option<String>,
    /// `active` while there may be more to ask for; else `ended`, or with one key `cancelled`.
    #[schema(value_type = String, example = "active")]
    status: StreamStatus,
}

/// Asks for what there is after a cursor, and waits for it if there is nothing.
#[utoipa::path(
    operation_id = "poll_events",
    context_path = "/api",
    tag = "clients",
    security(("client_token" = []), ("client_token_query" = [])),
    params(
        SubscribeParams,
        (
            "after" = Option<String>,
            Query,
            description = "The last response's `cursor`, or an event's id; also `last_event_id`, \
                `lastEventId`, or the header `Last-Event-ID`"
        ),
        (
            "wait" = Option<String>,
            Query,
            description = "Seconds to wait when there is nothing new, 0 to 60, 25 by default; \
                `true` besides: wait for streams that do not exist yet"
        ),
        (
            "If-None-Match" = Option<String>,
            Header,
            description = "The `ETag` of a response that the subscriber has"
        ),
    ),
    responses(
        (
            status = 200,
            description = "The new events, or none when the time is over. A response for \
                finished streams may be cached",
            body = Polled
        ),
        (status = 304, description = "The subscriber has this response"),
        SubscribeErrors,
        Forbidden,
        (
            status = 429,
            description = "`too-many-clients`: a connection limit is reached, and the request \
                would have to wait, or its response has more than 16 KiB",
            body = ErrorBody<'static>
        ),
    )
)]
#[get("/client/poll")]
pub async fn poll(
    token: TokenGrant,
    request: SubscribeRequest,
    known: KnownTags,
    state: AppState<'_>,
) -> Result<Answer, ApiError> {
    let resolver = state.resolver(&token);
    let found = resolver.resolve(&request).await?;
    let mut answer = Gathered::new(&request, &found);
    let freshness = Freshness::of(&found, &token);
    // Of streams that are finished the answer is the same each time: they are read one after the
    // other, not as they come.
    let mut readings: Vec<_> = if freshness.is_final {
        found
            .into_iter()
            .map(|found| resolver.subscription(&request, vec![found]))
            .collect()
    } else {
        vec![resolver.subscription(&request, found)]
    };
    for subscription in &mut readings {
        while !answer.is_full()
            && let Some(step) = subscription.history().await.map_err(at(&request.keys[0]))?
        {
            // A filter may pass over a long history: that the client has come so far is an answer.
            // Where it begins is told first of all.
            let has_come_far = matches!(step, Step::Positions(_)) && answer.has_news;
            answer.take(subscription, &step);
            if has_come_far {
                break;
            }
        }
    }
    state
        .metrics
        .clients(Transport::Poll)
        .deliver(answer.events.len(), answer.bytes);
    let patience = Duration::from_secs(request.patience.unwrap_or(PATIENCE_SECONDS));
    let is_over = readings
        .iter()
        .all(|subscription| subscription.outcome().is_some());
    match readings.pop() {
        Some(subscription) if !answer.has_news && !is_over && !patience.is_zero() => {
            wait(&state, subscription, &request, patience, answer).await
        }
        last => {
            readings.extend(last);
            let (body, keys) = (answer.body(&readings), followed(&readings));
            let headers = freshness.headers(&body, known.as_deref());
            // A small answer is held by nobody but Rocket, and one that the client has is not sent.
            let permit = match body.len() {
                0..=CHUNK_BYTES => None,
                _ if headers.is_known => None,
                _ => Some(
                    state
                        .permit(keys, &request, Transport::Poll, state.timeouts(None))
                        .await?,
                ),
            };
            Ok(Answer::There {
                body: body.into(),
                headers,
                permit,
            })
        }
    }
}

/// Waits, as one of the node's clients, for something to come. The answer has begun by then: white
/// space, which JSON may begin with, shows whether the client is still there.
async fn wait(
    state: &AppState<'_>,
    subscription: Subscription,
    request: &SubscribeRequest,
    patience: Duration,
    answer: Gathered,
) -> Result<Answer, ApiError> {
    let deadline = Instant::now() + patience;
    let session = state
        .follow(
            subscription,
            request,
            Transport::Poll,
            Some(EXCLUSIVE_PROBE),
        )
        .await?;
    let waiting = Waiting {
        session,
        answer,
        deadline,
        stall: state.settings.client_timeout,
    };
    Ok(Answer::Coming(Box::pin(
        unfold(Some(waiting), |waiting| async {
            Some(waiting?.next().await)
        })
        .flatten(),
    )))
}

type Body = BoxStream<'static, io::Result<Bytes>>;

struct Waiting {
    session: Session,
    answer: Gathered,
    deadline: Instant,
    /// How long the client may take nothing.
    stall: Duration,
}

impl Waiting {
    /// The next bytes of the answer, and what still waits if they are not the last.
    async fn next(mut self) -> (Body, Option<Self>) {
        self.session.taken();
        while let Ok(step) = timeout_at(self.deadline, self.session.next()).await {
            match &step {
                Step::Batch(stream, batch) => {
                    self.answer.take(self.session.reading_mut(), &step);
                    self.session.delivered(*stream, batch, self.answer.bytes);
                    break;
                }
                Step::Gone(_) => {
                    self.answer.take(self.session.reading_mut(), &step);
                    break;
                }
                // Asked again, the broker says why.
                Step::Close(_) => break,
                Step::Heartbeat => {
                    self.session.given();
                    return (once(Bytes::from_static(b" ")), Some(self));
                }
                Step::Positions(_) | Step::CaughtUp => {}
            }
        }
        let body = Bytes::from(
            self.answer
                .body(slice::from_ref(self.session.subscription())),
        );
        let admission = self.session.into_slot();
        (
            if body.len() <= CHUNK_BYTES {
                once(body)
            } else {
                held(body, admission, self.stall)
            },
            None,
        )
    }
}

fn once(bytes: Bytes) -> Body {
    Box::pin(stream::iter([Ok(bytes)]))
}

/// The answer of a client that has a slot until it has taken all.
fn held(body: Bytes, admission: Admission, stall: Duration) -> Body {
    let admission = Arc::new(admission);
    let dismissed = Arc::clone(&admission);
    with_write_timeout(
        chunks(body),
        stall,
        async move { dismissed.dismissed().await },
        admission,
    )
}

/// What an answer will be made of.
struct Gathered {
    events: Vec<String>,
    /// The length of all.
    bytes: usize,
    /// There is something that the client does not know, if only where it is.
    has_news: bool,
    is_cancelled: bool,
    /// Streams of which the client has nothing are in cursors, too, as it would otherwise begin
    /// elsewhere the next time.
    includes_starts: bool,
}

impl Gathered {
    fn new(request: &SubscribeRequest, found: &[ResolvedStream]) -> Self {
        let cancelled = |found: &ResolvedStream| {
            matches!(
                found.state,
                Resolution::Complete {
                    status: StreamStatus::Cancelled,
                    ..
                }
            )
        };
        Self {
            events: Vec::new(),
            bytes: 0,
            has_news: false,
            is_cancelled: found.iter().all(cancelled),
            includes_starts: request.start != StartPosition::Start,
        }
    }

    /// Whether nothing more is to be added.
    fn is_full(&self) -> bool {
        self.events.len() >= PAGE_ENTRIES || self.bytes >= PAGE_BYTES
    }

    fn push(&mut self, event: String) {
        self.bytes += event.len();
        self.events.push(event);
    }

    fn take(&mut self, subscription: &mut Subscription, step: &Step) {
        self.has_news |= matches!(step, Step::Batch(..) | Step::Gone(_) | Step::Positions(_));
        match step {
            Step::Batch(index, batch) => self.take_batch(subscription, *index, batch),
            // The cursor tells positions.
            Step::Positions(_) => {}
            step => objects(subscription, step, true)
                .into_iter()
                .for_each(|event| self.push(event)),
        }
    }

    /// Takes the events for which there is room, and at least one. Where the cut is depends on the
    /// events alone, not on the batches in which they come: what finished streams hold is answered
    /// the same each time.
    fn take_batch(&mut self, subscription: &mut Subscription, index: usize, batch: &Batch) {
        let Some(key) = subscription
            .streams()
            .get(index)
            .map(|stream| stream.key.clone())
        else {
            return;
        };
        if let Some(missed) = &batch.missed {
            self.push(json::missed(Some(&key), missed));
        }
        let (mut is_first, mut before) = (true, None);
        for entry in batch.entries() {
            if subscription.wants(&entry.name) {
                if !is_first
                    && self.is_full()
                    && let Some(before) = before
                {
                    return subscription.cut(index, before);
                }
                self.push(json::entry(Some(&key), entry));
                is_first = false;
            }
            before = Some(entry.id);
        }
        if batch.end {
            self.is_cancelled = batch
                .entries()
                .next_back()
                .is_some_and(|entry| *entry.name == *Finish::Cancel.event_name());
        }
    }

    fn body(self, readings: &[Subscription]) -> String {
        let is_keyed = readings.iter().any(Subscription::is_keyed);
        // That its only stream is gone a client is told when it asks again.
        let is_told = |outcome: Result<(), Gone>| is_keyed || outcome.is_ok();
        let is_over = readings
            .iter()
            .all(|subscription| subscription.outcome().is_some_and(is_told));
        let status = match is_over {
            false => StreamStatus::Active,
            true if self.is_cancelled && !is_keyed => StreamStatus::Cancelled,
            true => StreamStatus::Ended,
        };
        let streams = readings.iter().flat_map(Subscription::streams);
        // Cursors are made of characters that need no escape.
        let cursor = self
            .cursor(streams, is_keyed)
            .map_or_else(|| "null".to_owned(), |cursor| format!("\"{cursor}\""));
        format!(
            r#"{{"events":[{}],"cursor":{cursor},"status":"{}"}}"#,
            self.events.join(","),
            status.as_str()
        )
    }

    fn cursor<'a>(
        &self,
        mut streams: impl Iterator<Item = &'a SubscribedStream> + Clone,
        is_keyed: bool,
    ) -> Option<String> {
        if !is_keyed {
            let stream = streams.next()?;
            let beginning = || {
                self.includes_starts
                    .then(|| format!("{}:", stream.encoded_key()))
            };
            return stream
                .position
                .id()
                .map(|id| id.to_string())
                .or_else(beginning);
        }
        let told =
            streams.filter(|stream| self.includes_starts || stream.position != Position::Start);
        Some(cursor::compact(
            told.map(|stream| (stream.tag(), stream.position)),
        ))
        .filter(|cursor| !cursor.is_empty())
    }
}

/// An answer to a client that polls.
pub enum Answer {
    /// What there is.
    There {
        /// The JSON text.
        body: Bytes,
        /// How long it is true.
        headers: FreshnessHeaders,
        /// The slot of a client that takes a large answer.
        permit: Option<Admission>,
    },
    /// The JSON text, as soon as there is something, or the time is over.
    Coming(BoxStream<'static, io::Result<Bytes>>),
}

impl<'r> Responder<'r, 'static> for Answer {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let (body, headers, permit) = match self {
            Self::There {
                body,
                headers,
                permit,
            } => (body, headers, permit),
            Self::Coming(body) => return Ok(streaming_response(ContentType::JSON, body)),
        };
        let mut response = match permit {
            _ if headers.is_known => rocket::Response::build()
                .status(Status::NotModified)
                .finalize(),
            Some(admission) => {
                let length = body.len();
                with_content_length(
                    streaming_response(
                        ContentType::JSON,
                        held(body, admission, write_timeout(request)),
                    ),
                    length,
                )
            }
            None => {
                let length = body.len();
                rocket::Response::build()
                    .header(ContentType::JSON)
                    .sized_body(length, io::Cursor::new(body))
                    .finalize()
            }
        };
        match headers.tag {
            None => _ = response.set_header(Header::new("Cache-Control", "no-store")),
            Some((tag, cache_control)) => {
                response.set_header(Header::new("ETag", tag));
                response.set_header(Header::new("Cache-Control", cache_control));
                response.set_header(Header::new("Vary", "Authorization, Last-Event-ID"));
            }
        }
        Ok(response)
    }
}

//! Long polling: for clients whose way to the broker lets no stream through.

use std::{slice, time::Duration};

use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{BoxStream, unfold},
};
use rocket::{
    Request, get,
    http::{ContentType, Header, Status},
    response::{self, Responder},
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::{
    Found, State,
    frames::{EXCLUSIVE_PROBE, objects},
    not_found,
    wish::Wish,
};
use crate::{
    auth::guard::Client,
    error::{ApiError, ErrorBody},
    event::{self, Finish},
    feed::{Feed, Followed, Reading, Step},
    metrics::Transport,
    routes::{broker::Broker, byte_stream::streamed},
    store::{Batch, Beginning, Gone, PAGE_ENTRIES, StoreError},
    wire::cursor::{self, Position},
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
    /// What to ask for next, as `after`. With one key an event's id; null while nothing is known of the stream.
    cursor: Option<String>,
    /// `active` while there may be more to ask for; else `ended`, or with one key `cancelled`.
    #[schema(value_type = String, example = "active")]
    status: event::Status,
}

/// Asks for what there is after a cursor, and waits for it if there is nothing.
#[utoipa::path(operation_id = "poll_events", context_path = "/api", tag = "clients", security(("client_token" = []), ("client_token_query" = [])), params(
    ("key" = Vec<String>, Query, description = "The stream's key; several for several streams"),
    ("after" = Option<String>, Query, description = "The last answer's `cursor`, or an event's id; also `last_event_id`, `lastEventId`, or the header `Last-Event-ID`"),
    ("wait" = Option<String>, Query, description = "Seconds to wait when there is nothing, 0 to 60, 25 by default; `true` besides: wait for streams that are not there yet"),
    ("from" = Option<String>, Query, description = "Where to begin otherwise: `start`, `now`, `-N` for the last N events, or an RFC 3339 time"),
    ("events" = Option<String>, Query, description = "Names of wanted events, separated by commas; a `*` at the end stands for any ending"),
    ("client_name" = Option<String>, Query, description = "What the client is called in the list of clients: up to 128 bytes"),
    ("tags" = Option<String>, Query, description = "Tags of the client, separated by commas: up to 16 of up to 64 bytes"),
    ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an answer that the client has")), responses(
    (status = 200, description = "What there is, or nothing when the time is over. Where all streams are finished it may be kept", body = Polled),
    (status = 304, description = "The client has this answer"),
    (status = 400, description = "`missing-parameter`, `invalid-key`, `invalid-event-id`, `invalid-parameter`, `too-many-keys`, `cross-slot`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`, `token-expired`", body = ErrorBody<'static>),
    (status = 403, description = "`forbidden`: the token does not open a stream, or an earlier one at its key", body = ErrorBody<'static>),
    (status = 404, description = "`stream-not-found`", body = ErrorBody<'static>),
    (status = 429, description = "`too-many-clients`: there is nothing yet, and no place to wait", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`, `shutting-down`", body = ErrorBody<'static>)))]
#[get("/client/poll")]
pub async fn poll(client: Client, wish: Wish, broker: Broker<'_>) -> Result<Answer, ApiError> {
    let lookout = broker.lookout(&client);
    let found = lookout.look(&wish).await?;
    let mut answer = Gathered::new(&wish, &found);
    let freshness = Freshness::of(&found, &client);
    // Of streams that are finished the answer is the same each time: they are read one after the other, not as they come.
    let mut readings: Vec<_> = if freshness.is_final {
        found.into_iter().map(|found| lookout.reading(&wish, vec![found])).collect()
    } else {
        vec![lookout.reading(&wish, found)]
    };
    for reading in &mut readings {
        while answer.events.len() < PAGE_ENTRIES
            && let Some(step) = reading.history().await.map_err(|error| failed(error, &wish))?
        {
            // A filter may pass over a long history: that the client has come so far is an answer. Where it begins is told first of all.
            let has_come_far = matches!(step, Step::Positions(_)) && answer.has_news;
            answer.take(reading, &step);
            if has_come_far {
                break;
            }
        }
    }
    let (events, bytes) = (answer.events.len(), answer.events.iter().map(String::len).sum());
    broker.metrics.clients(Transport::Poll).deliver(events, bytes);
    let patience = Duration::from_secs(wish.patience.unwrap_or(PATIENCE_SECONDS));
    let is_over = readings.iter().all(|reading| reading.outcome().is_some());
    match readings.pop() {
        Some(reading) if !answer.has_news && !is_over && !patience.is_zero() => wait(&broker, reading, &wish, patience, answer).await,
        last => {
            readings.extend(last);
            Ok(Answer::There { body: answer.body(&readings), freshness })
        }
    }
}

/// Waits, as one of the node's clients, for something to come. The answer has begun by then: white space, which JSON may begin with, shows
/// whether the client is still there.
async fn wait(broker: &Broker<'_>, reading: Reading, wish: &Wish, patience: Duration, answer: Gathered) -> Result<Answer, ApiError> {
    let deadline = Instant::now() + patience;
    let feed = broker.follow(reading, wish, Transport::Poll, Some(EXCLUSIVE_PROBE)).await?;
    let waiting = Waiting { feed, answer, deadline };
    Ok(Answer::Coming(Box::pin(unfold(Some(waiting), |waiting| async { Some(waiting?.next().await) }))))
}

struct Waiting {
    feed: Feed,
    answer: Gathered,
    deadline: Instant,
}

impl Waiting {
    /// The next bytes of the answer, and what still waits if they are not the last.
    async fn next(mut self) -> (Bytes, Option<Self>) {
        self.feed.taken();
        while let Ok(step) = timeout_at(self.deadline, self.feed.next()).await {
            match &step {
                Step::Batch(stream, batch) => {
                    self.answer.take(self.feed.reading(), &step);
                    self.feed.delivered(*stream, batch, self.answer.events.iter().map(String::len).sum());
                    break;
                }
                Step::Gone(_) => {
                    self.answer.take(self.feed.reading(), &step);
                    break;
                }
                // Asked again, the broker says why.
                Step::Close(_) => break,
                Step::Heartbeat => {
                    self.feed.given();
                    return (Bytes::from_static(b" "), Some(self));
                }
                Step::Positions(_) | Step::CaughtUp => {}
            }
        }
        (self.answer.body(slice::from_ref(self.feed.reading())).into(), None)
    }
}

fn failed(error: StoreError, wish: &Wish) -> ApiError {
    match error {
        StoreError::NotFound => not_found(&wish.keys[0], wish),
        error => error.into(),
    }
}

/// What an answer will be made of.
struct Gathered {
    events: Vec<String>,
    /// There is something that the client does not know, if only where it is.
    has_news: bool,
    is_cancelled: bool,
    /// Streams of which the client has nothing are in cursors, too, as it would otherwise begin elsewhere the next time.
    tells_beginnings: bool,
}

impl Gathered {
    fn new(wish: &Wish, found: &[Found]) -> Self {
        let cancelled = |found: &Found| matches!(found.state, State::Complete { status: event::Status::Cancelled, .. });
        Self {
            events: Vec::new(),
            has_news: false,
            is_cancelled: found.iter().all(cancelled),
            tells_beginnings: wish.beginning != Beginning::Start,
        }
    }

    fn take(&mut self, reading: &Reading, step: &Step) {
        self.has_news |= matches!(step, Step::Batch(..) | Step::Gone(_) | Step::Positions(_));
        // The cursor tells positions.
        if matches!(step, Step::Positions(_)) {
            return;
        }
        self.events.extend(objects(reading, step, true));
        if let Step::Batch(_, batch @ Batch { end: true, .. }) = step {
            self.is_cancelled = batch.entries().next_back().is_some_and(|entry| *entry.name == *Finish::Cancel.event_name());
        }
    }

    fn body(self, readings: &[Reading]) -> String {
        let is_keyed = readings.iter().any(Reading::is_keyed);
        // That its only stream is gone a client is told when it asks again.
        let is_told = |outcome: Result<(), Gone>| is_keyed || outcome.is_ok();
        let is_over = readings.iter().all(|reading| reading.outcome().is_some_and(is_told));
        let status = match is_over {
            false => event::Status::Active,
            true if self.is_cancelled && !is_keyed => event::Status::Cancelled,
            true => event::Status::Ended,
        };
        let streams = readings.iter().flat_map(Reading::streams);
        // Cursors are made of characters that need no escape.
        let cursor = self.cursor(streams, is_keyed).map_or_else(|| "null".to_owned(), |cursor| format!("\"{cursor}\""));
        format!(r#"{{"events":[{}],"cursor":{cursor},"status":"{}"}}"#, self.events.join(","), status.as_str())
    }

    fn cursor<'a>(&self, mut streams: impl Iterator<Item = &'a Followed> + Clone, is_keyed: bool) -> Option<String> {
        if !is_keyed {
            let stream = streams.next()?;
            let beginning = || self.tells_beginnings.then(|| format!("{}:", stream.encoded_key()));
            return stream.position.id().map(|id| id.to_string()).or_else(beginning);
        }
        let told = streams.filter(|stream| self.tells_beginnings || stream.position != Position::Beginning);
        Some(cursor::compact(told.map(|stream| (stream.tag(), stream.position)))).filter(|cursor| !cursor.is_empty())
    }
}

/// How long an answer stays true: what finished streams hold does not change any more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Freshness {
    is_final: bool,
    /// The token opens these streams alone, and no later ones at their keys.
    is_bound: bool,
    /// The time for which all of the streams are kept.
    ttl: Duration,
}

impl Freshness {
    fn of(found: &[Found], client: &Client) -> Self {
        let kept = |found: &Found| match &found.state {
            State::Open { page, .. } if page.info.status != event::Status::Active => Some(page.info.ttl),
            State::Complete { ttl, .. } => Some(*ttl),
            State::Open { .. } | State::Awaited { .. } | State::Gone => None,
        };
        match found.iter().map(kept).collect::<Option<Vec<_>>>().and_then(|kept| kept.into_iter().min()) {
            Some(ttl) => Self { is_final: true, is_bound: found.iter().all(|found| client.is_bound(&found.key)), ttl },
            None => Self::default(),
        }
    }
}

/// An answer to a client that polls.
pub enum Answer {
    /// What there is.
    There {
        /// The JSON text.
        body: String,
        /// How long it is true.
        freshness: Freshness,
    },
    /// The JSON text, as soon as there is something, or the time is over.
    Coming(BoxStream<'static, Bytes>),
}

impl<'r> Responder<'r, 'static> for Answer {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let (body, freshness) = match self {
            Self::There { body, freshness } => (body, freshness),
            Self::Coming(body) => return Ok(streamed(ContentType::JSON, body.map(Ok))),
        };
        let mut response = rocket::Response::build();
        if !freshness.is_final {
            response.header(Header::new("Cache-Control", "no-store"));
            return Ok(response.header(ContentType::JSON).sized_body(body.len(), std::io::Cursor::new(body)).finalize());
        }
        // RFC 9110, 8.8.3; the body says it all.
        let tag = format!("\"{}\"", hex::encode(&Sha256::digest(body.as_bytes())[..16]));
        let is_known = request
            .headers()
            .get("If-None-Match")
            .flat_map(|tags| tags.split(','))
            .map(str::trim)
            .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag);
        let cache_control =
            if freshness.is_bound { format!("private, max-age={}", freshness.ttl.as_secs()) } else { "private, no-cache".to_owned() };
        response.header(Header::new("ETag", tag)).header(Header::new("Cache-Control", cache_control));
        response.header(Header::new("Vary", "Authorization, Last-Event-ID"));
        if is_known {
            return Ok(response.status(Status::NotModified).finalize());
        }
        Ok(response.header(ContentType::JSON).sized_body(body.len(), std::io::Cursor::new(body)).finalize())
    }
}

//! The body of the answer to a poll, while it is built.

use serde::Serialize;
use utoipa::ToSchema;

use super::{objects::objects, request::SubscribeRequest};
use crate::{
    codec::{cursor, json},
    session::{Outcome, Output, SubscribedStream, Subscription},
    store::{Batch, PAGE_BYTES, PAGE_ENTRIES, StreamUpdate},
    stream::{Position, StartPosition, Status},
};

/// An event of a stream.
// For the OpenAPI document, as is `Polled`. The answer itself is written by `codec::json`.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyedEvent {
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
    /// With the last event of a stream: `ended`, `cancelled`, `failed` or `abandoned`.
    #[schema(value_type = Option<String>, example = "ended", nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_status: Option<Status>,
    /// With `rollup`: how many events this one stands for, if there are several.
    #[schema(minimum = 2, example = 2000, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
}

/// The answer to a poll.
#[derive(Serialize, ToSchema)]
pub(super) struct Polled {
    /// The events, each stream's in its order.
    events: Vec<KeyedEvent>,
    /// The position to send as `after` in the next request. With one key it is an event's id. Null
    /// while nothing is known of the stream.
    cursor: Option<String>,
    /// `active` while more events may follow. Otherwise `ended`. With one key also `cancelled`,
    /// `failed` or `abandoned`.
    #[schema(value_type = String, example = "active")]
    status: Status,
}

/// The events that an answer will have.
pub(super) struct PollBody {
    events: Vec<String>,
    /// The length of all events.
    bytes: usize,
    /// The answer has something that the subscriber does not know, if only its position.
    has_updates: bool,
    /// The cursor also names streams from which the subscriber has no event yet. Otherwise it would
    /// begin elsewhere the next time.
    cursor_has_starts: bool,
}

impl PollBody {
    pub(super) fn new(request: &SubscribeRequest) -> Self {
        Self {
            events: Vec::new(),
            bytes: 0,
            has_updates: false,
            cursor_has_starts: request.start != StartPosition::Start,
        }
    }

    /// The number of events.
    pub(super) fn events(&self) -> usize {
        self.events.len()
    }

    /// The length of all events, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it has something that the subscriber does not know.
    pub(super) fn has_updates(&self) -> bool {
        self.has_updates
    }

    /// Whether it takes no more events.
    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= PAGE_ENTRIES || self.bytes >= PAGE_BYTES
    }

    fn push(&mut self, event: String) {
        self.bytes += event.len();
        self.events.push(event);
    }

    /// Takes what an output has.
    pub(super) fn take(&mut self, subscription: &mut Subscription, output: &Output) {
        match output {
            Output::Update(index, StreamUpdate::Events(batch)) => {
                self.has_updates = true;
                self.take_batch(subscription, *index, batch);
            }
            Output::Update(_, StreamUpdate::Deleted) => {
                self.has_updates = true;
                for event in objects(subscription, output, true) {
                    self.push(event);
                }
            }
            // The cursor has the positions.
            Output::Positions(_) => self.has_updates = true,
            Output::CaughtUp | Output::Heartbeat | Output::Close(_) => {}
        }
    }

    /// Takes the events for which there is room, at least one. The cut depends on the events alone,
    /// and not on the batches in which they come: finished streams give the same answer each time.
    fn take_batch(&mut self, subscription: &mut Subscription, index: usize, batch: &Batch) {
        let Some(stream) = subscription.streams().get(index) else {
            return;
        };
        let key = stream.key.clone();
        if let Some(missed) = &batch.missed {
            self.push(json::missed(Some(&key), missed));
        }
        let last = batch.last_event().map(|(last, status)| (last.id, status));
        let (mut is_first, mut before) = (true, None);
        for (entry, count) in batch.counted() {
            if subscription.wants(&entry.name) {
                if !is_first
                    && self.is_full()
                    && let Some(before) = before
                {
                    return subscription.move_back(index, before);
                }
                let status = last.filter(|(id, _)| *id == entry.id);
                let status = status.map(|(_, status)| status);
                self.push(json::entry(Some(&key), entry, count, status));
                is_first = false;
            }
            before = Some(entry.id);
        }
    }

    /// The JSON text.
    pub(super) fn into_json(self, subscriptions: &[Subscription]) -> String {
        let is_keyed = subscriptions.iter().any(Subscription::is_keyed);
        // A subscriber of one stream learns of its deletion from its next request.
        let is_over = |subscription: &Subscription| match subscription.outcome() {
            Some(Outcome::Ended) => true,
            Some(Outcome::Deleted) => is_keyed,
            None => false,
        };
        let finished = |subscription: &Subscription| subscription.streams().first()?.finished();
        let status = match subscriptions.iter().all(is_over) {
            false => Status::Active,
            true if is_keyed => Status::Ended,
            true => subscriptions
                .first()
                .and_then(finished)
                .unwrap_or(Status::Ended),
        };
        let streams = subscriptions.iter().flat_map(Subscription::streams);
        let cursor = self.cursor(streams, is_keyed);
        // The characters of a cursor need no escape.
        let cursor = cursor.map_or_else(|| "null".to_owned(), |cursor| format!("\"{cursor}\""));
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
            let start = || format!("{}:", stream.encoded_key());
            let id = stream.position().id().map(|id| id.to_string());
            return id.or_else(|| self.cursor_has_starts.then(start));
        }
        let positions = streams
            .map(|stream| (stream.tag(), stream.position()))
            .filter(|(_, position)| self.cursor_has_starts || *position != Position::Start);
        Some(cursor::compact(positions)).filter(|cursor| !cursor.is_empty())
    }
}

//! A subscriber over server-sent events that uses a third-party parser.

use std::pin::Pin;

use eventsource_stream::{Event, Eventsource};
use futures::{Stream, StreamExt};

use super::within;

pub(crate) struct Sse {
    events: Pin<Box<dyn Stream<Item = Event> + Send>>,
    pub(crate) headers: reqwest::header::HeaderMap,
}

impl Sse {
    pub(crate) fn new(response: reqwest::Response) -> Self {
        let headers = response.headers().clone();
        // A broken connection ends the stream, as it does for a browser.
        let events = response
            .bytes_stream()
            .eventsource()
            .take_while(|event| std::future::ready(event.is_ok()))
            .filter_map(|event| async { event.ok() });
        Self {
            events: Box::pin(events),
            headers,
        }
    }

    /// The next event; none when the broker closed the connection.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        within(self.events.next()).await
    }

    pub(crate) async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(self.next().await.expect("another event"));
        }
        events
    }

    /// Everything until the broker closes the connection.
    pub(crate) async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
            assert!(events.len() < 1_000_000, "a stream that repeats itself");
        }
        events
    }
}

/// The ids of the events.
pub(crate) fn ids(events: &[Event]) -> impl Iterator<Item = &str> {
    events.iter().map(|event| event.id.as_str())
}

//! The options of a subscription.

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use reqwest::Url;

use super::{
    attempt::StartPosition,
    changes::Changes,
    connection::Connector,
    cursor::{Cursor, Positions},
    follower::Follower,
    positions::{ManyStreams, SharedStreams},
    request::{Parameters, SubscribeRequest, parse_url},
    token::Token,
};
use crate::{Error, Event};

/// The options of a subscription that was not started yet: to [`One`] stream, or to [`Many`].
#[must_use = "a subscription does nothing until it is started"]
#[derive(Debug)]
pub struct Subscribe<S = One> {
    pub(super) options: Options,
    pub(super) streams: S,
}

/// Subscribes to one stream, whose key is in the URL.
#[derive(Debug)]
pub struct One {
    pub(super) after: Option<String>,
}

/// Subscribes to several streams, by their keys.
#[derive(Debug)]
pub struct Many {
    pub(super) keys: Vec<String>,
    pub(super) after: Option<Cursor>,
}

/// The options that do not depend on the number of streams.
#[derive(Debug)]
pub(super) struct Options {
    url: String,
    token: Token,
    pub(super) start: StartPosition,
    parameters: Parameters,
    silence: Duration,
    give_up_after: Duration,
}

impl<S> Subscribe<S> {
    pub(super) fn new(url: String, token: Token, streams: S) -> Self {
        let options = Options {
            url,
            token,
            start: StartPosition::default(),
            parameters: Parameters::default(),
            silence: Duration::from_secs(45),
            give_up_after: Duration::from_secs(300),
        };
        Self { options, streams }
    }

    /// The event names filter: the subscription delivers only events with these names. A `*` at the
    /// end of a name stands for any ending. `start`, `end`, `cancel` and `missedevents` always
    /// arrive. All events by default.
    ///
    /// A filter leaves gaps in the numbers of the events. The client can then check only that the
    /// numbers increase, but not that no event is missing.
    pub fn events(mut self, patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.options.parameters.events = patterns.into_iter().map(Into::into).collect();
        self
    }

    /// The start position in a stream that has no cursor: `start` (the first stored event), `now`
    /// (after the newest), `-N` (with the last N), or an RFC 3339 time (with the first event from
    /// then on). `start` by default.
    pub fn from(mut self, from: impl Into<String>) -> Self {
        self.options.start.from = Some(from.into());
        self
    }

    /// Whether to wait for streams that do not exist yet. The token must allow it.
    pub fn wait(mut self, wait: bool) -> Self {
        self.options.start.wait = wait;
        self
    }

    /// The name that operators see for this subscriber: up to 128 bytes without control characters.
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.options.parameters.client_name = Some(name.into());
        self
    }

    /// Tags by which operators find this subscriber: up to 16 words of up to 64 bytes without
    /// commas and control characters.
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.options.parameters.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// How long a connection may receive nothing, not even a heartbeat, before it counts as broken.
    /// 45 seconds by default.
    ///
    /// A poll may take longer by the time for which the broker waits for an event. That time is as
    /// long as `silence`, but at most 25 seconds.
    pub fn silence(mut self, silence: Duration) -> Self {
        self.options.silence = silence;
        self
    }

    /// How long the subscription may receive neither an event nor a heartbeat, over all
    /// connections, before it gives up. 300 seconds by default.
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.options.give_up_after = time;
        self
    }
}

/// The events of a started subscription, and its streams.
pub(super) struct Started {
    pub(super) events: BoxStream<'static, Result<Event, Error>>,
    pub(super) streams: SharedStreams,
}

impl Options {
    pub(super) fn url(&self) -> Result<Url, Error> {
        parse_url(&self.url)
    }

    /// Starts a subscription. It connects when its events are first polled.
    pub(super) fn start(
        self,
        keys: Vec<String>,
        positions: Positions,
        is_keyed: bool,
        changes: Changes,
    ) -> Result<Started, Error> {
        let url = self.url()?;
        let is_filtered = !self.parameters.events.is_empty();
        let request = SubscribeRequest::new(url, self.parameters)?;
        // A longer silence would go unnoticed until after `give_up_after`.
        let silence = self.silence.min(self.give_up_after);
        let connector = Connector::new(request, self.token, silence);
        let streams =
            SharedStreams::new(ManyStreams::new(keys, positions, &self.start, is_filtered));
        let follower = Follower::new(
            connector,
            streams.clone(),
            is_keyed,
            self.give_up_after,
            changes,
        );
        let events = stream::try_unfold(follower, |mut follower| async move {
            Ok(follower.next().await?.map(|event| (event, follower)))
        });
        Ok(Started {
            events: events.boxed(),
            streams,
        })
    }
}

//! What can be said of a subscription before it starts.

use std::{sync::Arc, time::Duration};

use futures::stream::{self, BoxStream, StreamExt};
use reqwest::Url;
use tokio::sync::mpsc;

use super::{
    Token,
    change::Command,
    cursor::Positions,
    endpoint::{Endpoint, Transport},
    follower::{Follower, Shared},
    one::One,
    streams::{Begin, Streams},
};
use crate::{Error, Event, http, life::Life};

/// A subscription that is to be started: to [`One`] stream, or to [`Many`](crate::Many).
#[must_use = "a subscription does nothing until it is started"]
#[derive(Debug)]
pub struct Subscribe<S = One> {
    pub(super) options: Options,
    pub(super) streams: S,
}

#[derive(Debug)]
pub(super) struct Options {
    url: String,
    token: Token,
    pub(super) begin: Begin,
    events: Vec<String>,
    client_name: Option<String>,
    tags: Vec<String>,
    silence: Duration,
    give_up_after: Duration,
}

impl<S> Subscribe<S> {
    pub(super) fn new(url: String, token: Token, streams: S) -> Self {
        let options = Options {
            url,
            token,
            begin: Begin::default(),
            events: Vec::new(),
            client_name: None,
            tags: Vec::new(),
            silence: Duration::from_secs(45),
            give_up_after: Duration::from_secs(300),
        };
        Self { options, streams }
    }

    /// Names of the events that are wanted; a `*` at the end of one stands for any ending. All are,
    /// unless this is set. `start`, `end`, `cancel` and `missedevents` come in any case.
    ///
    /// What is left out leaves holes in the numbers of the events. Then the client can see only
    /// that they increase, no longer that none is missing.
    pub fn events(mut self, patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.options.events = patterns.into_iter().map(Into::into).collect();
        self
    }

    /// Where to begin in a stream of which no position is given: `start` (the first event that is
    /// kept; so it is unless this is set), `now` (after the newest), `-N` (with the last N), or an
    /// RFC 3339 time (with the first event from then on).
    pub fn from(mut self, from: impl Into<String>) -> Self {
        self.options.begin.from = Some(from.into());
        self
    }

    /// Whether to wait for streams that do not exist yet, for which the token must be good.
    pub fn wait(mut self, wait: bool) -> Self {
        self.options.begin.wait = wait;
        self
    }

    /// What operators see this client called: up to 128 bytes without control characters.
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.options.client_name = Some(name.into());
        self
    }

    /// What operators can find this client by: up to 16 words of up to 64 bytes without commas and
    /// control characters.
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.options.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// After how long without a byte, heartbeats included, a connection counts as broken; 45
    /// seconds unless set. Where one polls, that is in addition to the time for which the broker
    /// may wait for an event, which is as long, but no more than 25 seconds.
    pub fn silence(mut self, silence: Duration) -> Self {
        self.options.silence = silence;
        self
    }

    /// After how long without an event or a heartbeat, on any connection, to give up; 300 seconds
    /// unless set.
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.options.give_up_after = time;
        self
    }
}

/// The events of a subscription that was started, and where it is.
pub(super) struct Started {
    pub(super) events: BoxStream<'static, Result<Event, Error>>,
    pub(super) streams: Shared,
}

impl Options {
    /// The URL, as HTTP's: to reqwest a WebSocket is an upgrade of that.
    pub(super) fn url(&self) -> Result<Url, Error> {
        let url = Url::parse(&self.url).map_err(Error::setup)?;
        let http_scheme = match url.scheme() {
            "ws" => "http",
            "wss" => "https",
            _ => return Ok(url),
        };
        Url::parse(&self.url.replacen(url.scheme(), http_scheme, 1)).map_err(Error::setup)
    }

    /// Begins to follow. The connection is made when the events are first polled.
    pub(super) fn start(
        self,
        keys: Vec<String>,
        positions: Positions,
        is_keyed: bool,
        commands: mpsc::Receiver<Command>,
    ) -> Result<Started, Error> {
        let mut url = self.url()?;
        let transport = Transport::of(&url)?;
        let others: Vec<_> = url
            .query_pairs()
            .into_owned()
            .filter(|(name, _)| name != "key")
            .collect();
        url.query_pairs_mut().clear().extend_pairs(others);
        let lists = [
            ("events", self.events.join(",")),
            ("tags", self.tags.join(",")),
        ];
        url.query_pairs_mut()
            .extend_pairs(lists.into_iter().filter(|(_, list)| !list.is_empty()));
        url.query_pairs_mut()
            .extend_pairs(self.client_name.map(|name| ("client_name", name)));

        let streams = Shared::new(Streams::new(
            keys,
            positions,
            &self.begin,
            !self.events.is_empty(),
        ));
        let endpoint = Endpoint {
            http: http::for_subscriptions()?,
            url,
            transport,
            token: self.token,
            current_token: None,
            // A longer silence would be noticed too late to give up.
            silence: self.silence.min(self.give_up_after),
            life: Arc::new(Life::new()),
        };
        let follower = Follower::new(
            endpoint,
            streams.clone(),
            is_keyed,
            self.give_up_after,
            commands,
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

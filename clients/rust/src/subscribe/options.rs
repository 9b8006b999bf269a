//! The options of a subscription.

use std::{fmt, sync::Arc, time::Duration};

use futures::stream::{self, BoxStream, StreamExt};
use reqwest::Url;

use super::{
    access::AccessSource,
    attempt::StartPosition,
    changes::Changes,
    connection::Connector,
    connection_change::{ConnectionChange, ConnectionReporter, OnConnection},
    credentials::{CredentialSource, Credentials},
    cursor::{Cursor, Positions},
    follower::{Follower, UnnamedStream},
    positions::{ManyStreams, SharedStreams},
    producer::Producer,
    request::{Parameters, check_url, parse_url},
    token::Token,
};
use crate::{Error, Event, http};

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
pub(super) struct Options {
    /// None when the access says it.
    url: Option<String>,
    source: CredentialSource,
    /// The token at hand, to use first.
    token: Option<String>,
    pub(super) start: StartPosition,
    parameters: Parameters,
    silence: Duration,
    give_up_after: Duration,
    on_connection: Option<OnConnection>,
    http: Option<reqwest::Client>,
}

impl<S> Subscribe<S> {
    pub(super) fn new(url: String, token: Token, streams: S) -> Self {
        Self::of(Some(url), CredentialSource::Token(token), streams)
    }

    pub(super) fn with_access(access: AccessSource, streams: S) -> Self {
        Self::of(None, CredentialSource::Access(access), streams)
    }

    fn of(url: Option<String>, source: CredentialSource, streams: S) -> Self {
        let options = Options {
            url,
            source,
            token: None,
            start: StartPosition::default(),
            parameters: Parameters::default(),
            silence: Duration::from_secs(45),
            give_up_after: Duration::from_secs(300),
            on_connection: None,
            http: None,
        };
        Self { options, streams }
    }

    /// The URL to use, in place of the one of an [access](crate::subscribe_with).
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.options.url = Some(url.into());
        self
    }

    /// A token at hand, to use first. The function for tokens or for an
    /// [access](crate::subscribe_with) is called when it is no longer valid. Without a URL, the
    /// access is needed at once, and its token is used.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.options.token = Some(token.into());
        self
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

    /// Consecutive stored events of each of these names come as one: their data are concatenated,
    /// the id is that of the last, and [`count`](Event::count) says how many they are. At most 16
    /// names. No event is rolled up by default.
    pub fn rollup(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.options.parameters.rollup = names.into_iter().map(Into::into).collect();
        self
    }

    /// For data that are JSON: where the text is that is concatenated, as a pointer such as
    /// `/delta/text`. The n-th path belongs to the n-th name of [`rollup`](Self::rollup), and an
    /// empty one stands for all of the data.
    pub fn rollup_path(mut self, paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.options.parameters.rollup_paths = paths.into_iter().map(Into::into).collect();
        self
    }

    /// How long the broker gathers live events of these names, too: up to 500 milliseconds. Zero by
    /// default.
    pub fn rollup_ms(mut self, time: Duration) -> Self {
        self.options.parameters.rollup_ms = Some(time.as_millis());
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

    /// A function that the subscription calls at each change of its connection, while it is polled
    /// or dropped. It should not block.
    pub fn on_connection(
        mut self,
        on_connection: impl Fn(ConnectionChange<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.options.on_connection = Some(Arc::new(on_connection));
        self
    }

    /// The HTTP client for all requests, for example one with a proxy or with other certificates.
    ///
    /// It should not follow redirects, which could take the token elsewhere, and have no timeout
    /// for whole responses. WebSocket needs HTTP/1.1, which is
    /// [`http1_only`](reqwest::ClientBuilder::http1_only).
    pub fn http_client(mut self, http_client: reqwest::Client) -> Self {
        self.options.http = Some(http_client);
        self
    }
}

/// The streams that a subscription starts with.
pub(super) struct StartingStreams {
    pub(super) keys: Vec<String>,
    pub(super) positions: Positions,
    /// Whether there may be several.
    pub(super) is_keyed: bool,
    /// The stream of a URL that is not known yet.
    pub(super) unnamed: Option<UnnamedStream>,
}

/// The events of a started subscription, its streams, and how to reach their producers.
pub(super) struct Started {
    pub(super) events: BoxStream<'static, Result<Event, Error>>,
    pub(super) streams: SharedStreams,
    pub(super) producers: Producers,
}

/// Makes producers for the streams of a subscription.
#[derive(Clone)]
pub(super) struct Producers {
    credentials: Arc<Credentials>,
    http: reqwest::Client,
}

impl Producers {
    /// The producer of the stream with this key, or of the only stream that the URL names.
    pub(super) fn of(&self, key: Option<String>) -> Producer {
        Producer::new(Arc::clone(&self.credentials), self.http.clone(), key)
    }
}

impl fmt::Debug for Producers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producers").finish_non_exhaustive()
    }
}

impl Options {
    /// The URL, if it is known without a call of the caller's function.
    pub(super) fn known_url(&self) -> Result<Option<Url>, Error> {
        let url = self.url.as_deref().or_else(|| self.source.known_url());
        let url = url.map(parse_url).transpose()?;
        if let Some(url) = &url {
            check_url(url)?;
        }
        Ok(url)
    }

    /// Starts a subscription. It connects when its events are first polled.
    pub(super) fn start(
        self,
        streams: StartingStreams,
        changes: Changes,
    ) -> Result<Started, Error> {
        let url = self.known_url()?;
        let StartingStreams {
            keys,
            positions,
            is_keyed,
            unnamed,
        } = streams;
        let is_filtered = !self.parameters.events.is_empty();
        let http = self.http.map_or_else(http::for_subscriptions, Ok)?;
        let credentials = Arc::new(Credentials::new(self.source, url, self.token));
        // A longer silence would go unnoticed until after `give_up_after`.
        let silence = self.silence.min(self.give_up_after);
        let producers = Producers {
            credentials: Arc::clone(&credentials),
            http: http.clone(),
        };
        let connector = Connector::new(credentials, self.parameters, http, silence);
        let streams =
            SharedStreams::new(ManyStreams::new(keys, positions, &self.start, is_filtered));
        let follower = Follower::new(
            connector,
            streams.clone(),
            is_keyed,
            self.give_up_after,
            changes,
            ConnectionReporter::new(self.on_connection),
        )
        .unnamed(unnamed);
        let events = stream::try_unfold(follower, |mut follower| async move {
            Ok(follower.next().await?.map(|event| (event, follower)))
        });
        Ok(Started {
            events: events.boxed(),
            streams,
            producers,
        })
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("url", &self.url)
            .field("start", &self.start)
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}

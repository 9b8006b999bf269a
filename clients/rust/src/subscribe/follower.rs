//! The loop that follows streams, over one connection after another.

use std::time::Duration;

use tokio::{
    select,
    time::{Instant, sleep},
};

use super::{
    attempt::StartPosition,
    changes::{Changes, PendingChange},
    connection::{Connection, Connector},
    connection_change::ConnectionReporter,
    frame::Received,
    positions::SharedStreams,
    request::only_key,
};
use crate::{Error, Event, backoff::Backoff};

/// The delay before the next connection, unless the broker sets another.
const RETRY_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// A follower delivers the events of a subscription, and connects again when connections break.
pub(super) struct Follower {
    connector: Connector,
    streams: SharedStreams,
    /// The stream of the URL, while that is not known.
    unnamed: Option<UnnamedStream>,
    /// Whether the subscription may have several streams.
    is_keyed: bool,
    give_up_after: Duration,
    connection: Option<Connection>,
    /// How many streams the connection was opened for.
    connected_streams: usize,
    backoff: Backoff,
    changes: Changes,
    reporter: ConnectionReporter,
    is_over: bool,
}

/// The stream of a subscription whose URL is not known yet, and where it starts.
pub(super) struct UnnamedStream {
    pub(super) after: Option<String>,
    pub(super) start: StartPosition,
}

impl Follower {
    pub(super) fn new(
        connector: Connector,
        streams: SharedStreams,
        is_keyed: bool,
        give_up_after: Duration,
        changes: Changes,
        reporter: ConnectionReporter,
    ) -> Self {
        Self {
            connector,
            streams,
            unnamed: None,
            is_keyed,
            give_up_after,
            connection: None,
            connected_streams: 0,
            backoff: Backoff::new(RETRY_DELAY, LONGEST_DELAY),
            changes,
            reporter,
            is_over: false,
        }
    }

    /// Follows the stream that the URL names, which is not known yet.
    pub(super) fn unnamed(mut self, stream: Option<UnnamedStream>) -> Self {
        self.unnamed = stream;
        self
    }

    /// The next event, over any connection. None after the last event.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Error> {
        let next = self.next_event().await;
        match &next {
            Ok(Some(_)) => self.reporter.event(),
            Ok(None) => self.reporter.closed(None),
            Err(error) => self.reporter.closed(Some(error)),
        }
        next
    }

    async fn next_event(&mut self) -> Result<Option<Event>, Error> {
        if let Some(UnnamedStream { after, start }) = self.unnamed.take() {
            let key = only_key(&self.connector.url().await?)?;
            self.streams.lock().add(key, after, start);
        }
        let mut polled = Instant::now();
        while !self.is_over {
            if self.is_idle() {
                self.wait_for_change().await;
                polled = Instant::now();
                continue;
            }
            let error = match self.step().await {
                Ok(Some(event)) => return Ok(Some(event)),
                Ok(None) => continue,
                Err(error) if error.is_transient() => error,
                Err(error) => return Err(error),
            };
            self.recover(error, polled).await?;
        }
        Ok(None)
    }

    /// Waits before the next attempt, or gives up.
    async fn recover(&mut self, error: Error, polled: Instant) -> Result<(), Error> {
        let mut since = polled.max(self.connector.liveness().last());
        if self.connection.take().is_some() {
            if self.streams.lock().may_be_over() {
                // The broker closes the connection after the last event. It says at once whether
                // that was the last.
                return Ok(());
            }
            // A caller that did not poll for long finds a broken connection. It may have been fine
            // until a moment ago.
            since = since.max(
                Instant::now()
                    .checked_sub(self.connector.silence())
                    .unwrap_or(since),
            );
        }
        if let Some(pause) =
            (self.backoff).next_pause(error.retry_after(), since, self.give_up_after)
        {
            if pause.attempt_follows {
                self.reporter.waiting(&error, pause.time);
            }
            sleep(pause.time).await;
            if pause.attempt_follows {
                return Ok(());
            }
        }
        Err(Error::Disconnected {
            after: since.elapsed(),
            source: Box::new(error),
        })
    }

    /// Whether there is no stream to connect for.
    fn is_idle(&self) -> bool {
        self.connection.is_none() && self.streams.lock().open_count() == 0
    }

    /// Makes the next change. Without one the subscription is over, unless all its streams were
    /// dropped: then it waits for a change.
    async fn wait_for_change(&mut self) {
        let is_empty = self.streams.lock().is_empty();
        let pending = match self.changes.try_next() {
            Some(pending) => Some(pending),
            None if is_empty => self.changes.recv().await,
            None => None,
        };
        match pending {
            Some(pending) => self.apply(pending),
            None => self.is_over = true,
        }
    }

    /// Makes a change by connecting again.
    fn apply(&mut self, pending: PendingChange) {
        if self.changes.apply(pending, &mut self.streams.lock()) {
            self.connection = None;
        }
    }

    /// Connects, receives a message, or makes a change. Returns an event if there is one.
    async fn step(&mut self) -> Result<Option<Event>, Error> {
        let Some(connection) = &mut self.connection else {
            self.connect().await?;
            return Ok(None);
        };
        let silence = connection.silence_timeout(self.connector.silence());
        let liveness = self.connector.liveness();
        select! {
            received = liveness.unless_silent(silence, connection.next()) => {
                self.receive(received??)
            }
            Some(pending) = self.changes.recv() => {
                #[cfg(feature = "websocket")]
                if let Connection::WebSocket(connection) = connection {
                    let sending = connection.send(&pending.change);
                    let sent = liveness.unless_silent(silence, sending).await;
                    // The next connection sends it again if it did not arrive.
                    self.changes.sent(pending);
                    return sent?.map(|()| None);
                }
                self.apply(pending);
                Ok(None)
            }
        }
    }

    /// Connects, and sends the unanswered changes again.
    async fn connect(&mut self) -> Result<(), Error> {
        let attempt = self.streams.lock().attempt(self.is_keyed);
        self.connected_streams = attempt.keys.len();
        self.reporter.connecting();
        match self.connector.connect(&attempt).await {
            Ok(connection) => {
                {
                    let mut streams = self.streams.lock();
                    self.changes.connected(&streams);
                    if connection.is_none() {
                        streams.close();
                    }
                }
                if connection.is_some() {
                    self.reporter.open();
                }
                self.connection = connection;
                #[cfg(feature = "websocket")]
                self.send_unanswered().await?;
                Ok(())
            }
            Err(error) if self.changes.is_adding() && error.is_transient() => Err(error),
            Err(error) => self.changes.refused(error, &mut self.streams.lock()),
        }
    }

    /// Sends the changes again to which the broker did not reply over the last connection.
    #[cfg(feature = "websocket")]
    async fn send_unanswered(&mut self) -> Result<(), Error> {
        let Some(Connection::WebSocket(connection)) = &mut self.connection else {
            return Ok(());
        };
        for change in self.changes.unanswered() {
            self.connector
                .liveness()
                .unless_silent(self.connector.silence(), connection.send(change))
                .await
                .and_then(|outcome| outcome)?;
        }
        Ok(())
    }

    /// Handles a message of the broker. Returns an event if it holds one.
    fn receive(&mut self, received: Received) -> Result<Option<Event>, Error> {
        let mut streams = self.streams.lock();
        let event = match received {
            Received::Frame(frame) => {
                if let Some(delay) = frame.retry {
                    self.backoff.start_from(delay);
                }
                streams.receive(frame)?
            }
            Received::Retry(delay) => {
                self.backoff.start_from(delay);
                None
            }
            Received::Cursor(cursor) => {
                streams.receive_cursor(&cursor)?;
                if streams.open_count() < self.connected_streams {
                    // The next poll asks only for the streams that are left.
                    self.connection = None;
                }
                None
            }
            #[cfg(feature = "websocket")]
            Received::Reply(reply) => {
                self.changes.replied(reply, &mut streams)?;
                None
            }
            Received::Heartbeat => {
                streams.heartbeat();
                None
            }
            Received::NoMore => {
                streams.close();
                None
            }
            Received::Reconnect => {
                self.connection = None;
                None
            }
        };
        if event.is_some() {
            self.backoff.reset();
        }
        if streams.open_count() == 0 && !streams.is_empty() {
            self.connection = None;
            self.is_over = self.changes.is_empty();
        }
        Ok(event)
    }
}

//! Follows streams over one connection after the other.

mod changes;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{select, sync::mpsc, time::Instant};

use self::changes::Trial;
use super::{
    change::Command,
    endpoint::{Connection, Endpoint},
    frame::Received,
    streams::Streams,
};
use crate::{Error, Event, pace::Backoff};

/// The delay before another connection, until the broker says what it should be.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// The streams, as the follower and its subscription both see them.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Streams>>);

impl Shared {
    pub(super) fn new(streams: Streams) -> Self {
        Self(Arc::new(Mutex::new(streams)))
    }

    /// Held for no longer than it takes to look or to note something.
    pub(super) fn lock(&self) -> MutexGuard<'_, Streams> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A subscription at work.
pub(super) struct Follower {
    endpoint: Endpoint,
    streams: Shared,
    /// Whether there may be several streams.
    is_keyed: bool,
    give_up_after: Duration,
    connection: Option<Connection>,
    /// How many streams it was asked for.
    joined: usize,
    backoff: Backoff,
    commands: mpsc::Receiver<Command>,
    /// Those that the broker has not answered, in the order in which it will.
    unanswered: VecDeque<Command>,
    /// A stream that is added by another connection, which is to show whether the broker takes it.
    trial: Option<Trial>,
    is_over: bool,
}

impl Follower {
    pub(super) fn new(
        endpoint: Endpoint,
        streams: Shared,
        is_keyed: bool,
        give_up_after: Duration,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            endpoint,
            streams,
            is_keyed,
            give_up_after,
            connection: None,
            joined: 0,
            backoff: Backoff::new(RETRY, LONGEST_DELAY),
            commands,
            unanswered: VecDeque::new(),
            trial: None,
            is_over: false,
        }
    }

    /// The next event, over whichever connection; None: there is nothing more to come.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Error> {
        let mut asked = Instant::now();
        while !self.is_over {
            if self.is_idle() {
                self.wait_for_work().await;
                asked = Instant::now();
                continue;
            }
            let error = match self.step().await {
                Ok(Some(event)) => return Ok(Some(event)),
                Ok(None) => continue,
                Err(error) if error.is_transient() => error,
                Err(error) => return Err(error),
            };
            let mut since = asked.max(self.endpoint.life.last());
            if self.connection.take().is_some() {
                // Whoever did not poll meanwhile finds a connection broken that may have been well
                // until just now.
                since = since.max(
                    Instant::now()
                        .checked_sub(self.endpoint.silence)
                        .unwrap_or(since),
                );
            }
            if !self
                .backoff
                .pause(error.retry_after(), since, self.give_up_after)
                .await
            {
                return Err(Error::Disconnected {
                    after: since.elapsed(),
                    source: Box::new(error),
                });
            }
        }
        Ok(None)
    }

    /// Whether there is no stream to connect for.
    fn is_idle(&self) -> bool {
        self.connection.is_none() && self.streams.lock().open_count() == 0
    }

    /// Takes the next command. Without one it is over, unless all streams were dropped: then it
    /// waits.
    async fn wait_for_work(&mut self) {
        let command = match self.unanswered.pop_front() {
            Some(command) => Some(command),
            None if self.streams.lock().is_empty() => self.commands.recv().await,
            None => self.commands.try_recv().ok(),
        };
        match command {
            Some(command) => self.rejoin(command),
            None => self.is_over = true,
        }
    }

    /// Connects, receives something, or makes a change; an event, perhaps.
    async fn step(&mut self) -> Result<Option<Event>, Error> {
        let Some(connection) = &mut self.connection else {
            self.connect().await?;
            return Ok(None);
        };
        let patience = connection.patience(self.endpoint.silence);
        select! {
            received = self.endpoint.life.unless_silent(patience, connection.next()) => self.take(received??),
            Some(command) = self.commands.recv() => {
                #[cfg(feature = "websocket")]
                if let Some(Connection::WebSocket(connection)) = &mut self.connection {
                    let sent = self.endpoint.life.unless_silent(patience, connection.ask(&command.change)).await.flatten();
                    // What may not have arrived is asked again over the next one.
                    self.unanswered.push_back(command);
                    return sent.map(|()| None);
                }
                self.rejoin(command);
                Ok(None)
            }
        }
    }

    /// Connects, and asks again for what was not answered.
    async fn connect(&mut self) -> Result<(), Error> {
        let resume = self.streams.lock().resume(self.is_keyed);
        self.joined = resume.keys.len();
        let opened = self.endpoint.connect(&resume).await;
        if let (Err(error), Some(_)) = (&opened, &self.trial)
            && error.is_transient()
        {
            return opened.map(drop);
        }
        match (opened, self.trial.take()) {
            (Ok(connection), trial) => {
                if let Some(Trial { key, done, .. }) = trial {
                    let after = self.streams.lock().last_id(&key).map(str::to_owned);
                    // Whoever asked may have left.
                    let _ = done.send(Ok(after));
                }
                if connection.is_none() {
                    self.streams.lock().close();
                }
                self.connection = connection;
                #[cfg(feature = "websocket")]
                self.ask_again().await?;
                Ok(())
            }
            (Err(error), Some(Trial { done, before, .. })) => {
                *self.streams.lock() = before;
                let _ = done.send(Err(error));
                Ok(())
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Takes note of what came; an event, perhaps.
    fn take(&mut self, received: Received) -> Result<Option<Event>, Error> {
        let event = match received {
            Received::Frame(frame) => {
                if let Some(retry) = frame.retry {
                    self.backoff.start_from(retry);
                }
                self.streams.lock().receive(frame)?
            }
            Received::Retry(retry) => {
                self.backoff.start_from(retry);
                None
            }
            Received::Answered(cursor) => {
                let mut streams = self.streams.lock();
                streams.answered(&cursor)?;
                if streams.open_count() < self.joined {
                    // Not to be asked for again.
                    self.connection = None;
                }
                None
            }
            #[cfg(feature = "websocket")]
            Received::Reply(reply) => {
                self.answer(reply)?;
                None
            }
            Received::Heartbeat => {
                self.streams.lock().wait();
                None
            }
            Received::Over => {
                self.streams.lock().close();
                None
            }
            Received::Again => {
                self.connection = None;
                None
            }
        };
        if event.is_some() {
            self.backoff.reset();
        }
        let streams = self.streams.lock();
        if streams.open_count() == 0 && !streams.is_empty() {
            self.connection = None;
            self.is_over = self.unanswered.is_empty() && self.commands.is_empty();
        }
        drop(streams);
        Ok(event)
    }
}

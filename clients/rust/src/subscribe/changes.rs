//! Changes of what is followed.

use tokio::sync::oneshot;

use super::Follower;
#[cfg(feature = "websocket")]
use crate::subscribe::{endpoint::Connection, frame::Reply};
use crate::{
    Error,
    subscribe::{
        change::{Change, Command},
        streams::Streams,
    },
};

/// A stream that is added by another connection, which is to show whether the broker takes it.
pub(super) struct Trial {
    pub(super) key: String,
    pub(super) done: oneshot::Sender<Result<Option<String>, Error>>,
    /// What is followed if it does not.
    pub(super) before: Streams,
}

impl Follower {
    /// Makes a change for which there is to be another connection.
    pub(super) fn rejoin(&mut self, Command { change, done }: Command) {
        let mut streams = self.streams.lock();
        match change {
            Change::Add { key, .. } if streams.is_open(&key) => {
                let _ = done.send(Err(Error::refused(
                    "already-subscribed",
                    format!("The stream {key:?} is followed already"),
                )));
            }
            Change::Add { key, after, begin } => {
                let before = streams.clone();
                streams.add(key.clone(), after, begin);
                self.trial = Some(Trial { key, done, before });
                self.connection = None;
            }
            Change::Drop { key } => {
                if streams.is_open(&key) {
                    self.connection = None;
                }
                let _ = done.send(streams.remove(&key));
            }
        }
    }

    /// Asks over a new connection for what was not answered over the one before.
    #[cfg(feature = "websocket")]
    pub(super) async fn ask_again(&mut self) -> Result<(), Error> {
        if let Some(Connection::WebSocket(connection)) = &mut self.connection {
            for command in &self.unanswered {
                self.endpoint
                    .life
                    .unless_silent(self.endpoint.silence, connection.ask(&command.change))
                    .await
                    .flatten()?;
            }
        }
        Ok(())
    }

    /// Makes the change that the broker has agreed to, or tells why it has not.
    #[cfg(feature = "websocket")]
    pub(super) fn answer(&mut self, Reply { key, outcome }: Reply) -> Result<(), Error> {
        let Some(Command { change, done }) = self
            .unanswered
            .pop_front()
            .filter(|command| command.change.key() == key)
        else {
            return Err(Error::InvalidAnswer(format!(
                "an answer about the stream {key:?}, for which nothing was asked"
            )));
        };
        if let Ok(after) = &outcome {
            let mut streams = self.streams.lock();
            match change {
                Change::Add { key, begin, .. } => streams.add(key, after.clone(), begin),
                Change::Drop { key } => drop(streams.remove(&key)?),
            }
        }
        let _ = done.send(outcome);
        Ok(())
    }
}

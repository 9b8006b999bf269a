//! The background task of a writer.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

#[cfg(feature = "websocket")]
use super::websocket;
use super::{
    Transport,
    finish::{Finish, finish},
    ndjson,
    outbox::Outbox,
};
use crate::{Client, Error, pace::Backoff};

const SHORTEST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// How long one attempt may go without an answer, and how long it may at least, however little time
/// is left.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(15);
const SHORTEST_ATTEMPT: Duration = Duration::from_secs(1);

/// What is to become of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Finish,
    Cancel,
    /// It stays active.
    Close,
}

pub(super) struct Task {
    pub(super) client: Client,
    pub(super) key: String,
    /// The name under which the broker knows this writer's events when they are sent again.
    pub(super) producer: String,
    pub(super) transport: Transport,
    pub(super) retry_for: Duration,
    /// How long a dropped writer goes on sending.
    pub(super) flush_timeout: Duration,
    pub(super) outbox: Outbox,
    pub(super) ended: oneshot::Receiver<End>,
}

impl Task {
    /// Sends what the writer hands over until it ends, and then does with the stream what it says.
    pub(super) async fn run(self) -> Result<(), Error> {
        let Self {
            client,
            key,
            producer,
            transport,
            retry_for,
            flush_timeout,
            mut outbox,
            mut ended,
        } = self;
        let ledger = Arc::clone(outbox.ledger());
        let retries = Retries::new(retry_for);
        let query = [("key", &*key), ("producer", &*producer)];
        let sending = async {
            match transport {
                Transport::Ndjson => ndjson::send(&client, query, &mut outbox, retries).await,
                #[cfg(feature = "websocket")]
                Transport::WebSocket => websocket::send(&client, query, &mut outbox, retries).await,
            }
        };
        let mut sending = pin!(sending);
        let end = tokio::select! {
            biased;
            end = &mut ended => {
                if end.is_err() {
                    // The writer was dropped. What was written is stored first, as far as that is
                    // possible.
                    let stored = ledger.confirmed(ledger.written());
                    let flushed = async { tokio::select! { _ = stored => {}, _ = sending.as_mut() => {} } };
                    // Past its time, the stream is cancelled without the rest.
                    let _ = timeout(flush_timeout, flushed).await;
                }
                end
            }
            Err(error) = sending.as_mut() => {
                ledger.fail(error);
                ended.await
            }
        };
        let how = match end {
            Ok(End::Close) => return Ok(()),
            Ok(End::Finish) => Finish::End,
            // Without a word of its end the writer was dropped.
            Ok(End::Cancel) | Err(_) => Finish::Cancel,
        };
        finish(&client, &key, how, Retries::new(retry_for)).await
    }
}

/// When a writer tries again.
pub(super) struct Retries {
    backoff: Backoff,
    retry_for: Duration,
    since: Option<Instant>,
}

impl Retries {
    pub(super) fn new(retry_for: Duration) -> Self {
        Self {
            backoff: Backoff::new(SHORTEST_DELAY, LONGEST_DELAY),
            retry_for,
            since: None,
        }
    }

    /// How long an attempt may go without an answer.
    pub(super) fn patience(&self, since: Instant) -> Duration {
        self.retry_for
            .saturating_sub(since.elapsed())
            .clamp(SHORTEST_ATTEMPT, LONGEST_ATTEMPT)
    }

    /// Waits before the next attempt at what has been wanted since then. The error again: there is
    /// to be none.
    pub(super) async fn after(&mut self, error: Error, since: Instant) -> Result<(), Error> {
        if self.since.replace(since) != Some(since) {
            self.backoff.reset();
        }
        if error.is_transient()
            && self
                .backoff
                .pause(error.retry_after(), since, self.retry_for)
                .await
        {
            Ok(())
        } else {
            Err(error)
        }
    }
}

//! The background task of a writer.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::timeout};

#[cfg(feature = "websocket")]
use super::websocket;
use super::{
    finish::{Finish, finish},
    ndjson,
    outbox::Outbox,
    retry::Retry,
    transport::Transport,
};
use crate::{Client, Error};

/// How the caller ended its writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriterEnd {
    Finish,
    Cancel,
    /// The stream stays active.
    Close,
}

/// A task sends a writer's events in the background.
pub(super) struct Task {
    pub(super) client: Client,
    pub(super) key: String,
    /// The producer name, by which the broker recognises events that are sent again.
    pub(super) producer: String,
    pub(super) transport: Transport,
    pub(super) retry_for: Duration,
    /// How long a dropped writer continues to send.
    pub(super) flush_timeout: Duration,
    pub(super) outbox: Outbox,
    pub(super) ended: oneshot::Receiver<WriterEnd>,
}

impl Task {
    /// Sends events until the writer ends, and then ends, cancels or leaves the stream.
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
        let retry = Retry::new(retry_for);
        let query = [("key", &*key), ("producer", &*producer)];
        let sending = async {
            match transport {
                Transport::Ndjson => ndjson::send(&client, query, &mut outbox, retry).await,
                #[cfg(feature = "websocket")]
                Transport::WebSocket => websocket::send(&client, query, &mut outbox, retry).await,
            }
        };
        let mut sending = pin!(sending);
        let end = tokio::select! {
            biased;
            end = &mut ended => {
                if end.is_err() {
                    // The writer was dropped. Its events are stored first, if that is possible.
                    let stored = ledger.confirmed(ledger.written());
                    let flushed = async {
                        tokio::select! { _ = stored => {}, _ = sending.as_mut() => {} }
                    };
                    // After the timeout the stream is cancelled without the rest.
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
            Ok(WriterEnd::Close) => return Ok(()),
            Ok(WriterEnd::Finish) => Finish::End,
            // The channel closes when the writer is dropped.
            Ok(WriterEnd::Cancel) | Err(_) => Finish::Cancel,
        };
        finish(&client, &key, how, Retry::new(retry_for)).await
    }
}

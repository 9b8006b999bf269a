//! Events as messages of a WebSocket. The broker replies to each, in order.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use reqwest::Method;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::{self, Message};

use super::{
    outbox::{Ledger, Outbox},
    target::Target,
};
use crate::{
    Error,
    liveness::Liveness,
    retry::Retry,
    websocket::{Socket, connect, next_text},
};

/// How long the broker may be silent before the connection counts as broken. It sends pings.
const SILENCE: Duration = Duration::from_secs(45);

/// The broker's reply to one event.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum EventReply {
    Success {
        id: Option<String>,
    },
    Error {
        code: String,
        message: String,
        /// How the stream was finished, if that is why the broker refuses the event.
        stream_status: Option<String>,
    },
}

/// Sends the writer's events until that fails permanently.
pub(super) async fn send(
    target: &Target,
    producer: &str,
    outbox: &mut Outbox,
    mut retry: Retry,
) -> Result<Infallible, Error> {
    loop {
        let sequence = outbox.unconfirmed().await;
        let reply_timeout = retry.timeout(outbox.since());
        let Err(error) = connect_and_send(target, producer, sequence, outbox, reply_timeout).await;
        // When all events are confirmed, the task connects again only for the next event.
        if outbox.has_unconfirmed() || !error.is_transient() {
            retry.after(error, outbox.since()).await?;
        }
    }
}

/// Sends events over one connection until it breaks, or the broker does not reply for
/// `reply_timeout`.
async fn connect_and_send(
    target: &Target,
    producer: &str,
    sequence: u64,
    outbox: &mut Outbox,
    reply_timeout: Duration,
) -> Result<Infallible, Error> {
    let request = target
        .client
        .request(Method::GET, "/api/event/add/ws-stream")
        .query(&target.query())
        .query(&[("producer", producer)])
        .query(&[("sequence", sequence)]);
    let liveness = Arc::new(Liveness::new());
    let socket = timeout(reply_timeout, connect(request, &liveness))
        .await
        .map_err(Error::unreachable)
        .and_then(|outcome| outcome)?;
    let (events, replies) = socket.split();
    let sent = AtomicU64::new(sequence);
    let ledger = Arc::clone(outbox.ledger());
    // Both run at once, so that neither side waits for the other to read.
    tokio::select! {
        result = receive(replies, &liveness, &ledger, &sent) => result,
        never = send_events(outbox, events, &sent) => match never {},
        () = overdue(&ledger, &sent, reply_timeout) => {
            Err(Error::unreachable(format!("no answer for {reply_timeout:?}")))
        }
    }
}

/// Waits until the broker has not replied for `reply_timeout` while events were unconfirmed.
async fn overdue(ledger: &Ledger, sent: &AtomicU64, reply_timeout: Duration) {
    let (mut confirmed, mut since) = (ledger.acknowledged(), Instant::now());
    while since.elapsed() < reply_timeout {
        sleep(reply_timeout / 8).await;
        let now = ledger.acknowledged();
        if now != confirmed || now >= sent.load(Ordering::Relaxed) {
            (confirmed, since) = (now, Instant::now());
        }
    }
}

async fn send_events(
    outbox: &mut Outbox,
    mut events: SplitSink<Socket, Message>,
    sent: &AtomicU64,
) -> Infallible {
    loop {
        if send_unsent(outbox, &mut events, sent).await.is_err() {
            // `receive` fails, too, after it has read the replies that came before.
            return pending().await;
        }
        outbox.receive().await;
    }
}

async fn send_unsent(
    outbox: &Outbox,
    events: &mut SplitSink<Socket, Message>,
    sent: &AtomicU64,
) -> Result<(), tungstenite::Error> {
    for line in outbox.from(sent.load(Ordering::Relaxed)) {
        sent.fetch_add(1, Ordering::Relaxed);
        events.feed(Message::Binary(line.clone())).await?;
    }
    events.flush().await
}

async fn receive(
    mut replies: SplitStream<Socket>,
    liveness: &Liveness,
    ledger: &Ledger,
    sent: &AtomicU64,
) -> Result<Infallible, Error> {
    loop {
        let text = liveness
            .unless_silent(SILENCE, next_text(&mut replies))
            .await??;
        let text = text.ok_or_else(|| Error::unreachable("the WebSocket was closed"))?;
        match serde_json::from_str(&text)
            .map_err(|error| Error::InvalidAnswer(error.to_string()))?
        {
            EventReply::Success { .. } if ledger.acknowledged() >= sent.load(Ordering::Relaxed) => {
                return Err(Error::InvalidAnswer(
                    "more events are confirmed than were sent".to_owned(),
                ));
            }
            EventReply::Success { id } => ledger.confirm(1, id),
            EventReply::Error {
                code,
                message,
                stream_status,
            } => return Err(Error::refused(code, message).with_stream_status(stream_status)),
        }
    }
}

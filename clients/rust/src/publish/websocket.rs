//! Events as messages of a WebSocket, each answered, in order.

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
    task::Retries,
};
use crate::{
    Client, Error,
    life::Life,
    websocket::{Socket, connect, next_text},
};

/// How long the broker, which pings, may be silent before its connection counts as broken.
const SILENCE: Duration = Duration::from_secs(45);

/// The broker's word on one event.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Answer {
    Success { id: Option<String> },
    Error { code: String, message: String },
}

/// Sends what the writer hands over until that fails for good.
pub(super) async fn send(
    client: &Client,
    query: [(&str, &str); 2],
    outbox: &mut Outbox,
    mut retries: Retries,
) -> Result<Infallible, Error> {
    loop {
        let sequence = outbox.gather().await;
        let patience = retries.patience(outbox.since());
        let Err(error) = serve(client, query, sequence, outbox, patience).await;
        // A connection that breaks while nothing is owed is made anew when there is something to
        // send.
        if outbox.owes() || !error.is_transient() {
            retries.after(error, outbox.since()).await?;
        }
    }
}

/// Serves one connection until it breaks, or leaves events unanswered for longer than `patience`.
async fn serve(
    client: &Client,
    query: [(&str, &str); 2],
    sequence: u64,
    outbox: &mut Outbox,
    patience: Duration,
) -> Result<Infallible, Error> {
    let request = client
        .request(Method::GET, "/api/event/add/ws-stream")
        .query(&query)
        .query(&[("sequence", sequence)]);
    let life = Arc::new(Life::new());
    let socket = timeout(patience, connect(request, &life))
        .await
        .map_err(Error::unreachable)
        .flatten()?;
    let (events, answers) = socket.split();
    let sent = AtomicU64::new(sequence);
    let ledger = Arc::clone(outbox.ledger());
    // Both at once, so that neither side waits for the other to read.
    tokio::select! {
        result = receive(answers, &life, &ledger, &sent) => result,
        never = send_events(outbox, events, &sent) => match never {},
        () = overdue(&ledger, &sent, patience) => Err(Error::unreachable(format!("no answer for {patience:?}"))),
    }
}

/// Waits until the broker has owed an answer for so long without giving any.
async fn overdue(ledger: &Ledger, sent: &AtomicU64, patience: Duration) {
    let (mut confirmed, mut since) = (ledger.acknowledged(), Instant::now());
    while since.elapsed() < patience {
        sleep(patience / 8).await;
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
            // The other half learns of it, after the answers that came before.
            return pending().await;
        }
        outbox.more().await;
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
    mut answers: SplitStream<Socket>,
    life: &Life,
    ledger: &Ledger,
    sent: &AtomicU64,
) -> Result<Infallible, Error> {
    loop {
        let text = life
            .unless_silent(SILENCE, next_text(&mut answers))
            .await??;
        let text = text.ok_or_else(|| Error::unreachable("the WebSocket was closed"))?;
        match serde_json::from_str(&text)
            .map_err(|error| Error::InvalidAnswer(error.to_string()))?
        {
            Answer::Success { .. } if ledger.acknowledged() >= sent.load(Ordering::Relaxed) => {
                return Err(Error::InvalidAnswer(
                    "more events are confirmed than were sent".to_owned(),
                ));
            }
            Answer::Success { id } => ledger.confirm(1, id),
            Answer::Error { code, message } => return Err(Error::refused(code, message)),
        }
    }
}

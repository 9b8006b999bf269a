//! The connection of one subscriber, from its first byte to its end.
//!
//! Each connection has a task. Rocket does not poll a body while its subscriber takes nothing, and
//! the age of the connection has to end it all the same.

use std::{future::pending, io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::{
    StreamExt,
    stream::{BoxStream, unfold},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tracing::Instrument;

use super::{
    message::{InvalidMessage, Message},
    node::Node,
    stream::{EVENT_NAME, FollowGuard},
};
use crate::{
    codec::sse,
    hooks::{HookError, SharedSubscriber},
    http::streaming::chunks,
    session::{CloseReason, Output, Session},
    store::{Batch, StreamUpdate},
    stream::{Entry, Missed},
    telemetry::metrics::DisconnectReason,
};

/// The bytes of an event stream.
pub(super) type Frames = BoxStream<'static, io::Result<Bytes>>;

/// How long a subscriber may take nothing, unless the connection ends before because of its age.
const STALL_TIMEOUT: Duration = Duration::from_secs(300);

/// How long the last bytes of a connection may wait for the subscriber.
const LAST_BYTES_TIMEOUT: Duration = Duration::from_secs(5);

/// The delay before a reconnect that subscribers are sent when the server ends a connection early.
const RETRY_MS: std::ops::Range<u64> = 500..3_000;

/// A subscriber that was admitted.
pub(super) struct Connection {
    pub(super) session: Session,
    /// None without a script.
    pub(super) subscriber: Option<SharedSubscriber>,
    pub(super) node: Arc<Node>,
    pub(super) started: Instant,
    pub(super) _follow: FollowGuard,
}

/// Why the server sends nothing more.
enum End {
    /// The subscriber left.
    Left,
    /// It took nothing for too long.
    Stalled,
    /// The connection has reached its age.
    TimedOut,
    /// The session is over, or the script failed. These bytes are the last.
    Closed(Bytes),
}

/// Why a message was not delivered.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    #[error("{0}")]
    Hook(#[from] HookError),
    #[error("the hook message returned no message: {0}")]
    Returned(InvalidMessage),
    #[error("a stored message can't be read: {0}")]
    Json(#[from] serde_json::Error),
}

/// Asks a subscriber to reconnect after a random delay, so that not all come at once.
pub(super) fn reconnect() -> Bytes {
    format!("{}\n", sse::retry(fastrand::u64(RETRY_MS))).into()
}

impl Connection {
    /// Starts the delivery. Dropping the frames ends it.
    pub(super) fn start(self, first: Bytes) -> Frames {
        // One piece in the channel: the rest stays in the store.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(self.run(first, sender).in_current_span());
        Box::pin(unfold(receiver, |mut receiver| async {
            let bytes = receiver.recv().await?;
            Some((Ok(bytes), receiver))
        }))
    }

    async fn run(mut self, first: Bytes, body: mpsc::Sender<Bytes>) {
        let body = Body(body);
        let age = self.node.options.timeout;
        let started = self.started;
        let end = tokio::select! {
            biased;
            () = body.0.closed() => End::Left,
            () = reaches(started, age) => End::TimedOut,
            Err(end) = self.deliver(first, &body) => end,
        };
        let Self {
            session,
            subscriber,
            node,
            ..
        } = self;
        let (reason, last) = match end {
            End::Left => return,
            End::Stalled => return session.set_stalled(),
            End::TimedOut => {
                let retry = match &subscriber {
                    Some(subscriber) => time_out(subscriber, started.elapsed()).await,
                    None => None,
                };
                let retry = retry.unwrap_or(node.options.timeout_retry);
                let retry = sse::retry(u64::try_from(retry.as_millis()).unwrap_or(u64::MAX));
                (
                    Some(DisconnectReason::Idle),
                    format!(": timeout\n{retry}\n").into(),
                )
            }
            End::Closed(last) => (None, last),
        };
        let admission = session.into_admission();
        if let Some(reason) = reason {
            admission.set_disconnect_reason(reason);
        }
        // What does not go out in time is lost with the connection.
        let _ = timeout(LAST_BYTES_TIMEOUT, body.0.send(last)).await;
    }

    /// Delivers until the connection ends.
    async fn deliver(
        &mut self,
        first: Bytes,
        body: &Body,
    ) -> Result<std::convert::Infallible, End> {
        body.send(first).await?;
        let interval = self.node.options.keep_alive;
        let mut last_sent = Instant::now();
        loop {
            let output = tokio::select! {
                biased;
                output = self.session.next() => output,
                () = reaches(last_sent, interval) => {
                    let text = self.node.options.keep_alive_text.as_str();
                    body.send(format!(": {text}\n\n").into()).await?;
                    last_sent = Instant::now();
                    continue;
                }
            };
            match output {
                Output::Update(stream, StreamUpdate::Events(batch)) => {
                    let bytes = deliver_batch(&batch, self.subscriber.as_ref(), body).await?;
                    self.session.count_delivery(stream, &batch, bytes);
                    if bytes > 0 {
                        last_sent = Instant::now();
                    }
                }
                Output::Heartbeat => {
                    body.send(Bytes::from_static(sse::HEARTBEAT)).await?;
                }
                Output::Close(reason) => return Err(End::Closed(last_bytes(reason))),
                // Only subscribers of several streams, or with a filter, get these.
                Output::Update(_, StreamUpdate::Deleted)
                | Output::Positions(_)
                | Output::CaughtUp => {}
            }
        }
    }
}

/// Delivers a batch, through the hook `message` if there is one. Returns how many bytes went out.
async fn deliver_batch(
    batch: &Batch,
    subscriber: Option<&SharedSubscriber>,
    body: &Body,
) -> Result<usize, End> {
    let mut bytes = 0;
    if let Some(missed) = batch.missed.as_deref() {
        bytes += body.send(missed_comment(missed)).await?;
    }
    let Some(subscriber) = subscriber.filter(|subscriber| subscriber.has_message_hook()) else {
        for part in &batch.parts {
            bytes += body.send(sse::frames_by(part, put_entry)).await?;
        }
        return Ok(bytes);
    };
    // One by one: a hook may wait, and what passed it must not wait with it.
    for entry in batch.entries().filter(|entry| *entry.name == *EVENT_NAME) {
        match hooked_frame(subscriber, entry).await {
            Ok(frame) => bytes += body.send(frame).await?,
            Err(error) => {
                tracing::warn!(%error, "a subscriber's connection is closed, as a message failed");
                return Err(End::Closed(reconnect()));
            }
        }
    }
    Ok(bytes)
}

/// The frame of an entry as the script changes it for this subscriber. Empty where it drops it.
async fn hooked_frame(subscriber: &SharedSubscriber, entry: &Entry) -> Result<Bytes, Undelivered> {
    let publication = serde_json::from_str(entry.data.as_deref().unwrap_or_default())?;
    let Some(publication) = subscriber.message(publication).await? else {
        return Ok(Bytes::new());
    };
    let message = Message::of_publication(&publication).map_err(Undelivered::Returned)?;
    let mut out = BytesMut::new();
    message.put(&mut out);
    Ok(out.freeze())
}

/// Adds the frame of an entry. What is not a message was not written by this program.
fn put_entry(out: &mut BytesMut, entry: &Entry) {
    if *entry.name != *EVENT_NAME {
        return;
    }
    let publication = serde_json::from_str(entry.data.as_deref().unwrap_or_default());
    if let Ok(Ok(message)) = publication.map(|publication| Message::of_publication(&publication)) {
        message.put(out);
    } else {
        tracing::error!(id = %entry.id, "a stored event is no message");
    }
}

/// Reports messages that the subscriber can no longer have. tinysse drops them in silence.
fn missed_comment(missed: &Missed) -> Bytes {
    tracing::warn!(
        missed = missed.missed,
        "a subscriber was slower than the capacity allows, and missed messages"
    );
    let count = missed.missed.map_or_else(
        || "an unknown number of".to_owned(),
        |count| count.to_string(),
    );
    format!(": missed {count} messages\n\n").into()
}

/// The last bytes of a connection that the session ends.
fn last_bytes(reason: CloseReason) -> Bytes {
    if !matches!(reason, CloseReason::Ended | CloseReason::Deleted) {
        return reconnect();
    }
    // The stream was deleted, or finished by somebody else. The next connection creates it.
    tracing::warn!("the stream of messages was deleted; a subscriber has to reconnect");
    let comment = b": missed an unknown number of messages\n";
    [comment, &reconnect()[..]].concat().into()
}

/// Calls the hook `timeout`. A hook that fails does not change the end of the connection.
async fn time_out(subscriber: &SharedSubscriber, elapsed: Duration) -> Option<Duration> {
    subscriber.timeout(elapsed).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "the connection ends without its delay");
        None
    })
}

/// Resolves so long after a moment; never for zero. Cancel safe.
async fn reaches(moment: Instant, duration: Duration) {
    match moment.checked_add(duration) {
        Some(at) if !duration.is_zero() => sleep_until(at).await,
        _ => pending().await,
    }
}

/// The sender of a connection's bytes.
struct Body(mpsc::Sender<Bytes>);

impl Body {
    /// Sends bytes in pieces. What is not sent stays with this task, which has a deadline. Returns
    /// how many bytes went out.
    async fn send(&self, bytes: Bytes) -> Result<usize, End> {
        let length = bytes.len();
        let mut pieces = std::pin::pin!(chunks(bytes));
        while let Some(Ok(piece)) = pieces.next().await {
            timeout(STALL_TIMEOUT, self.0.send(piece))
                .await
                .map_err(|_| End::Stalled)?
                .map_err(|_| End::Left)?;
        }
        Ok(length)
    }
}

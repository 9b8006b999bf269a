//! A feed as the body of an answer, whatever the format.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, unfold};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    event::{Part, StreamKey},
    feed::{Feed, Reading, Step},
    store::Batch,
    wire::json,
};

/// The longest silence where each client holds a Redis connection. Only a write shows that a client has left, and until
/// then its connection is not free.
pub(super) const EXCLUSIVE_PROBE: Duration = Duration::from_secs(2);

/// Steps as bytes of a format.
pub(super) trait Format: Send + 'static {
    /// The bytes of a step; there may be none. Those of a [`Step::Close`] are the last.
    fn bytes(&mut self, reading: &Reading, step: &Step) -> Bytes;
}

/// The feed as a body. Rocket asks for the next bytes when the client has taken the last: that alone is enough for a feed that
/// holds nothing scarce, and a task with a channel less to go through. One that does hold something gets a task of its own,
/// in which deadlines and the shutdown go on while the client does not read.
pub(super) fn body(feed: Feed, format: impl Format, stall: Duration) -> BoxStream<'static, Bytes> {
    let is_scarce = feed.is_scarce();
    let frames = Frames { feed, format, closed: false };
    if is_scarce {
        // One batch in the channel: what a slow client does not take stays in the store.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(pump(frames, sender, stall));
        return Box::pin(unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|bytes| (bytes, receiver)) }));
    }
    Box::pin(unfold(frames, |mut frames| async move {
        frames.feed.taken();
        let bytes = frames.next().await?;
        frames.feed.given();
        Some((bytes, frames))
    }))
}

/// A feed's steps as bytes.
struct Frames<F> {
    feed: Feed,
    format: F,
    /// The last bytes were handed on.
    closed: bool,
}

impl<F: Format> Frames<F> {
    /// The next bytes; none when the connection is to be closed. Cancel safe.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.closed {
            let step = self.feed.next().await;
            let bytes = self.format.bytes(self.feed.reading(), &step);
            match &step {
                Step::Batch(stream, batch) => self.feed.delivered(*stream, batch, bytes.len()),
                Step::Close(_) => self.closed = true,
                Step::Gone(_) | Step::Positions(_) | Step::CaughtUp | Step::Heartbeat => {}
            }
            if !bytes.is_empty() {
                return Some(bytes);
            }
        }
        None
    }
}

async fn pump<F: Format>(mut frames: Frames<F>, body: mpsc::Sender<Bytes>, stall: Duration) {
    loop {
        let bytes = tokio::select! {
            bytes = frames.next() => bytes,
            // The client's leaving shows in the body's being dropped.
            () = body.closed() => return,
        };
        let Some(bytes) = bytes else { return };
        let sent = tokio::select! {
            biased;
            sent = timeout(stall, body.send(bytes)) => sent,
            () = frames.feed.dismissed() => return,
        };
        // A client that takes nothing for so long is as good as gone; it may resume.
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => return frames.feed.stalled(),
        }
    }
}

/// What a step tells, as JSON objects; with a key in each where that is wanted.
pub(super) fn objects(reading: &Reading, step: &Step, keyed: bool) -> Vec<String> {
    let stream = |index: &usize| reading.streams().get(*index);
    match step {
        Step::Batch(index, batch) => stream(index).map(|stream| entries(reading, &stream.key, batch, keyed)).unwrap_or_default(),
        Step::Gone(index) => stream(index).map(|stream| json::gone(&stream.key, stream.gone_after())).into_iter().collect(),
        Step::Positions(indexes) => {
            let streams = indexes.iter().filter_map(stream);
            streams.filter_map(|stream| Some(json::position(keyed.then_some(&stream.key), stream.position.id()?))).collect()
        }
        Step::CaughtUp | Step::Heartbeat | Step::Close(_) => Vec::new(),
    }
}

fn entries(reading: &Reading, key: &StreamKey, batch: &Batch, keyed: bool) -> Vec<String> {
    let key = keyed.then_some(key);
    let missed = batch.missed.as_ref().map(|missed| json::missed(key, missed));
    let wanted = batch.parts.iter().flat_map(Part::entries).filter(|entry| reading.wants(&entry.name));
    missed.into_iter().chain(wanted.map(|entry| json::entry(key, entry))).collect()
}

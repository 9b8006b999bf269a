//! A feed as the body of an answer, whatever the format.

use std::{io, pin::pin, time::Duration};

use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{BoxStream, unfold},
};
use tokio::{
    sync::mpsc::{self, error::SendError},
    time::timeout,
};

use crate::{
    codec::{json, segment::Part},
    http::streaming::{chunks, with_write_timeout},
    session::{Session, Step, Subscription},
    store::Batch,
    stream::StreamKey,
};

/// The longest silence where each client holds a Redis connection. Only a write shows that a client
/// has left, and until then its connection is not free.
pub(super) const EXCLUSIVE_PROBE: Duration = Duration::from_secs(2);

/// Steps as bytes of a format.
pub(super) trait Format: Send + 'static {
    /// The bytes of a step; there may be none. Those of a [`Step::Close`] are the last.
    fn bytes(&mut self, subscription: &Subscription, step: &Step) -> Bytes;
}

/// The most bytes that stay with a connection whose client has stopped to read, when it has been
/// given up: Rocket does not look at a body before the client has taken what it was given. A larger
/// batch is held by a task, which has a deadline.
const HELD: usize = 64 << 10;

/// The feed as a body. Rocket asks for the next bytes when the client has taken the last: that
/// alone is enough for a feed that holds nothing scarce, and a task with a channel less to go
/// through. One that does hold something gets a task of its own, in which deadlines and the
/// shutdown go on while the client does not read.
///
/// A body that breaks off in the middle of a batch ends with an error. Rocket logs it, but ends the
/// chunked answer in order: a client sees that it was cut off by the missing last event of the
/// stream, and by the part of a frame or a line at the end.
pub(super) fn body(
    session: Session,
    format: impl Format,
    stall: Duration,
) -> BoxStream<'static, io::Result<Bytes>> {
    let is_scarce = session.is_scarce();
    let frames = Frames {
        session,
        format,
        closed: false,
    };
    if is_scarce {
        // One piece in the channel: what a slow client does not take stays in the store. None says
        // that the body is complete.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(pump(frames, sender, stall));
        return Box::pin(unfold(Some(receiver), |receiver| async {
            let mut receiver: mpsc::Receiver<Option<Bytes>> = receiver?;
            match receiver.recv().await {
                Some(bytes) => bytes.map(|bytes| (Ok(bytes), Some(receiver))),
                None => Some((
                    Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the subscriber took nothing for too long",
                    )),
                    None,
                )),
            }
        }));
    }
    Box::pin(unfold(
        Some(Unpumped {
            frames,
            rest: None,
            stall,
        }),
        |unpumped| async {
            let mut unpumped = unpumped?;
            unpumped.frames.session.taken();
            let bytes = unpumped.next().await?;
            unpumped.frames.session.given();
            let goes_on = bytes.is_ok();
            Some((bytes, goes_on.then_some(unpumped)))
        },
    ))
}

/// A feed as a body without a task, but for what is left of a large batch.
struct Unpumped<F> {
    frames: Frames<F>,
    rest: Option<BoxStream<'static, io::Result<Bytes>>>,
    stall: Duration,
}

impl<F: Format> Unpumped<F> {
    /// The next bytes; none when the connection is to be closed, an error when the client took
    /// nothing for too long.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if let Some(piece) = self.next_piece().await {
            return Some(piece);
        }
        let bytes = self.frames.next().await?;
        if bytes.len() <= HELD {
            return Some(Ok(bytes));
        }
        self.rest = Some(with_write_timeout(
            chunks(bytes),
            self.stall,
            std::future::pending(),
            (),
        ));
        self.next_piece().await
    }

    async fn next_piece(&mut self) -> Option<io::Result<Bytes>> {
        let piece = self.rest.as_mut()?.next().await;
        if piece.is_none() {
            self.rest = None;
        }
        piece
    }
}

/// A feed's steps as bytes.
struct Frames<F> {
    session: Session,
    format: F,
    /// The last bytes were handed on.
    closed: bool,
}

impl<F: Format> Frames<F> {
    /// The next bytes; none when the connection is to be closed. Cancel safe.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.closed {
            let step = self.session.next().await;
            let bytes = self.format.bytes(self.session.subscription(), &step);
            match &step {
                Step::Batch(stream, batch) => self.session.delivered(*stream, batch, bytes.len()),
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

async fn pump<F: Format>(
    mut frames: Frames<F>,
    body: mpsc::Sender<Option<Bytes>>,
    stall: Duration,
) {
    loop {
        let bytes = tokio::select! {
            bytes = frames.next() => bytes,
            // The client's leaving shows in the body's being dropped.
            () = body.closed() => return,
        };
        let is_last = bytes.is_none();
        let sending = async {
            match bytes {
                Some(bytes) if bytes.len() > HELD => hand_over(bytes, &body, stall).await,
                bytes => in_time(stall, body.send(bytes)).await,
            }
        };
        let sent = tokio::select! {
            biased;
            sent = sending => sent,
            () = frames.session.dismissed() => return,
        };
        // A client that takes nothing for so long is as good as gone; it may resume.
        match sent {
            Ok(()) if is_last => return,
            Ok(()) => {}
            Err(NotTaken::Left) => return,
            Err(NotTaken::Stalled) => return frames.session.stalled(),
        }
    }
}

/// Why nothing more can be handed to a client.
enum NotTaken {
    Left,
    Stalled,
}

async fn in_time(
    stall: Duration,
    sending: impl Future<Output = Result<(), SendError<Option<Bytes>>>>,
) -> Result<(), NotTaken> {
    timeout(stall, sending)
        .await
        .map_err(|_| NotTaken::Stalled)?
        .map_err(|_| NotTaken::Left)
}

/// Hands a large batch over in pieces. Those that the client does not take go with the task that
/// holds them.
async fn hand_over(
    bytes: Bytes,
    body: &mpsc::Sender<Option<Bytes>>,
    stall: Duration,
) -> Result<(), NotTaken> {
    let mut pieces = pin!(chunks(bytes));
    while let Some(Ok(piece)) = pieces.next().await {
        in_time(stall, body.send(Some(piece))).await?;
    }
    Ok(())
}

/// What a step tells, as JSON objects; with a key in each where that is wanted.
pub(super) fn objects(subscription: &Subscription, step: &Step, keyed: bool) -> Vec<String> {
    let stream = |index: &usize| subscription.streams().get(*index);
    match step {
        Step::Batch(index, batch) => stream(index)
            .map(|stream| entries(subscription, &stream.key, batch, keyed))
            .unwrap_or_default(),
        Step::Gone(index) => stream(index)
            .map(|stream| json::deleted(&stream.key, stream.gone_after()))
            .into_iter()
            .collect(),
        Step::Positions(indexes) => {
            let streams = indexes.iter().filter_map(stream);
            streams
                .filter_map(|stream| {
                    Some(json::position(
                        keyed.then_some(&stream.key),
                        stream.position.id()?,
                    ))
                })
                .collect()
        }
        Step::CaughtUp | Step::Heartbeat | Step::Close(_) => Vec::new(),
    }
}

fn entries(
    subscription: &Subscription,
    key: &StreamKey,
    batch: &Batch,
    keyed: bool,
) -> Vec<String> {
    let key = keyed.then_some(key);
    let missed = batch
        .missed
        .as_ref()
        .map(|missed| json::missed(key, missed));
    let wanted = batch
        .parts
        .iter()
        .flat_map(Part::entries)
        .filter(|entry| subscription.wants(&entry.name));
    missed
        .into_iter()
        .chain(wanted.map(|entry| json::entry(key, entry)))
        .collect()
}

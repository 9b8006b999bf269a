//! A session as the body of an HTTP response, in any format.

use std::{future::pending, io, pin::pin, time::Duration};

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
    http::streaming::{chunks, with_write_timeout},
    session::{Output, Session, Subscription},
};

/// The longest silence of a session that holds a Redis connection. Only a write shows that its
/// subscriber has left, and until then the connection is not free.
pub(super) const EXCLUSIVE_PROBE: Duration = Duration::from_secs(2);

/// Makes bytes of a session's outputs.
pub(super) trait Format: Send + 'static {
    /// The bytes of an output, which may be none. The bytes of an [`Output::Close`] are the last.
    fn bytes(&mut self, subscription: &Subscription, output: &Output) -> Bytes;
}

/// The most bytes that stay with a connection whose subscriber has stopped to read, after the
/// session has given it up. Rocket does not poll a body until the subscriber has taken what it was
/// given. So a task with a deadline holds a larger batch.
const MAX_HELD: usize = 64 << 10;

/// The session as a body.
///
/// Rocket asks for the next bytes when the subscriber has taken the last. A session without a Redis
/// connection runs in that call: there is no task and no channel. A session that holds a connection
/// gets a task of its own, where deadlines and the shutdown go on while the subscriber does not
/// read.
///
/// A body that breaks off within a batch ends with an error. Rocket logs it, but ends the chunked
/// response in order. The subscriber sees that it was cut off: the stream's last event is missing,
/// and the body ends within a frame or a line.
pub(super) fn body(
    session: Session,
    format: impl Format,
    stall: Duration,
) -> BoxStream<'static, io::Result<Bytes>> {
    let holds_connection = session.holds_connection();
    let frames = Frames {
        session,
        format,
        is_closed: false,
    };
    if holds_connection {
        // One piece in the channel: the rest stays in the store. `None` ends a complete body.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(pump(frames, sender, stall));
        return Box::pin(unfold(Some(receiver), |receiver| async {
            let mut receiver: mpsc::Receiver<Option<Bytes>> = receiver?;
            match receiver.recv().await {
                Some(bytes) => bytes.map(|bytes| (Ok(bytes), Some(receiver))),
                None => Some((Err(stalled()), None)),
            }
        }));
    }
    // Boxed, because `unfold` moves its state several times for each piece.
    let direct = Box::new(DirectBody {
        frames,
        rest: None,
        stall,
    });
    Box::pin(unfold(Some(direct), |direct| async {
        let mut direct: Box<DirectBody<_>> = direct?;
        direct.frames.session.record_taken();
        let bytes = direct.next().await?;
        direct.frames.session.record_handed_over();
        let goes_on = bytes.is_ok();
        Some((bytes, goes_on.then_some(direct)))
    }))
}

fn stalled() -> io::Error {
    let message = "the subscriber took nothing for too long";
    io::Error::new(io::ErrorKind::TimedOut, message)
}

/// A body without a task, except for the rest of a large batch.
struct DirectBody<F> {
    frames: Frames<F>,
    rest: Option<BoxStream<'static, io::Result<Bytes>>>,
    stall: Duration,
}

impl<F: Format> DirectBody<F> {
    /// The next bytes; none at the end of the connection, and an error when the subscriber took
    /// nothing for too long.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if let Some(piece) = self.next_piece().await {
            return Some(piece);
        }
        let bytes = self.frames.next().await?;
        if bytes.len() <= MAX_HELD {
            return Some(Ok(bytes));
        }
        self.rest = Some(with_write_timeout(chunks(bytes), self.stall, pending(), ()));
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

/// A session's outputs as bytes.
struct Frames<F> {
    session: Session,
    format: F,
    /// The last bytes were returned.
    is_closed: bool,
}

impl<F: Format> Frames<F> {
    /// The next bytes; none at the end of the connection. Cancel safe.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.is_closed {
            let output = self.session.next().await;
            let bytes = self.format.bytes(self.session.subscription(), &output);
            if let Some((stream, batch)) = output.batch() {
                self.session.count_delivery(stream, batch, bytes.len());
            }
            self.is_closed = matches!(output, Output::Close(_));
            if !bytes.is_empty() {
                return Some(bytes);
            }
        }
        None
    }
}

/// Sends a session's bytes to its body until one of them is over.
async fn pump<F: Format>(
    mut frames: Frames<F>,
    body: mpsc::Sender<Option<Bytes>>,
    stall: Duration,
) {
    loop {
        let bytes = tokio::select! {
            biased;
            // The body is dropped when the subscriber has left.
            () = body.closed() => return,
            bytes = frames.next() => bytes,
        };
        let is_last = bytes.is_none();
        let sending = async {
            match bytes {
                Some(bytes) if bytes.len() > MAX_HELD => send_pieces(bytes, &body, stall).await,
                bytes => in_time(stall, body.send(bytes)).await,
            }
        };
        let sent = tokio::select! {
            biased;
            sent = sending => sent,
            () = frames.session.disconnected() => return,
        };
        // A subscriber that takes nothing for so long is as good as gone; it may resume.
        match sent {
            Ok(()) if is_last => return,
            Ok(()) => {}
            Err(NotTaken::Left) => return,
            Err(NotTaken::Stalled) => return frames.session.set_stalled(),
        }
    }
}

/// Why the subscriber has not taken something.
enum NotTaken {
    /// It has left.
    Left,
    /// It takes nothing.
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

/// Sends a large batch in pieces. Pieces that the subscriber does not take go with this task.
async fn send_pieces(
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

//! Answers that are built whole, or page by page: what a peer does not read is let go.
//!
//! Rocket asks for more of a body when the peer has taken the last piece, and does not look at the
//! body before. What is held for a peer is therefore held by a task, which has a deadline.

use std::{io, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream, unfold},
};
use rocket::{
    Request, Response, async_trait,
    http::ContentType,
    request::{FromRequest, Outcome},
    response::{self, Responder},
};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

use super::{
    error::{ApiError, ErrorCode},
    streamed::streamed,
};
use crate::config::Settings;

/// Bytes of an answer that go out at once: Rocket has room for as many of each answer anyway.
pub(super) const SMALL: usize = 16 << 10;

/// Large answers to backends at a time.
const MAX_ANSWERS: usize = 64;

/// How long a request waits until it may build one.
const PATIENCE: Duration = Duration::from_secs(5);

/// The right to be one of [`MAX_ANSWERS`], for requests whose answers grow with what the broker
/// holds.
pub struct AnswerPermit(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

/// All of these rights. Managed by Rocket.
#[derive(Debug)]
pub struct AnswerLimit(Arc<Semaphore>);

impl Default for AnswerLimit {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_ANSWERS)))
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for AnswerPermit {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        // Without a limit the server was put together wrongly, which no request can cause.
        let Some(AnswerLimit(limit)) = request.rocket().state() else {
            return ApiError::internal().refuse(request);
        };
        if let Ok(Ok(permit)) = timeout(PATIENCE, Arc::clone(limit).acquire_owned()).await {
            return Outcome::Success(Self(permit));
        }
        let message =
            format!("The broker sends {MAX_ANSWERS} large answers already; try again later");
        ApiError::new(ErrorCode::TooManyClients, message).refuse(request)
    }
}

/// An answer that is built whole. One that is not small has as long as `STREAMER_CLIENT_TIMEOUT`
/// for each piece.
pub struct Whole {
    kind: ContentType,
    body: Bytes,
    permit: Option<AnswerPermit>,
}

impl Whole {
    /// A text.
    pub(super) fn text(kind: ContentType, text: String) -> Self {
        Self {
            kind,
            body: text.into(),
            permit: None,
        }
    }

    /// The value as JSON.
    pub(super) fn json(
        value: &impl Serialize,
        permit: Option<AnswerPermit>,
    ) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(value).map_err(|error| {
            tracing::error!(%error, "an answer can't be written as JSON");
            ApiError::internal()
        })?;
        Ok(Self {
            kind: ContentType::JSON,
            body: body.into(),
            permit,
        })
    }
}

impl<'r> Responder<'r, 'static> for Whole {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let Self { kind, body, permit } = self;
        if body.len() <= SMALL {
            return Response::build()
                .header(kind)
                .sized_body(body.len(), io::Cursor::new(body))
                .ok();
        }
        let length = body.len();
        let body = paced(
            pieces(body),
            patience(request),
            std::future::pending(),
            permit,
        );
        Ok(of_length(streamed(kind, body), length))
    }
}

/// Says how long a streamed body is: one that breaks off is then seen to be incomplete, and its
/// connection is closed.
pub(super) fn of_length(mut response: Response<'_>, length: usize) -> Response<'_> {
    response.set_raw_header("Content-Length", length.to_string());
    response
}

/// How long a peer may take nothing.
pub(super) fn patience(request: &Request<'_>) -> Duration {
    request
        .rocket()
        .state::<Settings>()
        .map_or(PATIENCE, |settings| settings.client_timeout)
}

/// Bytes as small pieces. Each is a copy: one that Rocket still has when the task gives up must not
/// keep the others.
pub(super) fn pieces(body: Bytes) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::iter((0..body.len()).step_by(SMALL)).map(move |begin| {
        let end = body.len().min(begin + SMALL);
        Ok(Bytes::copy_from_slice(
            body.get(begin..end).unwrap_or_default(),
        ))
    })
}

/// Hands a body's pieces to a peer as it takes them. A task holds the body and `permit` until the
/// peer has all. It lets them go when the peer has left, has taken nothing for `patience`, or is
/// dismissed; then the answer breaks off.
pub(super) fn paced(
    body: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    patience: Duration,
    dismissed: impl Future<Output = ()> + Send + 'static,
    permit: impl Send + 'static,
) -> BoxStream<'static, io::Result<Bytes>> {
    // One piece in the channel; none says that the body is complete.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        tokio::select! {
            () = hand_over(body, &sender, patience) => {}
            () = dismissed => {}
        }
        drop(permit);
    });
    Box::pin(unfold(Some(receiver), |receiver| async move {
        let mut receiver: mpsc::Receiver<Option<io::Result<Bytes>>> = receiver?;
        match receiver.recv().await {
            Some(Some(Ok(piece))) => Some((Ok(piece), Some(receiver))),
            Some(Some(Err(error))) => Some((Err(error), None)),
            Some(None) => None,
            None => Some((
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the peer took nothing for too long",
                )),
                None,
            )),
        }
    }))
}

async fn hand_over(
    body: impl Stream<Item = io::Result<Bytes>>,
    sender: &mpsc::Sender<Option<io::Result<Bytes>>>,
    patience: Duration,
) {
    let mut body = pin!(body);
    loop {
        let piece = tokio::select! {
            piece = body.next() => piece,
            () = sender.closed() => return,
        };
        let is_last = piece.is_none();
        if !matches!(timeout(patience, sender.send(piece)).await, Ok(Ok(()))) || is_last {
            return;
        }
    }
}

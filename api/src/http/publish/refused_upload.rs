//! The answer to an upload that the broker refuses before the upload ends.

use std::{future::ready, io, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream::once};
use rocket::{
    Request,
    data::DataStream,
    response::{self, Responder},
};
use tokio::{io::AsyncReadExt, time::timeout};
use tokio_util::io::StreamReader;

use crate::{
    http::{error::ApiError, streaming::with_content_length},
    lifecycle::Lifecycle,
};

/// How long the broker reads and drops the rest of the upload.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that one read of the rest takes.
const READ_BYTES: usize = 16 << 10;

/// An error, and the rest of the upload. The caller receives the error at once. Then the broker
/// reads and drops the rest for a while: a socket that is closed with unread bytes is reset, and a
/// reset may overtake the error.
pub struct RefusedUpload<'r> {
    error: ApiError,
    rest: Option<(DataStream<'r>, Lifecycle)>,
}

impl<'r> RefusedUpload<'r> {
    pub(super) fn new(error: ApiError, rest: DataStream<'r>, lifecycle: &Lifecycle) -> Self {
        Self {
            error,
            rest: Some((rest, lifecycle.clone())),
        }
    }
}

impl From<ApiError> for RefusedUpload<'_> {
    fn from(error: ApiError) -> Self {
        Self { error, rest: None }
    }
}

impl<'r> Responder<'r, 'r> for RefusedUpload<'r> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'r> {
        let Self { error, rest } = self;
        let Some((rest, lifecycle)) = rest else {
            return error.respond_to(request);
        };
        let text = Bytes::from(error.to_json());
        let length = text.len();
        let mut response = error.respond_to(request)?;
        let drained =
            once(drain(rest, lifecycle)).filter_map(|()| ready(None::<io::Result<Bytes>>));
        let body = once(ready(Ok(text))).chain(drained);
        response.set_streamed_body(StreamReader::new(Box::pin(body)));
        Ok(with_content_length(response, length))
    }
}

/// Reads and drops bytes until the upload ends, the process stops, or the time is up.
async fn drain(mut rest: DataStream<'_>, lifecycle: Lifecycle) {
    let read = async {
        let mut bytes = vec![0; READ_BYTES];
        while matches!(rest.read(&mut bytes).await, Ok(1..)) {}
    };
    tokio::select! {
        biased;
        () = lifecycle.closing() => {}
        // After the time Rocket closes the connection.
        _ = timeout(DRAIN_TIMEOUT, read) => {}
    }
}

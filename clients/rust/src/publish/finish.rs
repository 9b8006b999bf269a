//! Ending or cancelling a stream, also when connections break meanwhile.

use tokio::time::{Instant, timeout};

use super::retry::Retry;
use crate::{Client, Error};

/// How to finish a stream.
#[derive(Clone, Copy)]
pub(super) enum Finish {
    End,
    Cancel,
}

/// Ends or cancels the stream, with retries.
pub(super) async fn finish(
    client: &Client,
    key: &str,
    how: Finish,
    mut retry: Retry,
) -> Result<(), Error> {
    let since = Instant::now();
    let mut response_lost = false;
    loop {
        let attempt = timeout(
            retry.timeout(since),
            attempt(client, key, how, response_lost),
        );
        let error = match attempt.await.map_err(Error::unreachable).flatten() {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        response_lost = true;
        retry.after(error, since).await?;
    }
}

async fn attempt(
    client: &Client,
    key: &str,
    how: Finish,
    response_lost: bool,
) -> Result<(), Error> {
    let (status, finished) = match how {
        Finish::End => ("ended", client.end_active_stream(&key.into()).await),
        Finish::Cancel => ("cancelled", client.cancel_active_stream(&key.into()).await),
    };
    match finished {
        // An earlier attempt may have finished the stream.
        Err(error) if response_lost && error.code() == "no-active-stream" => {
            if client.stream_info(key).await?.status == status {
                Ok(())
            } else {
                Err(error)
            }
        }
        finished => finished.map(drop),
    }
}

//! Ending or cancelling a stream, whatever happens to the connection meanwhile.

use tokio::time::{Instant, timeout};

use super::task::Retries;
use crate::{Client, Error};

/// How a stream is to be finished.
#[derive(Clone, Copy)]
pub(super) enum Finish {
    End,
    Cancel,
}

/// Ends or cancels the stream.
pub(super) async fn finish(
    client: &Client,
    key: &str,
    how: Finish,
    mut retries: Retries,
) -> Result<(), Error> {
    let since = Instant::now();
    let mut answer_lost = false;
    loop {
        let attempt = timeout(
            retries.patience(since),
            attempt(client, key, how, answer_lost),
        );
        let error = match attempt.await.map_err(Error::unreachable).flatten() {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        answer_lost = true;
        retries.after(error, since).await?;
    }
}

async fn attempt(client: &Client, key: &str, how: Finish, answer_lost: bool) -> Result<(), Error> {
    let (status, finished) = match how {
        Finish::End => ("ended", client.end_stream(key).await),
        Finish::Cancel => ("cancelled", client.cancel_stream(key).await),
    };
    match finished {
        // An earlier attempt may have done it.
        Err(error) if answer_lost && error.code() == "no-active-stream" => {
            if client.stream_info(key).await?.status == status {
                Ok(())
            } else {
                Err(error)
            }
        }
        finished => finished.map(drop),
    }
}

//! Finishing a stream, also when connections break meanwhile.

use tokio::time::{Instant, timeout};

use super::{
    settlement::{Cancellation, Failure},
    target::Target,
};
use crate::{Error, retry::Retry};

/// How to finish a stream.
pub(super) enum Finish {
    End,
    Cancel(Cancellation),
    Fail(Failure),
}

/// Finishes the stream, with retries.
pub(super) async fn finish(target: &Target, how: &Finish, mut retry: Retry) -> Result<(), Error> {
    let since = Instant::now();
    let mut response_lost = false;
    loop {
        let attempt = timeout(retry.timeout(since), attempt(target, how, response_lost));
        let error = match attempt
            .await
            .map_err(Error::unreachable)
            .and_then(|outcome| outcome)
        {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        response_lost = true;
        retry.after(error, since).await?;
    }
}

async fn attempt(target: &Target, how: &Finish, response_lost: bool) -> Result<(), Error> {
    let finished = match how {
        Finish::End => target.end().await,
        Finish::Cancel(cancellation) => target.cancel(cancellation).await,
        Finish::Fail(failure) => target.fail(failure).await,
    };
    match finished {
        Err(error) if error.code() == "no-active-stream" => {
            already_finished(target, how, response_lost, error).await
        }
        finished => finished.map(drop),
    }
}

/// The outcome for a stream that is not active. An earlier attempt may have finished it.
async fn already_finished(
    target: &Target,
    how: &Finish,
    response_lost: bool,
    error: Error,
) -> Result<(), Error> {
    if matches!(how, Finish::End) && !response_lost {
        return Err(error);
    }
    let status = match error.stream_status() {
        Some(status) => status.to_owned(),
        // The broker of an earlier version does not say it.
        None => match target.status().await {
            Err(missing) if missing.code() == "stream-not-found" => return Err(error),
            status => status?,
        },
    };
    match (how, &*status) {
        // Another stream has the key now.
        (_, "active") => Err(error),
        (Finish::End, "ended") | (Finish::Cancel(_) | Finish::Fail(_), _) => Ok(()),
        (Finish::End, _) => Err(error),
    }
}

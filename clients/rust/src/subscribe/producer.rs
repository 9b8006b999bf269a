//! What a subscriber asks of the producer of a stream.

use std::{fmt, iter, sync::Arc, time::Duration};

use reqwest::{StatusCode, Url};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::{
    credentials::{Credentials, Issued},
    request::{keys, signal_url},
};
use crate::{
    Error,
    retry::Retry,
    types::{SendSignal, SignalSent},
};

/// How long a signal is sent again.
const RETRY_FOR: Duration = Duration::from_secs(30);

/// The producer of a stream, to send signals to. It is cheap to clone.
///
/// It uses the token of its subscription, which must have the permission `signal`. It works while
/// the subscription is polled elsewhere, before its first event, and after its end. A failure is
/// tried again for 30 seconds, and the broker stores the signal once.
#[derive(Clone)]
pub struct Producer {
    credentials: Arc<Credentials>,
    http: reqwest::Client,
    /// None for the only stream that the URL names.
    key: Option<String>,
}

impl Producer {
    pub(super) fn new(
        credentials: Arc<Credentials>,
        http: reqwest::Client,
        key: Option<String>,
    ) -> Self {
        Self {
            credentials,
            http,
            key,
        }
    }

    /// Asks the producer to stop. Returns the number of the signal, or None when the stream is
    /// finished already. A second stop is a success, too, and has the number of the first.
    ///
    /// # Errors
    ///
    /// The broker's, such as `forbidden` when the token may not send signals.
    /// [`Error::Unreachable`] when the broker can't be reached, and [`Error::Token`] when no token
    /// could be made.
    pub async fn request_stop(&self) -> Result<Option<u64>, Error> {
        match self.signal("stop", ()).await {
            Ok(seq) => Ok(Some(seq)),
            Err(error) if error.code() == "no-active-stream" && error.stream_status().is_some() => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a signal, and returns its number in the stream.
    ///
    /// The name is 1 to 64 of `a` to `z`, `0` to `9`, `-`. `data` is what serde can write as JSON,
    /// in at most 16 KiB. `()` stands for no data.
    ///
    /// # Errors
    ///
    /// Those of [`request_stop`](Self::request_stop), `no-active-stream` when the stream is
    /// finished, and [`Error::InvalidData`].
    pub async fn signal(&self, name: &str, data: impl Serialize) -> Result<u64, Error> {
        let data = serde_json::to_value(data).map_err(Error::InvalidData)?;
        let signal = SendSignal {
            data: Some(data).filter(|data| *data != Value::Null),
            // The broker recognises a signal that is sent again by its id.
            id: Some(iter::repeat_with(fastrand::alphanumeric).take(20).collect()),
            ..SendSignal::from(name)
        };
        let since = Instant::now();
        let mut retry = Retry::new(RETRY_FOR);
        let mut may_renew = self.credentials.is_renewable();
        loop {
            let issued = self.credentials.get().await?;
            let attempt = timeout(retry.timeout(since), self.attempt(&issued, &signal));
            match attempt
                .await
                .map_err(Error::unreachable)
                .and_then(|outcome| outcome)
            {
                Ok(SignalSent { seq }) => return Ok(seq),
                Err(Error::Api {
                    status: Some(401), ..
                }) if may_renew && !issued.is_new => {
                    may_renew = false;
                    self.credentials.refused(&issued.token).await;
                }
                Err(error) => retry.after(error, since).await?,
            }
        }
    }

    async fn attempt(&self, issued: &Issued, signal: &SendSignal) -> Result<SignalSent, Error> {
        let response = self
            .http
            .post(self.url(&issued.url)?)
            .bearer_auth(&issued.token)
            .json(signal)
            .send()
            .await?;
        if response.status() != StatusCode::OK {
            return Err(Error::from_response(response).await);
        }
        let body = response.bytes().await?;
        serde_json::from_slice(&body).map_err(|error| Error::InvalidAnswer(error.to_string()))
    }

    fn url(&self, client_url: &Url) -> Result<Url, Error> {
        let key = match &self.key {
            Some(key) => Some(key.clone()),
            None => keys(client_url).into_iter().next(),
        };
        let key = key.ok_or_else(|| Error::setup("the URL names no stream"))?;
        signal_url(client_url, &key)
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

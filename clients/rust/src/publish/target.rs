//! The stream that a writer writes into.

use std::time::Duration;

use reqwest::{Method, StatusCode};

use crate::{
    Client, Error,
    types::{Finished, RenewStream, Renewed, Signals},
};

use super::settlement::{Cancellation, Failure};

/// How much longer than the broker waits for a signal its response may take.
const RESPONSE_TIME: Duration = Duration::from_secs(15);

/// A target is the stream that a writer writes into, and the client to reach it with.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) key: String,
    /// The generation that the stream must have, if the caller named one.
    pub(super) generation: Option<String>,
}

impl Target {
    /// The parameters of a query that name the stream.
    pub(super) fn query(&self) -> Vec<(&'static str, &str)> {
        let generation = self.generation.as_deref();
        let generation = generation.map(|generation| ("generation", generation));
        [("key", &*self.key)]
            .into_iter()
            .chain(generation)
            .collect()
    }

    /// Ends the stream, which must be active.
    pub(super) async fn end(&self) -> Result<Finished, Error> {
        let mut request = crate::types::EndStream::from(&*self.key);
        request.generation.clone_from(&self.generation);
        self.client.end_active_stream(&request).await
    }

    /// Cancels the stream, which must be active.
    pub(super) async fn cancel(&self, cancellation: &Cancellation) -> Result<Finished, Error> {
        let request = crate::types::CancelStream {
            key: self.key.clone(),
            reason: cancellation.reason.clone(),
            by: cancellation.by.clone(),
            generation: self.generation.clone(),
        };
        self.client.cancel_active_stream(&request).await
    }

    /// Reports that the stream failed, which must be active.
    pub(super) async fn fail(&self, failure: &Failure) -> Result<Finished, Error> {
        let request = crate::types::FailStream {
            key: self.key.clone(),
            code: failure.code.clone(),
            message: failure.message.clone(),
            generation: self.generation.clone(),
        };
        self.client.fail_active_stream(&request).await
    }

    /// The status of the stream.
    pub(super) async fn status(&self) -> Result<String, Error> {
        Ok(self.client.stream_info(&self.key).await?.status)
    }

    /// Begins, renews or ends the lease of the stream. `lease` is in seconds, and 0 ends it.
    pub(super) async fn renew(&self, lease: u64) -> Result<Renewed, Error> {
        let request = RenewStream {
            lease: Some(lease),
            generation: self.generation.clone(),
            ..RenewStream::from(&*self.key)
        };
        self.client.renew_stream(request).await
    }

    /// Reads the signals after the one with this number. The broker waits so long for one, in whole
    /// seconds.
    pub(super) async fn signals(&self, after: u64, wait: Duration) -> Result<Signals, Error> {
        let response = self
            .client
            .request(Method::GET, "/api/stream/signals")
            .query(&self.query())
            .query(&[("after", after), ("wait", wait.as_secs())])
            .timeout(wait + RESPONSE_TIME)
            .send()
            .await?;
        if response.status() != StatusCode::OK {
            return Err(Error::from_response(response).await);
        }
        let body = response.bytes().await?;
        serde_json::from_slice(&body).map_err(|error| Error::InvalidAnswer(error.to_string()))
    }
}

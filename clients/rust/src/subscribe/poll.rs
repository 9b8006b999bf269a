//! Events by polling: one request after another.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;

use super::frame::{Frame, JsonFrame, Received, read_json};
use crate::{Error, liveness::Liveness};

/// How long the broker may wait for an event before it responds: as long as a connection may be
/// silent, within these bounds.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// A poll is a series of requests that acts as one connection.
pub(super) struct Poll {
    /// A request without a cursor.
    request: RequestBuilder,
    liveness: Arc<Liveness>,
    wait: Duration,
    /// Where the next response starts.
    cursor: Option<String>,
    response: PollResponse,
    /// The request that waits for its response.
    pending: Option<BoxFuture<'static, Result<PollResponse, Error>>>,
}

#[derive(Deserialize)]
struct PollResponse {
    events: VecDeque<JsonFrame>,
    cursor: Option<String>,
    status: PollStatus,
    /// Whether `next` has returned the cursor.
    #[serde(skip)]
    cursor_done: bool,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum PollStatus {
    Active,
    /// Every other status is one of a finished stream.
    #[serde(other)]
    Finished,
}

impl Poll {
    /// Sends the first request. The broker responds at once with the stored events. `liveness`
    /// records each chunk that arrives.
    pub(super) async fn connect(
        request: RequestBuilder,
        cursor: Option<String>,
        silence: Duration,
        liveness: &Arc<Liveness>,
    ) -> Result<Self, Error> {
        let wait = silence.clamp(SHORTEST_WAIT, LONGEST_WAIT);
        let first = with_cursor(&request, cursor.as_deref(), Duration::ZERO)?;
        let response = fetch(first, Arc::clone(liveness)).await?;
        Ok(Self {
            request,
            liveness: Arc::clone(liveness),
            wait,
            cursor,
            response,
            pending: None,
        })
    }

    /// How long the connection may be silent. It is silent while the broker waits.
    pub(super) fn silence_timeout(&self, silence: Duration) -> Duration {
        self.wait.saturating_add(silence)
    }

    /// The next message. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Received, Error> {
        loop {
            if let Some(event) = self.response.events.pop_front() {
                return Ok(Received::Frame(Frame::from(event)));
            }
            if !self.response.cursor_done {
                self.response.cursor_done = true;
                let Some(cursor) = &self.response.cursor else {
                    return Ok(Received::Heartbeat);
                };
                self.cursor = Some(cursor.clone());
                return Ok(Received::Cursor(cursor.clone()));
            }
            if self.response.status != PollStatus::Active {
                return Ok(Received::NoMore);
            }
            let pending = match &mut self.pending {
                Some(pending) => pending,
                none => none.insert(
                    fetch(
                        with_cursor(&self.request, self.cursor.as_deref(), self.wait)?,
                        Arc::clone(&self.liveness),
                    )
                    .boxed(),
                ),
            };
            let response = pending.await;
            self.pending = None;
            match response {
                Ok(response) => self.response = response,
                Err(Error::Api {
                    status: Some(401), ..
                }) => return Ok(Received::Reconnect),
                Err(error) => return Err(error),
            }
        }
    }
}

fn with_cursor(
    request: &RequestBuilder,
    cursor: Option<&str>,
    wait: Duration,
) -> Result<RequestBuilder, Error> {
    // Only a request whose body is a stream can't be cloned.
    let request = request
        .try_clone()
        .ok_or_else(|| Error::setup("the request can't be made again"))?;
    // In the URL, so that a cache on the way tells one response from another.
    Ok(request
        .query(&[("wait", wait.as_secs())])
        .query(&cursor.map(|cursor| [("after", cursor)])))
}

async fn fetch(request: RequestBuilder, liveness: Arc<Liveness>) -> Result<PollResponse, Error> {
    let mut response = request.send().await?;
    if response.status() != StatusCode::OK {
        return Err(Error::from_response(response).await);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        liveness.record();
        body.extend_from_slice(&chunk);
    }
    read_json(&body)
}

//! Events by one request after the other.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;

use super::frame::{Frame, Object, Received, read_json};
use crate::{Error, life::Life};

/// How long the broker may wait for an event before it answers: as long as silence is borne, within
/// these bounds.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// Asks again and again.
pub(super) struct Poll {
    /// A request without a position.
    request: RequestBuilder,
    life: Arc<Life>,
    wait: Duration,
    /// Where the next answer begins.
    cursor: Option<String>,
    answer: Answer,
    /// The request that is on its way.
    asked: Option<BoxFuture<'static, Result<Answer, Error>>>,
}

#[derive(Deserialize)]
struct Answer {
    events: VecDeque<Object>,
    cursor: Option<String>,
    status: Status,
    #[serde(skip)]
    is_told: bool,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Status {
    Active,
    Ended,
    Cancelled,
}

impl Poll {
    /// Asks for what there is by now, which is answered at once. What is heard is noted.
    pub(super) async fn connect(
        request: RequestBuilder,
        cursor: Option<String>,
        silence: Duration,
        life: &Arc<Life>,
    ) -> Result<Self, Error> {
        let wait = silence.clamp(SHORTEST_WAIT, LONGEST_WAIT);
        let first = ask(&request, cursor.as_deref(), Duration::ZERO)?;
        let answer = answer(first, Arc::clone(life)).await?;
        Ok(Self {
            request,
            life: Arc::clone(life),
            wait,
            cursor,
            answer,
            asked: None,
        })
    }

    /// How long it may be silent: while the broker waits it is.
    pub(super) fn patience(&self, silence: Duration) -> Duration {
        self.wait.saturating_add(silence)
    }

    /// What comes next. Nothing is lost when the wait for it is given up.
    pub(super) async fn next(&mut self) -> Result<Received, Error> {
        loop {
            if let Some(event) = self.answer.events.pop_front() {
                return Ok(Received::Frame(Frame::from(event)));
            }
            if !self.answer.is_told {
                self.answer.is_told = true;
                let Some(cursor) = &self.answer.cursor else {
                    return Ok(Received::Heartbeat);
                };
                self.cursor = Some(cursor.clone());
                return Ok(Received::Answered(cursor.clone()));
            }
            if self.answer.status != Status::Active {
                return Ok(Received::Over);
            }
            let asked = match &mut self.asked {
                Some(asked) => asked,
                none => none.insert(
                    answer(
                        ask(&self.request, self.cursor.as_deref(), self.wait)?,
                        Arc::clone(&self.life),
                    )
                    .boxed(),
                ),
            };
            let answered = asked.await;
            self.asked = None;
            match answered {
                Ok(answer) => self.answer = answer,
                Err(Error::Api {
                    status: Some(401), ..
                }) => return Ok(Received::Again),
                Err(error) => return Err(error),
            }
        }
    }
}

fn ask(
    request: &RequestBuilder,
    cursor: Option<&str>,
    wait: Duration,
) -> Result<RequestBuilder, Error> {
    // Only a request whose body is a stream can't be cloned.
    let request = request
        .try_clone()
        .ok_or_else(|| Error::setup("the request can't be made again"))?;
    // In the URL, so that a cache between knows one answer from another.
    Ok(request
        .query(&[("wait", wait.as_secs())])
        .query(&cursor.map(|cursor| [("after", cursor)])))
}

async fn answer(request: RequestBuilder, life: Arc<Life>) -> Result<Answer, Error> {
    let mut response = request.send().await?;
    if response.status() != StatusCode::OK {
        return Err(Error::from_response(response).await);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        life.note();
        body.extend_from_slice(&chunk);
    }
    read_json(&body)
}

//! Events over WebSocket: first an array of all so far, then one by one, and answers to requests to
//! add and drop streams.

use std::{collections::VecDeque, sync::Arc};

use futures::SinkExt;
use reqwest::RequestBuilder;
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::Message;

use super::{
    change::Change,
    frame::{Frame, Object, Received, Reply, read_json},
};
use crate::{
    Error,
    life::Life,
    websocket::{Said, Socket, connect, next},
};

/// A connection over which messages come.
pub(super) struct WebSocket {
    socket: Socket,
    /// Read, and not handed out.
    ready: VecDeque<Object>,
}

/// A request, as JSON.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Op<'a> {
    Subscribe {
        key: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<&'a str>,
        wait: bool,
    },
    Unsubscribe {
        key: &'a str,
    },
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Answer {
    Subscribed {
        key: String,
        after: Option<String>,
    },
    Unsubscribed {
        key: String,
        after: Option<String>,
    },
    Error {
        key: String,
        code: String,
        message: String,
    },
}

impl WebSocket {
    /// Connects. What is heard is noted.
    pub(super) async fn connect(request: RequestBuilder, life: &Arc<Life>) -> Result<Self, Error> {
        Ok(Self {
            socket: connect(request, life).await?,
            ready: VecDeque::new(),
        })
    }

    /// Asks for a stream more or less.
    pub(super) async fn ask(&mut self, change: &Change) -> Result<(), Error> {
        let op = match change {
            Change::Add { key, after, begin } => Op::Subscribe {
                key,
                after: after.as_deref(),
                from: begin.from.as_deref(),
                wait: begin.wait,
            },
            Change::Drop { key } => Op::Unsubscribe { key },
        };
        let text = serde_json::to_string(&op).map_err(Error::setup)?;
        self.socket
            .send(Message::text(text))
            .await
            .map_err(Error::unreachable)
    }

    /// The next message. Nothing is lost when the wait for it is given up.
    pub(super) async fn next(&mut self) -> Result<Received, Error> {
        loop {
            if let Some(object) = self.ready.pop_front() {
                return Ok(Received::Frame(Frame::from(object)));
            }
            let text = match next(&mut self.socket).await? {
                Said::Text(text) => text,
                Said::Ping => return Ok(Received::Heartbeat),
                Said::End => return Ok(Received::Over),
            };
            if text.starts_with('[') {
                self.ready = read_json(text.as_bytes())?;
                continue;
            }
            let object: Object = read_json(text.as_bytes())?;
            return Ok(if object.is_frame() {
                Received::Frame(Frame::from(object))
            } else {
                Received::Reply(read_json::<Answer>(text.as_bytes())?.into())
            });
        }
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Subscribed { key, after } | Answer::Unsubscribed { key, after } => Self {
                key,
                outcome: Ok(after),
            },
            Answer::Error { key, code, message } => Self {
                key,
                outcome: Err(Error::refused(code, message)),
            },
        }
    }
}

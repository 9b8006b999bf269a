//! Events over WebSocket: first an array of all stored events, then one event per message. Replies
//! to changes come between them.

use std::{collections::VecDeque, sync::Arc};

use futures::SinkExt;
use reqwest::RequestBuilder;
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::Message;

use super::{
    changes::Change,
    frame::{ChangeReply, Frame, JsonFrame, Received, read_json},
};
use crate::{
    Error,
    liveness::Liveness,
    websocket::{Incoming, Socket, connect, next},
};

/// A connection that receives WebSocket messages.
pub(super) struct WebSocket {
    socket: Socket,
    /// Events of the first message that `next` has not returned yet.
    ready: VecDeque<JsonFrame>,
}

/// A change, as JSON.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum ChangeMessage<'a> {
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

/// The broker's reply to a change, as JSON.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum ReplyMessage {
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
    /// Connects. `liveness` records each byte that arrives.
    pub(super) async fn connect(
        request: RequestBuilder,
        liveness: &Arc<Liveness>,
    ) -> Result<Self, Error> {
        Ok(Self {
            socket: connect(request, liveness).await?,
            ready: VecDeque::new(),
        })
    }

    /// Sends a change.
    pub(super) async fn send(&mut self, change: &Change) -> Result<(), Error> {
        let message = match change {
            Change::Add { key, after, start } => ChangeMessage::Subscribe {
                key,
                after: after.as_deref(),
                from: start.from.as_deref(),
                wait: start.wait,
            },
            Change::Drop { key } => ChangeMessage::Unsubscribe { key },
        };
        let text = serde_json::to_string(&message).map_err(Error::setup)?;
        self.socket
            .send(Message::text(text))
            .await
            .map_err(Error::unreachable)
    }

    /// The next message. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Received, Error> {
        loop {
            if let Some(object) = self.ready.pop_front() {
                return Ok(Received::Frame(Frame::from(object)));
            }
            let text = match next(&mut self.socket).await? {
                Incoming::Text(text) => text,
                Incoming::Ping => return Ok(Received::Heartbeat),
                Incoming::End => return Ok(Received::NoMore),
            };
            if text.starts_with('[') {
                self.ready = read_json(text.as_bytes())?;
                continue;
            }
            let object: JsonFrame = read_json(text.as_bytes())?;
            return Ok(if object.is_frame() {
                Received::Frame(Frame::from(object))
            } else {
                Received::Reply(read_json::<ReplyMessage>(text.as_bytes())?.into())
            });
        }
    }
}

impl From<ReplyMessage> for ChangeReply {
    fn from(message: ReplyMessage) -> Self {
        match message {
            ReplyMessage::Subscribed { key, after } | ReplyMessage::Unsubscribed { key, after } => {
                Self {
                    key,
                    outcome: Ok(after),
                }
            }
            ReplyMessage::Error { key, code, message } => Self {
                key,
                outcome: Err(Error::refused(code, message)),
            },
        }
    }
}

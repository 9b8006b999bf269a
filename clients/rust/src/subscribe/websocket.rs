//! Events over WebSocket: first an array of all so far, then one by one.

use std::{collections::VecDeque, sync::Arc};

use reqwest::RequestBuilder;
use serde::Deserialize;

use crate::{
    Error, Event,
    life::Life,
    websocket::{Socket, connect, next_text},
};

/// A connection over which messages come.
pub(super) struct WebSocket {
    socket: Socket,
    /// Read, and not handed out.
    ready: VecDeque<Received>,
}

#[derive(Deserialize)]
struct Received {
    id: Option<String>,
    event: String,
    #[serde(default)]
    data: String,
}

impl WebSocket {
    /// Connects. What is heard is noted.
    pub(super) async fn connect(request: RequestBuilder, life: &Arc<Life>) -> Result<Self, Error> {
        Ok(Self { socket: connect(request, life).await?, ready: VecDeque::new() })
    }

    /// The next event; None: there is nothing more to come.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(Received { id, event, data }) = self.ready.pop_front() {
                return Event::received(id, event, data).map(Some);
            }
            let Some(text) = next_text(&mut self.socket).await? else { return Ok(None) };
            self.ready = read(&text).map_err(|error| Error::InvalidAnswer(error.to_string()))?;
        }
    }
}

fn read(text: &str) -> Result<VecDeque<Received>, serde_json::Error> {
    if text.starts_with('[') { serde_json::from_str(text) } else { Ok([serde_json::from_str(text)?].into()) }
}

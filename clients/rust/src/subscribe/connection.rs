//! Connections to the broker.

use std::{sync::Arc, time::Duration};

#[cfg(feature = "websocket")]
use super::websocket::WebSocket;
use super::{
    attempt::Attempt,
    frame::Received,
    ndjson::Ndjson,
    poll::Poll,
    request::{Route, SubscribeRequest},
    sse::Sse,
    token::Token,
};
use crate::{Error, liveness::Liveness};

/// A connector opens the connections of a subscription.
pub(super) struct Connector {
    request: SubscribeRequest,
    token: Token,
    /// The token in use.
    current_token: Option<String>,
    /// How long a connection may be silent before it counts as broken.
    silence: Duration,
    liveness: Arc<Liveness>,
}

impl Connector {
    pub(super) fn new(request: SubscribeRequest, token: Token, silence: Duration) -> Self {
        Self {
            request,
            token,
            current_token: None,
            silence,
            liveness: Arc::new(Liveness::new()),
        }
    }

    pub(super) fn silence(&self) -> Duration {
        self.silence
    }

    /// The liveness of all connections.
    pub(super) fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// Connects. When the broker refuses the token in use, tries once more with a new one.
    ///
    /// Returns None when the broker has no more events for this attempt.
    pub(super) async fn connect(&mut self, attempt: &Attempt) -> Result<Option<Connection>, Error> {
        loop {
            let is_new = self.current_token.is_none();
            let token = match &self.current_token {
                Some(token) => token.clone(),
                None => self.current_token.insert(self.token.get().await?).clone(),
            };
            match self
                .liveness
                .unless_silent(self.silence, self.open(attempt, &token))
                .await
                .flatten()
            {
                Err(Error::Api {
                    status: Some(401), ..
                }) if !is_new && self.token.is_renewable() => self.current_token = None,
                opened => return opened,
            }
        }
    }

    async fn open(&self, attempt: &Attempt, token: &str) -> Result<Option<Connection>, Error> {
        let request = self.request.for_attempt(attempt, token);
        let liveness = &self.liveness;
        Ok(match self.request.route() {
            Route::Sse => Sse::connect(request, attempt.keys.len() > 1, liveness)
                .await?
                .map(Connection::Sse),
            Route::Ndjson => Ndjson::connect(request, liveness)
                .await?
                .map(|lines| Connection::Ndjson(Box::new(lines))),
            Route::Poll => Some(Connection::Poll(Box::new(
                Poll::connect(request, attempt.cursor.clone(), self.silence, liveness).await?,
            ))),
            #[cfg(feature = "websocket")]
            Route::WebSocket => Some(Connection::WebSocket(Box::new(
                WebSocket::connect(request, liveness).await?,
            ))),
        })
    }
}

/// A connection of a subscription; with polling, a series of requests.
pub(super) enum Connection {
    Sse(Sse),
    Ndjson(Box<Ndjson>),
    Poll(Box<Poll>),
    #[cfg(feature = "websocket")]
    WebSocket(Box<WebSocket>),
}

impl Connection {
    /// The next message. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Received, Error> {
        match self {
            Self::Sse(connection) => connection.next().await,
            Self::Ndjson(connection) => connection.next().await,
            Self::Poll(connection) => connection.next().await,
            #[cfg(feature = "websocket")]
            Self::WebSocket(connection) => connection.next().await,
        }
    }

    /// How long the connection may be silent. A poll is silent while the broker waits for events.
    pub(super) fn silence_timeout(&self, silence: Duration) -> Duration {
        match self {
            Self::Poll(connection) => connection.silence_timeout(silence),
            _ => silence,
        }
    }
}

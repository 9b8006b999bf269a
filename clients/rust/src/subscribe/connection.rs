//! Connections to the broker.

use std::{sync::Arc, time::Duration};

use reqwest::Url;

#[cfg(feature = "websocket")]
use super::websocket::WebSocket;
use super::{
    attempt::Attempt,
    credentials::{Credentials, Issued},
    frame::Received,
    ndjson::Ndjson,
    poll::Poll,
    request::{Parameters, Route, SubscribeRequest},
    sse::Sse,
};
use crate::{Error, liveness::Liveness};

/// A connector opens the connections of a subscription.
pub(super) struct Connector {
    credentials: Arc<Credentials>,
    parameters: Parameters,
    http: reqwest::Client,
    /// None before the URL is known.
    request: Option<SubscribeRequest>,
    /// How long a connection may be silent before it counts as broken.
    silence: Duration,
    liveness: Arc<Liveness>,
}

impl Connector {
    pub(super) fn new(
        credentials: Arc<Credentials>,
        parameters: Parameters,
        http: reqwest::Client,
        silence: Duration,
    ) -> Self {
        Self {
            credentials,
            parameters,
            http,
            request: None,
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

    /// The URL of the subscription.
    pub(super) async fn url(&self) -> Result<Url, Error> {
        Ok(self.credentials.get().await?.url)
    }

    /// Connects. When the broker refuses the token in use, tries once more with a new one.
    ///
    /// Returns None when the broker has no more events for this attempt.
    pub(super) async fn connect(&mut self, attempt: &Attempt) -> Result<Option<Connection>, Error> {
        loop {
            let Issued { url, token, is_new } = self.credentials.get().await?;
            let request = match &self.request {
                Some(request) => request,
                None => self.request.insert(SubscribeRequest::new(
                    url,
                    &self.parameters,
                    self.http.clone(),
                )?),
            };
            let opening = open(request, attempt, &token, self.silence, &self.liveness);
            match self
                .liveness
                .unless_silent(self.silence, opening)
                .await
                .and_then(|outcome| outcome)
            {
                Err(Error::Api {
                    status: Some(401), ..
                }) if !is_new && self.credentials.is_renewable() => {
                    self.credentials.refused(&token).await;
                }
                opened => return opened,
            }
        }
    }
}

async fn open(
    request: &SubscribeRequest,
    attempt: &Attempt,
    token: &str,
    silence: Duration,
    liveness: &Arc<Liveness>,
) -> Result<Option<Connection>, Error> {
    let http_request = request.for_attempt(attempt, token);
    let is_keyed = attempt.keys.len() > 1;
    Ok(match request.route() {
        Route::Sse => Sse::connect(http_request, is_keyed, request.is_rolled_up(), liveness)
            .await?
            .map(Connection::Sse),
        Route::Ndjson => Ndjson::connect(http_request, liveness)
            .await?
            .map(|lines| Connection::Ndjson(Box::new(lines))),
        Route::Poll => Some(Connection::Poll(Box::new(
            Poll::connect(http_request, attempt.cursor.clone(), silence, liveness).await?,
        ))),
        #[cfg(feature = "websocket")]
        Route::WebSocket => Some(Connection::WebSocket(Box::new(
            WebSocket::connect(http_request, liveness).await?,
        ))),
    })
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

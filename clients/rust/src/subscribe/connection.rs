//! Where events are to be had, and how.

use std::{sync::Arc, time::Duration};

use reqwest::{RequestBuilder, Url, header::HeaderName};

#[cfg(feature = "websocket")]
use super::websocket::WebSocket;
use super::{Token, frame::Received, ndjson::Ndjson, poll::Poll, sse::Sse, streams::Resume};
use crate::{Error, life::Life};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Sse,
    Ndjson,
    Poll,
    #[cfg(feature = "websocket")]
    WebSocket,
}

impl Transport {
    /// What the path of a client URL says.
    pub(super) fn of(url: &Url) -> Result<Self, Error> {
        let path = url.path();
        match path.rsplit_once("/client/").map(|(_, name)| name) {
            Some("sse") => Ok(Self::Sse),
            Some("ndjson") => Ok(Self::Ndjson),
            Some("poll") => Ok(Self::Poll),
            #[cfg(feature = "websocket")]
            Some("ws") => Ok(Self::WebSocket),
            _ => Err(Error::setup(format!("no events are to be had at {path}"))),
        }
    }
}

/// Makes connections.
pub(super) struct Endpoint {
    pub(super) http: reqwest::Client,
    /// Without keys.
    pub(super) url: Url,
    pub(super) transport: Transport,
    pub(super) token: Token,
    /// The token in use.
    pub(super) current_token: Option<String>,
    pub(super) silence: Duration,
    pub(super) life: Arc<Life>,
}

impl Endpoint {
    /// Connects, with another token if the one in use is no longer good; None: there is nothing
    /// more to come.
    pub(super) async fn connect(&mut self, resume: &Resume) -> Result<Option<Connection>, Error> {
        loop {
            let is_new = self.current_token.is_none();
            let token = match &self.current_token {
                Some(token) => token.clone(),
                None => self.current_token.insert(self.token.get().await?).clone(),
            };
            match self
                .life
                .unless_silent(self.silence, self.open(resume, &token))
                .await
                .flatten()
            {
                Err(Error::Api {
                    status: Some(401), ..
                }) if !is_new && self.token.is_made() => self.current_token = None,
                opened => return opened,
            }
        }
    }

    async fn open(&self, resume: &Resume, token: &str) -> Result<Option<Connection>, Error> {
        let request = self.request(resume).bearer_auth(token);
        let life = &self.life;
        let request = match &resume.cursor {
            Some(cursor) if self.transport != Transport::Poll => {
                request.header(LAST_EVENT_ID, cursor)
            }
            _ => request,
        };
        Ok(match self.transport {
            Transport::Sse => Sse::connect(request, resume.keys.len() > 1, life)
                .await?
                .map(Connection::Sse),
            Transport::Ndjson => Ndjson::connect(request, life)
                .await?
                .map(|lines| Connection::Ndjson(Box::new(lines))),
            Transport::Poll => Some(Connection::Poll(Box::new(
                Poll::connect(request, resume.cursor.clone(), self.silence, life).await?,
            ))),
            #[cfg(feature = "websocket")]
            Transport::WebSocket => Some(Connection::WebSocket(Box::new(
                WebSocket::connect(request, life).await?,
            ))),
        })
    }

    fn request(&self, Resume { keys, begin, .. }: &Resume) -> RequestBuilder {
        let request = self.http.get(self.url.clone());
        let keys: Vec<_> = keys.iter().map(|key| ("key", key)).collect();
        request
            .query(&keys)
            .query(&begin.from.as_ref().map(|from| [("from", from)]))
            .query(&begin.wait.then_some([("wait", true)]))
    }
}

/// One connection; with polling, one request after the other.
pub(super) enum Connection {
    Sse(Sse),
    Ndjson(Box<Ndjson>),
    Poll(Box<Poll>),
    #[cfg(feature = "websocket")]
    WebSocket(Box<WebSocket>),
}

impl Connection {
    /// What comes next. Nothing is lost when the wait for it is given up.
    pub(super) async fn next(&mut self) -> Result<Received, Error> {
        match self {
            Self::Sse(connection) => connection.next().await,
            Self::Ndjson(connection) => connection.next().await,
            Self::Poll(connection) => connection.next().await,
            #[cfg(feature = "websocket")]
            Self::WebSocket(connection) => connection.next().await,
        }
    }

    /// How long it may be silent, where one that is not asked to wait may be so for this long.
    pub(super) fn patience(&self, silence: Duration) -> Duration {
        match self {
            Self::Poll(connection) => connection.patience(silence),
            _ => silence,
        }
    }
}

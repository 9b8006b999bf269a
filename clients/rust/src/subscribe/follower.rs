//! Follows a stream over one connection after the other.

use std::{sync::Arc, time::Duration};

use reqwest::{Url, header::HeaderName};
use tokio::time::{Instant, timeout};

#[cfg(feature = "websocket")]
use super::websocket::WebSocket;
use super::{Token, order::Order, sse::Sse};
use crate::{Error, Event, life::Life, pace::Backoff};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The delay before another connection, until the broker says what it should be.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// How events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Sse,
    #[cfg(feature = "websocket")]
    WebSocket,
}

impl Transport {
    /// What the path of a client URL says.
    pub(super) fn of(url: &Url) -> Result<Self, Error> {
        let path = url.path();
        if path.ends_with("/client/sse") {
            return Ok(Self::Sse);
        }
        #[cfg(feature = "websocket")]
        if path.ends_with("/client/ws") {
            return Ok(Self::WebSocket);
        }
        Err(Error::setup(format!("no events are to be had at {path}")))
    }
}

enum Connection {
    Sse(Sse),
    #[cfg(feature = "websocket")]
    WebSocket(Box<WebSocket>),
}

/// What comes over a connection at a time.
pub(super) struct Frame {
    pub(super) retry: Option<Duration>,
    pub(super) event: Option<Event>,
}

/// What is asked of a subscription.
pub(super) struct Follower {
    pub(super) http: reqwest::Client,
    pub(super) url: Url,
    pub(super) transport: Transport,
    pub(super) token: Token,
    pub(super) silence: Duration,
    pub(super) give_up_after: Duration,
    pub(super) state: State,
}

/// Where it stands.
pub(super) struct State {
    /// The token in use.
    token: Option<String>,
    connection: Option<Connection>,
    life: Arc<Life>,
    backoff: Backoff,
    order: Order,
    is_over: bool,
}

impl State {
    /// Before anything was received after the event with this id.
    pub(super) fn new(last_id: Option<String>) -> Self {
        let backoff = Backoff::new(RETRY, LONGEST_DELAY);
        Self { token: None, connection: None, life: Arc::new(Life::new()), backoff, order: Order::after(last_id), is_over: false }
    }
}

impl Follower {
    /// The next event, over whichever connection; None: there is nothing more to come.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, Error> {
        let asked = Instant::now();
        while !self.state.is_over {
            let error = match self.step().await {
                Ok(Some(event)) => return Ok(Some(event)),
                Ok(None) => continue,
                Err(error) if error.is_transient() => error,
                Err(error) => return Err(error),
            };
            let mut since = asked.max(self.state.life.last());
            if self.state.connection.take().is_some() {
                // Whoever did not poll meanwhile finds a connection broken that may have been well until just now.
                since = since.max(Instant::now().checked_sub(self.silence).unwrap_or(since));
            }
            if !self.state.backoff.pause(error.retry_after(), since, self.give_up_after).await {
                return Err(Error::Disconnected { after: since.elapsed(), source: Box::new(error) });
            }
        }
        Ok(None)
    }

    /// Connects, or receives something; an event, perhaps.
    async fn step(&mut self) -> Result<Option<Event>, Error> {
        let state = &mut self.state;
        let Some(connection) = &mut state.connection else {
            match self.connect().await? {
                Some(connection) => self.state.connection = Some(connection),
                None => self.state.is_over = true,
            }
            return Ok(None);
        };
        let received = state.life.unless_silent(self.silence, connection.next()).await??;
        let Some(Frame { retry, event }) = received else {
            state.is_over = true;
            return Ok(None);
        };
        if let Some(retry) = retry {
            state.backoff.start_from(retry);
        }
        let Some(event) = event else { return Ok(None) };
        state.order.check(&event)?;
        state.backoff.reset();
        if event.finishes().is_some() {
            state.is_over = true;
            state.connection = None;
        }
        Ok(Some(event))
    }

    /// Connects, with another token if the one in use is no longer good.
    async fn connect(&mut self) -> Result<Option<Connection>, Error> {
        loop {
            let (token, is_new) = match self.state.token.take() {
                Some(token) => (token, false),
                None => (self.token.get().await?, true),
            };
            let opened = timeout(self.silence, self.open(&token)).await.map_err(Error::unreachable).flatten();
            match opened {
                Err(Error::Api { status: Some(401), .. }) if !is_new && self.token.is_made() => {}
                opened => {
                    self.state.token = Some(token);
                    return opened;
                }
            }
        }
    }

    async fn open(&mut self, token: &str) -> Result<Option<Connection>, Error> {
        let mut request = self.http.get(self.url.clone()).bearer_auth(token);
        if let Some(id) = self.state.order.resume() {
            request = request.header(LAST_EVENT_ID, id);
        }
        let life = &self.state.life;
        Ok(match self.transport {
            Transport::Sse => Sse::connect(request, life).await?.map(Connection::Sse),
            #[cfg(feature = "websocket")]
            Transport::WebSocket => Some(Connection::WebSocket(Box::new(WebSocket::connect(request, life).await?))),
        })
    }
}

impl Connection {
    /// What comes next; None: there is nothing more to come.
    async fn next(&mut self) -> Result<Option<Frame>, Error> {
        match self {
            Self::Sse(connection) => connection.next().await.map(Some),
            #[cfg(feature = "websocket")]
            Self::WebSocket(connection) => Ok(connection.next().await?.map(|event| Frame { retry: None, event: Some(event) })),
        }
    }
}

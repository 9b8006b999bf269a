//! The requests, to whichever server is measured.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    dialect::{Dialect, Request, Together},
    http::Connection,
    problem::{Outcome, Problem},
};

/// Events kept per stream: more than any client of any scenario lags, `slow` aside.
pub(crate) const KEPT: u64 = 20_000;

/// A server and how it is spoken to.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    pub(crate) dialect: Arc<dyn Dialect>,
}

/// A stream, and what opens it for clients.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) key: String,
    pub(crate) token: String,
    /// Events that were written to it, where the server itself does not count them.
    count: Arc<AtomicU64>,
}

impl Stream {
    pub(crate) fn new(key: String) -> Self {
        Self {
            key,
            token: String::new(),
            count: Arc::default(),
        }
    }

    /// The number of the next event, which counts from now on. One writer at a time may ask, or the
    /// order would not hold.
    pub(crate) fn count_event(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn counted(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// How clients follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// Server-sent events
    Sse,
    /// WebSocket
    Ws,
}

impl Api {
    /// A new stream, at a key that no run has used before.
    pub(crate) async fn create(&self, max_events: u64) -> Outcome<Stream> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let key = format!(
            "bench-{:08x}-{}",
            fastrand::u32(..),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let mut stream = Stream::new(key);
        if let Some(request) = self.dialect.create(&stream.key, max_events) {
            let answer = self.call(request, "A stream can't be created").await?;
            stream.token = self
                .dialect
                .token(&answer)
                .ok_or_else(|| unread("A new stream", &answer))?;
        }
        Ok(stream)
    }

    /// The path at which a client follows these streams over one connection. An error where the
    /// server does not know how.
    pub(crate) async fn follow_together(
        &self,
        streams: &[Stream],
        transport: Transport,
    ) -> Outcome<String> {
        let unable = || {
            Problem::Other("Here a connection follows one stream: leave out --together".to_owned())
        };
        let Together { request, mut path } = self
            .dialect
            .together(streams, transport)
            .ok_or_else(unable)?;
        let answer = self
            .call(request, "Several streams can't be opened at once")
            .await?;
        path += &self
            .dialect
            .token(&answer)
            .ok_or_else(|| unread("A token for several streams", &answer))?;
        Ok(path)
    }

    /// Ends a stream, where streams have an end.
    pub(crate) async fn end(&self, stream: &Stream) -> Outcome<()> {
        if let Some(request) = self.dialect.end(stream) {
            self.call(request, "A stream can't be ended").await?;
        }
        Ok(())
    }

    /// The clients that the broker counts now. None where the server does not tell.
    pub(crate) async fn slots_in_use(&self) -> Outcome<Option<u64>> {
        let Some(question) = self.dialect.occupancy() else {
            return Ok(None);
        };
        let answer = self
            .call(question.request, "The broker does not tell its state")
            .await?;
        Ok(Some(
            (question.read)(&answer).ok_or_else(|| unread("The broker's state", &answer))?,
        ))
    }

    async fn call(&self, request: Request, what: &'static str) -> Outcome<Vec<u8>> {
        let mut connection = Connection::open(self.address, None).await?;
        connection.send(&request.encode(self.address)).await?;
        connection.answer().await?.good(what)
    }
}

/// An answer that makes no sense.
pub(crate) fn unread(what: &str, answer: &[u8]) -> Problem {
    Problem::Other(format!(
        "{what} is answered {}",
        String::from_utf8_lossy(answer)
    ))
}

//! The requests that scenarios send, to any kind of server.

use std::{net::SocketAddr, sync::Arc};

use crate::{
    error::{Error, Outcome},
    http::Connection,
    protocol::{ManyStreams, Protocol, Request},
    stream::{Stream, Transport},
};

/// A server, and the protocol that it speaks.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Arc<dyn Protocol>,
}

impl Api {
    /// Creates a stream with a key that no run has used before.
    pub(crate) async fn create(&self, max_events: u64) -> Outcome<Stream> {
        let key = format!("bench-{:016x}", fastrand::u64(..));
        let mut stream = Stream::new(key);
        if let Some(request) = self.protocol.create(&stream.key, max_events) {
            let response = self.call(request, "A stream can't be created").await?;
            stream.token = self
                .protocol
                .token(&response)
                .ok_or_else(|| unexpected("A new stream", &response))?;
        }
        Ok(stream)
    }

    /// Returns the path at which a subscriber follows these streams over one connection. Fails
    /// where the server can't do that.
    pub(crate) async fn many_streams_path(
        &self,
        streams: &[Stream],
        transport: Transport,
    ) -> Outcome<String> {
        let unable = || {
            Error::Other("Here a connection follows one stream: leave out --together".to_owned())
        };
        let ManyStreams { request, mut path } = self
            .protocol
            .many_streams(streams, transport)
            .ok_or_else(unable)?;
        let response = self
            .call(request, "Several streams can't be opened at once")
            .await?;
        path += &self
            .protocol
            .token(&response)
            .ok_or_else(|| unexpected("A token for several streams", &response))?;
        Ok(path)
    }

    /// Ends a stream, where the server has an end of streams.
    pub(crate) async fn end(&self, stream: &Stream) -> Outcome<()> {
        if let Some(request) = self.protocol.end(stream) {
            self.call(request, "A stream can't be ended").await?;
        }
        Ok(())
    }

    /// Returns how many subscribers the broker counts now. None where the server does not report
    /// it.
    pub(crate) async fn subscriber_count(&self) -> Outcome<Option<u64>> {
        let Some(count) = self.protocol.subscriber_count() else {
            return Ok(None);
        };
        let response = self
            .call(count.request, "The broker does not report its state")
            .await?;
        Ok(Some((count.read)(&response).ok_or_else(|| {
            unexpected("The broker's state", &response)
        })?))
    }

    async fn call(&self, request: Request, what: &'static str) -> Outcome<Vec<u8>> {
        let mut connection = Connection::open(self.address, None).await?;
        connection.send(&request.encode(self.address)).await?;
        connection.response().await?.success(what)
    }
}

/// The error for a response that can't be parsed.
pub(crate) fn unexpected(what: &str, response: &[u8]) -> Error {
    Error::Other(format!(
        "{what} has the response {}",
        String::from_utf8_lossy(response)
    ))
}

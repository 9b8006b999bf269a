//! The client of a backend: a function for each management route.

use std::fmt;

use progenitor_client::{ClientHooks, ClientInfo, OperationInfo};
use reqwest::{Method, Request, RequestBuilder};

use crate::{
    Error,
    generated::{
        self, ResponseValue,
        types::{
            Access, AddEvents, Added, BrokerInfo, CancelStream, ClientRow, CreateStream,
            Disconnected, EndStream, FailStream, Finished, IssueToken, RenewStream, Renewed,
            SendSignal, SignalSent, Signals, StoredEvent, StreamRow, StreamState,
        },
    },
    request_defaults::RequestDefaults,
};

/// A client calls the management routes of a broker, and publishes events.
///
/// It is cheap to clone, and clones share their connections. Each function sends one request, which
/// it does not retry. A request fails after 30 seconds without a response, or after the
/// [`timeout`](crate::ClientBuilder::timeout) of the builder.
#[derive(Clone)]
pub struct Client {
    api: generated::Client,
}

impl Client {
    /// Creates a client of the broker at this URL, such as `https://broker.example.com`.
    /// [`builder`](Self::builder) has options.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`], as of [`build`](crate::ClientBuilder::build).
    pub fn new(url: impl AsRef<str>, api_key: impl AsRef<str>) -> Result<Self, Error> {
        Self::builder(url, api_key).build()
    }

    /// A client of the broker at this URL, which has no slash at its end.
    pub(crate) fn from_parts(
        url: &str,
        http_client: reqwest::Client,
        defaults: RequestDefaults,
    ) -> Self {
        Self {
            api: generated::Client::new_with_client(url, http_client, defaults),
        }
    }

    /// Creates a stream. A key is enough: `create_stream("chat-1")`.
    ///
    /// A stream that is created from a key keeps about its newest 100,000 events, so that a late
    /// subscriber gets the whole answer. A word takes about 25 bytes in Redis. With
    /// `max_events: None` the stream keeps the number of events that the broker is configured with.
    pub async fn create_stream(&self, stream: impl Into<CreateStream>) -> Result<Access, Error> {
        into_result(self.api.create_stream(&stream.into()).await).await
    }

    /// Issues a token for one stream, for several, or for all streams whose keys have a prefix. A
    /// key is enough.
    pub async fn issue_token(&self, token: impl Into<IssueToken>) -> Result<Access, Error> {
        into_result(self.api.issue_token(&token.into()).await).await
    }

    /// Lists the active streams, or those whose keys match a glob (`*`, `?`, `[…]`).
    pub async fn list_streams(&self, pattern: Option<&str>) -> Result<Vec<StreamRow>, Error> {
        into_result(self.api.list_streams(pattern).await).await
    }

    /// Returns the state of a stream, active or not.
    pub async fn stream_info(&self, key: impl AsRef<str>) -> Result<StreamState, Error> {
        into_result(self.api.stream_info(key.as_ref()).await).await
    }

    /// Returns all stored events of a stream, also after its end.
    pub async fn stream_events(&self, key: impl AsRef<str>) -> Result<Vec<StoredEvent>, Error> {
        into_result(self.api.stream_events(key.as_ref()).await).await
    }

    /// Ends a stream. No event can follow. A key is enough; an [`EndStream`] may also have data for
    /// the last event, and a generation.
    ///
    /// Of a stream that is finished already, it returns the status that the stream has.
    pub async fn end_stream(&self, stream: impl Into<EndStream>) -> Result<Finished, Error> {
        finished(self.end_active_stream(&stream.into()).await)
    }

    /// Cancels a stream. No event can follow, and the stream counts as incomplete. A key is enough;
    /// a [`CancelStream`] may also say why, by whom, and have a generation.
    ///
    /// Of a stream that is finished already, it returns the status that the stream has.
    pub async fn cancel_stream(&self, stream: impl Into<CancelStream>) -> Result<Finished, Error> {
        finished(self.cancel_active_stream(&stream.into()).await)
    }

    /// Reports that the stream failed. No event can follow, and the stream counts as incomplete. A
    /// key is enough; a [`FailStream`] may also have a code and a message, and a generation.
    ///
    /// Of a stream that is finished already, it returns the status that the stream has.
    pub async fn fail_stream(&self, stream: impl Into<FailStream>) -> Result<Finished, Error> {
        finished(self.fail_active_stream(&stream.into()).await)
    }

    /// Sends a signal to the producer of an active stream. A name is enough: `stop` asks it to
    /// finish. A [`SendSignal`] may also have data, an id and a generation.
    ///
    /// A second `stop` is not stored, and neither is a signal with an id that was used before. The
    /// result then has the number of the first one.
    pub async fn send_signal(
        &self,
        key: impl AsRef<str>,
        signal: impl Into<SendSignal>,
    ) -> Result<SignalSent, Error> {
        into_result(self.api.send_signal(key.as_ref(), &signal.into()).await).await
    }

    /// Returns the signals of a stream, active or not, after the one with the number `after`. 0 is
    /// before the first. A long list comes in parts: ask again with the number of the last one.
    pub async fn read_signals(&self, key: impl AsRef<str>, after: u64) -> Result<Signals, Error> {
        let key = key.as_ref();
        into_result(self.api.read_signals(Some(after), None, key, None).await).await
    }

    /// Shows that the producer of a stream lives, and returns the stream's deadlines. A key is
    /// enough. A [`RenewStream`] can also begin or end a lease or a stall. With `stop_ack` the
    /// producer gets the time to follow a stop once more, from now on.
    pub async fn renew_stream(&self, stream: impl Into<RenewStream>) -> Result<Renewed, Error> {
        into_result(self.api.renew_stream(&stream.into()).await).await
    }

    /// Writes a batch of events, all or none. To write events one by one, use
    /// [`publish`](Self::publish).
    pub async fn add_events(&self, events: impl Into<AddEvents>) -> Result<Added, Error> {
        into_result(self.api.add_events(None, &events.into()).await).await
    }

    /// Lists the subscribers that are connected to this node. `key` selects those of one stream,
    /// and `tag` those with one tag.
    pub async fn list_clients(
        &self,
        key: Option<&str>,
        tag: Option<&str>,
    ) -> Result<Vec<ClientRow>, Error> {
        into_result(self.api.list_clients(key, tag).await).await
    }

    /// Disconnects a subscriber of this node, by its id in the list.
    pub async fn disconnect_client(&self, id: impl AsRef<str>) -> Result<Disconnected, Error> {
        into_result(self.api.disconnect_client(id.as_ref()).await).await
    }

    /// Returns the broker's version, its store, and its connected subscribers.
    pub async fn broker_info(&self) -> Result<BrokerInfo, Error> {
        into_result(self.api.broker_info().await).await
    }

    /// Succeeds when the broker and its store can be used.
    pub async fn ready(&self) -> Result<(), Error> {
        match self.api.ready().await {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::from_generated(error).await),
        }
    }

    /// Ends a stream, which must be active.
    pub(crate) async fn end_active_stream(&self, stream: &EndStream) -> Result<Finished, Error> {
        into_result(self.api.end_stream(stream).await).await
    }

    /// Cancels a stream, which must be active.
    pub(crate) async fn cancel_active_stream(
        &self,
        stream: &CancelStream,
    ) -> Result<Finished, Error> {
        into_result(self.api.cancel_stream(stream).await).await
    }

    /// Reports that a stream failed, which must be active.
    pub(crate) async fn fail_active_stream(&self, stream: &FailStream) -> Result<Finished, Error> {
        into_result(self.api.fail_stream(stream).await).await
    }

    /// A request to a route that the OpenAPI document can't describe well enough.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let (name, api_key) = self.api.inner.api_key_header();
        self.api
            .client
            .request(method, format!("{}{path}", self.api.baseurl))
            .timeout(self.api.inner.timeout)
            .header(name, api_key)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.api.baseurl)
            .finish_non_exhaustive()
    }
}

impl ClientHooks<RequestDefaults> for generated::Client {
    async fn pre<E>(
        &self,
        request: &mut Request,
        _: &OperationInfo,
    ) -> Result<(), generated::Error<E>> {
        self.inner().apply_to(request);
        Ok(())
    }
}

async fn into_result<T>(
    response: Result<ResponseValue<T>, generated::Error<()>>,
) -> Result<T, Error> {
    match response {
        Ok(value) => Ok(value.into_inner()),
        Err(error) => Err(Error::from_generated(error).await),
    }
}

/// A stream that is finished already has the status that the broker reports.
fn finished(finished: Result<Finished, Error>) -> Result<Finished, Error> {
    match finished {
        Err(Error::Api {
            code,
            stream_status: Some(status),
            ..
        }) if code == "no-active-stream" => Ok(Finished { status }),
        finished => finished,
    }
}

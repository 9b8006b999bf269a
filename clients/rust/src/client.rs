//! Management: a function for each route that backends call.

use std::{fmt, time::Duration};

use reqwest::{
    Method, RequestBuilder, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use crate::{
    Error, Publish,
    generated::{
        self, ResponseValue,
        types::{
            Access, AddEvents, Added, BrokerInfo, ClientRow, CreateStream, Disconnected, Event,
            Finished, IssueToken, KeyOnly, StoredEvent, StreamRow, StreamState,
        },
    },
    http,
};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Events that a stream keeps when its creator says nothing else. The broker's own default of 500
/// is too few for an answer of a model.
const MAX_EVENTS: u64 = 100_000;

/// A backend's way to a broker. Cheap to clone; clones share their connections.
///
/// Each function here is one request, which is not tried again by itself. An answer may take 30
/// seconds.
#[derive(Clone)]
pub struct Client {
    api: generated::Client,
}

impl Client {
    /// A client of the broker at this URL, such as `https://broker.example.com`.
    pub fn new(url: impl AsRef<str>, api_key: impl AsRef<str>) -> Result<Self, Error> {
        if url.as_ref().is_empty() {
            return Err(Error::setup(
                "the URL of the broker is missing, such as http://127.0.0.1:8000",
            ));
        }
        if api_key.as_ref().is_empty() {
            return Err(Error::setup(
                "the API key is missing: one of the broker's keys (STREAMER_API_KEY where the broker runs)",
            ));
        }
        let url = Url::parse(url.as_ref()).map_err(Error::setup)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::setup(
                "the URL of a broker begins with http:// or https://",
            ));
        }
        let mut api_key = HeaderValue::from_str(api_key.as_ref()).map_err(Error::setup)?;
        api_key.set_sensitive(true);
        let headers = HeaderMap::from_iter([(API_KEY, api_key)]);
        let http = http::builder()
            .timeout(TIMEOUT)
            .default_headers(headers)
            .build()
            .map_err(Error::setup)?;
        Ok(Self {
            api: generated::Client::new_with_client(url.as_str().trim_end_matches('/'), http),
        })
    }

    /// Starts a stream. A key alone will do: `create_stream("chat-1")`.
    ///
    /// Made of a key, it keeps its newest 100,000 events, about, so that a subscriber that comes
    /// late gets all of an answer. A word takes about 25 bytes in Redis. Without `max_events` it
    /// keeps as many as the broker is set to.
    pub async fn create_stream(&self, stream: impl Into<CreateStream>) -> Result<Access, Error> {
        answer(self.api.create_stream(&stream.into()).await).await
    }

    /// Issues a token for a stream, for several, or for all whose keys begin alike. A key alone
    /// will do.
    pub async fn issue_token(&self, token: impl Into<IssueToken>) -> Result<Access, Error> {
        answer(self.api.issue_token(&token.into()).await).await
    }

    /// The active streams whose keys match a glob (`*`, `?`, `[…]`); all without one.
    pub async fn list_streams(&self, pattern: Option<&str>) -> Result<Vec<StreamRow>, Error> {
        answer(self.api.list_streams(pattern).await).await
    }

    /// The state of a stream, active or not.
    pub async fn stream_info(&self, key: impl AsRef<str>) -> Result<StreamState, Error> {
        answer(self.api.stream_info(key.as_ref()).await).await
    }

    /// All stored events of a stream, also after its end.
    pub async fn stream_events(&self, key: impl AsRef<str>) -> Result<Vec<StoredEvent>, Error> {
        answer(self.api.stream_events(key.as_ref()).await).await
    }

    /// Ends a stream: nothing can follow.
    pub async fn end_stream(&self, key: impl AsRef<str>) -> Result<Finished, Error> {
        answer(
            self.api
                .end_stream(&KeyOnly {
                    key: key.as_ref().to_owned(),
                })
                .await,
        )
        .await
    }

    /// Cancels a stream: nothing can follow, and what it holds is not all there was to be.
    pub async fn cancel_stream(&self, key: impl AsRef<str>) -> Result<Finished, Error> {
        answer(
            self.api
                .cancel_stream(&KeyOnly {
                    key: key.as_ref().to_owned(),
                })
                .await,
        )
        .await
    }

    /// Writes a batch of events, all or nothing. For events as they come there is
    /// [`publish`](Self::publish).
    pub async fn add_events(&self, events: impl Into<AddEvents>) -> Result<Added, Error> {
        answer(self.api.add_events(None, &events.into()).await).await
    }

    /// The clients that are connected to this node, of all streams or of one, and with any tags or
    /// with one.
    pub async fn list_clients(
        &self,
        key: Option<&str>,
        tag: Option<&str>,
    ) -> Result<Vec<ClientRow>, Error> {
        answer(self.api.list_clients(key, tag).await).await
    }

    /// Disconnects a client of this node, whose id is in the list.
    pub async fn disconnect_client(&self, id: impl AsRef<str>) -> Result<Disconnected, Error> {
        answer(self.api.disconnect_client(id.as_ref()).await).await
    }

    /// What the broker is, and how full.
    pub async fn broker_info(&self) -> Result<BrokerInfo, Error> {
        answer(self.api.broker_info().await).await
    }

    /// Says, without an error, that the broker and its store can be used.
    pub async fn ready(&self) -> Result<(), Error> {
        match self.api.ready().await {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::from_generated(error).await),
        }
    }

    /// A writer for an active stream, to be [started](Publish::start).
    pub fn publish(&self, key: impl Into<String>) -> Publish {
        Publish::new(self.clone(), key.into())
    }

    /// A request to a route that the OpenAPI document can't describe well enough.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.api
            .client
            .request(method, format!("{}{path}", self.api.baseurl))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.api.baseurl)
            .finish_non_exhaustive()
    }
}

async fn answer<T>(result: Result<ResponseValue<T>, generated::Error<()>>) -> Result<T, Error> {
    match result {
        Ok(value) => Ok(value.into_inner()),
        Err(error) => Err(Error::from_generated(error).await),
    }
}

impl<K: Into<String>> From<K> for CreateStream {
    fn from(key: K) -> Self {
        Self {
            key: key.into(),
            max_events: Some(MAX_EVENTS),
            ttl: None,
        }
    }
}

impl<K: Into<String>> From<K> for IssueToken {
    fn from(key: K) -> Self {
        Self {
            key: Some(key.into()),
            ..Self::default()
        }
    }
}

impl IssueToken {
    /// For the streams at these keys.
    pub fn for_keys<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self {
            keys: Some(keys.into_iter().map(Into::into).collect()),
            ..Self::default()
        }
    }

    /// For all streams whose keys begin so, now and later.
    pub fn for_prefix(prefix: impl Into<String>) -> Self {
        Self {
            prefix: Some(prefix.into()),
            ..Self::default()
        }
    }
}

impl<K: Into<String>> From<(K, Vec<Event>)> for AddEvents {
    fn from((key, events): (K, Vec<Event>)) -> Self {
        Self {
            key: key.into(),
            events,
            producer: None,
            sequence: None,
        }
    }
}

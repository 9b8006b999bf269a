//! The URL and the parameters of a subscription.

use reqwest::{RequestBuilder, Url, header::HeaderName};

use super::attempt::{Attempt, StartPosition};
use crate::{Error, http};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The route that a subscription uses, which decides how events arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Sse,
    Ndjson,
    Poll,
    #[cfg(feature = "websocket")]
    WebSocket,
}

impl Route {
    /// The route in the path of a client URL.
    fn of(url: &Url) -> Result<Self, Error> {
        let path = url.path();
        match path.rsplit_once("/client/").map(|(_, name)| name) {
            Some("sse") => Ok(Self::Sse),
            Some("ndjson") => Ok(Self::Ndjson),
            Some("poll") => Ok(Self::Poll),
            #[cfg(feature = "websocket")]
            Some("ws") => Ok(Self::WebSocket),
            _ => Err(Error::setup(format!("no events are available at {path}"))),
        }
    }
}

/// The parameters that are the same for all connections of a subscription.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// The event names filter. Empty means all events.
    pub(super) events: Vec<String>,
    pub(super) client_name: Option<String>,
    pub(super) tags: Vec<String>,
}

/// A subscribe request makes the HTTP request of each attempt to connect.
pub(super) struct SubscribeRequest {
    http: reqwest::Client,
    /// Without keys, which each attempt adds.
    url: Url,
    route: Route,
}

impl SubscribeRequest {
    pub(super) fn new(mut url: Url, parameters: Parameters) -> Result<Self, Error> {
        let route = Route::of(&url)?;
        let others: Vec<_> = url
            .query_pairs()
            .into_owned()
            .filter(|(name, _)| name != "key")
            .collect();
        url.query_pairs_mut().clear().extend_pairs(others);
        let lists = [
            ("events", parameters.events.join(",")),
            ("tags", parameters.tags.join(",")),
        ];
        url.query_pairs_mut()
            .extend_pairs(lists.into_iter().filter(|(_, list)| !list.is_empty()));
        url.query_pairs_mut()
            .extend_pairs(parameters.client_name.map(|name| ("client_name", name)));
        Ok(Self {
            http: http::for_subscriptions()?,
            url,
            route,
        })
    }

    pub(super) fn route(&self) -> Route {
        self.route
    }

    /// The HTTP request of one attempt.
    pub(super) fn for_attempt(&self, attempt: &Attempt, token: &str) -> RequestBuilder {
        let Attempt {
            keys,
            cursor,
            start: StartPosition { from, wait },
        } = attempt;
        let keys: Vec<_> = keys.iter().map(|key| ("key", key)).collect();
        let request = self
            .http
            .get(self.url.clone())
            .query(&keys)
            .query(&from.as_ref().map(|from| [("from", from)]))
            .query(&wait.then_some([("wait", true)]))
            .bearer_auth(token);
        match cursor {
            // A poll sends the cursor in the URL.
            Some(cursor) if self.route != Route::Poll => request.header(LAST_EVENT_ID, cursor),
            _ => request,
        }
    }
}

/// Parses a client URL, and turns the scheme of WebSocket into that of HTTP: for reqwest a
/// WebSocket is an upgrade of an HTTP connection.
pub(super) fn parse_url(text: &str) -> Result<Url, Error> {
    let url = Url::parse(text).map_err(Error::setup)?;
    let http_scheme = match url.scheme() {
        "ws" => "http",
        "wss" => "https",
        _ => return Ok(url),
    };
    Url::parse(&text.replacen(url.scheme(), http_scheme, 1)).map_err(Error::setup)
}

/// The streams that a client URL names.
pub(super) fn keys(url: &Url) -> Vec<String> {
    url.query_pairs()
        .filter(|(name, _)| name == "key")
        .map(|(_, key)| key.into_owned())
        .collect()
}

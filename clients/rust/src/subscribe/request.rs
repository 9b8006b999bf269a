//! The URL and the parameters of a subscription.

use reqwest::{RequestBuilder, Url, header::HeaderName};

use super::attempt::{Attempt, StartPosition};
use crate::Error;

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
    /// The names of events that the broker joins.
    pub(super) rollup: Vec<String>,
    /// For each of these names, where in its data the text is.
    pub(super) rollup_paths: Vec<String>,
    /// For how many milliseconds live events are gathered.
    pub(super) rollup_ms: Option<u128>,
}

/// A subscribe request makes the HTTP request of each attempt to connect.
pub(super) struct SubscribeRequest {
    http: reqwest::Client,
    /// Without keys, which each attempt adds.
    url: Url,
    route: Route,
    is_rolled_up: bool,
}

impl SubscribeRequest {
    pub(super) fn new(
        mut url: Url,
        parameters: &Parameters,
        http: reqwest::Client,
    ) -> Result<Self, Error> {
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
        let name = parameters.client_name.iter();
        url.query_pairs_mut()
            .extend_pairs(name.map(|name| ("client_name", name)))
            .extend_pairs(parameters.rollup.iter().map(|name| ("rollup", name)))
            .extend_pairs(
                parameters
                    .rollup_paths
                    .iter()
                    .map(|path| ("rollup_path", path)),
            )
            .extend_pairs(
                parameters
                    .rollup_ms
                    .map(|time| ("rollup_ms", time.to_string())),
            );
        Ok(Self {
            http,
            url,
            route,
            is_rolled_up: !parameters.rollup.is_empty(),
        })
    }

    /// Whether an event may stand for several.
    pub(super) fn is_rolled_up(&self) -> bool {
        self.is_rolled_up
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

/// Fails when no events can be followed at this URL.
pub(super) fn check_url(url: &Url) -> Result<(), Error> {
    Route::of(url).map(drop)
}

/// The URL to which signals for this stream are sent, from a client URL of the same broker.
pub(super) fn signal_url(client_url: &Url, key: &str) -> Result<Url, Error> {
    let mut url = client_url.clone();
    let path = url.path().rsplit_once("/client/").map(|(path, _)| path);
    let Some(path) = path.map(|path| format!("{path}/client/signal")) else {
        return Err(Error::setup(format!(
            "no signals can be sent to {}",
            url.path()
        )));
    };
    url.set_path(&path);
    url.set_fragment(None);
    url.query_pairs_mut().clear().append_pair("key", key);
    Ok(url)
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

/// The only stream that a client URL names.
pub(super) fn only_key(url: &Url) -> Result<String, Error> {
    let mut keys = keys(url);
    match (keys.pop(), keys.is_empty()) {
        (Some(key), true) => Ok(key),
        _ => Err(Error::setup(
            "the URL names no stream, or several, for which there is subscribe_many",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_go_to_the_broker_of_the_client_url() {
        for (client_url, expected) in [
            (
                "http://host/api/client/sse?key=a&tags=x",
                "http://host/api/client/signal?key=a%2Fb",
            ),
            (
                "wss://host:7/x/api/client/ws",
                "https://host:7/x/api/client/signal?key=a%2Fb",
            ),
        ] {
            let url = signal_url(&parse_url(client_url).unwrap(), "a/b").unwrap();
            assert_eq!(url.as_str(), expected);
        }
        let other = Url::parse("http://host/api/stream").unwrap();
        assert_eq!(signal_url(&other, "a").unwrap_err().code(), "setup");
    }
}

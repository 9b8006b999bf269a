//! How a client is set up.

use std::{fmt, time::Duration};

use reqwest::{Url, header::HeaderValue};

use crate::{Error, client::Client, http, request_defaults::RequestDefaults};

/// How long a response may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The options of a client that was not built yet.
#[must_use = "a client is created by `build`"]
pub struct ClientBuilder {
    url: String,
    api_key: String,
    http_client: Option<reqwest::Client>,
    timeout: Duration,
}

impl Client {
    /// Prepares a client of the broker at this URL, with options.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tinistreamer_client::{Client, Error};
    /// # fn example() -> Result<(), Error> {
    /// let client = Client::builder("https://broker.example.com", "the-api-key")
    ///     .timeout(Duration::from_secs(5))
    ///     .build()?;
    /// # drop(client);
    /// # Ok(())
    /// # }
    /// # example().unwrap();
    /// ```
    pub fn builder(url: impl AsRef<str>, api_key: impl AsRef<str>) -> ClientBuilder {
        ClientBuilder {
            url: url.as_ref().to_owned(),
            api_key: api_key.as_ref().to_owned(),
            http_client: None,
            timeout: TIMEOUT,
        }
    }
}

impl ClientBuilder {
    /// The HTTP client for all requests, for example one with a proxy or with other certificates.
    /// It gets the API key with each request.
    ///
    /// It should not follow redirects, which could take the API key elsewhere. A writer over
    /// WebSocket needs HTTP/1.1, which is [`http1_only`](reqwest::ClientBuilder::http1_only).
    pub fn http_client(mut self, http_client: reqwest::Client) -> Self {
        self.http_client = Some(http_client);
        self
    }

    /// How long the response to a request may take. 30 seconds by default. A writer waits for no
    /// response longer than that, except for signals.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Creates the client.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] when the URL or the API key is missing or can't be used, or when TLS has no
    /// root certificates.
    pub fn build(self) -> Result<Client, Error> {
        if self.url.is_empty() {
            return Err(Error::setup(
                "the URL of the broker is missing, such as http://127.0.0.1:8000",
            ));
        }
        if self.api_key.is_empty() {
            return Err(Error::setup(
                "the API key is missing: one of the broker's keys \
                 (STREAMER_API_KEY where the broker runs)",
            ));
        }
        let url = Url::parse(&self.url).map_err(Error::setup)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::setup(
                "the URL of a broker begins with http:// or https://",
            ));
        }
        let mut api_key = HeaderValue::from_str(&self.api_key).map_err(Error::setup)?;
        api_key.set_sensitive(true);
        let http_client = match self.http_client {
            Some(http_client) => http_client,
            None => http::builder().build().map_err(Error::setup)?,
        };
        let defaults = RequestDefaults {
            api_key,
            timeout: self.timeout,
        };
        Ok(Client::from_parts(
            url.as_str().trim_end_matches('/'),
            http_client,
            defaults,
        ))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("url", &self.url)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

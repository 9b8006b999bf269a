//! A request and its response, by reqwest.

use std::{error::Error as _, time::Duration};

use reqwest::{Client, header::HeaderMap, redirect::Policy};

use super::request::Request;

const MAX_REDIRECTS: usize = 5;
const MAX_BODY: usize = 8 * 1024 * 1024;
const MAX_IDLE_PER_HOST: usize = 8;
const IDLE: Duration = Duration::from_secs(30);

/// A response with its body.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    #[error("no client for HTTP: {0}")]
    Client(String),
    #[error("no response within {} ms from {host}", .timeout.as_millis())]
    Timeout { host: String, timeout: Duration },
    #[error("{host} sent a body of more than {MAX_BODY} bytes")]
    TooLarge { host: String },
    #[error("{host} redirected more than {MAX_REDIRECTS} times")]
    Redirects { host: String },
    #[error("the request to {host} failed: {reason}")]
    Failed { host: String, reason: String },
}

/// The client of a script, with the pool of its connections.
pub(super) fn client() -> Result<Client, ExchangeError> {
    // reqwest takes the process's provider. If there is one already, it is this one, too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(Policy::limited(MAX_REDIRECTS))
        // Features that other crates of a build switch on must not change what scripts do.
        .no_proxy()
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        // A URL with secrets must not go to the next server.
        .referer(false)
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
        .pool_idle_timeout(IDLE)
        .user_agent(concat!("tinistreamer/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| ExchangeError::Client(with_causes(&error)))
}

/// Sends the request, and reads the response to its end.
pub(super) async fn exchange(client: &Client, request: Request) -> Result<Response, ExchangeError> {
    let host = request.url.host_str().unwrap_or_default().to_owned();
    let timeout = request.timeout;
    let failed = |error: reqwest::Error| classified(error, host.clone(), timeout);
    let mut builder = client
        .request(request.method, request.url)
        .headers(request.headers)
        .timeout(timeout);
    if let Some(body) = request.body {
        builder = builder.body(body);
    }
    let mut response = builder.send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(ExchangeError::TooLarge { host });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body,
    })
}

fn classified(error: reqwest::Error, host: String, timeout: Duration) -> ExchangeError {
    // Path and query of a URL may hold secrets.
    let error = error.without_url();
    if error.is_timeout() {
        ExchangeError::Timeout { host, timeout }
    } else if error.is_redirect() {
        ExchangeError::Redirects { host }
    } else {
        let reason = with_causes(&error);
        ExchangeError::Failed { host, reason }
    }
}

fn with_causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

//! The HTTP clients under everything.

use std::{sync::OnceLock, time::Duration};

use reqwest::{ClientBuilder, redirect::Policy};

use crate::Error;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What all of them have in common.
pub(crate) fn builder() -> ClientBuilder {
    // A redirect could take the API key or a token elsewhere. HTTP/2 has no upgrade to WebSocket.
    reqwest::Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .http1_only()
}

/// The client of all subscriptions, which is dear to make: it reads the system's root certificates.
pub(crate) fn for_subscriptions() -> Result<reqwest::Client, Error> {
    static SHARED: OnceLock<reqwest::Client> = OnceLock::new();
    if let Some(client) = SHARED.get() {
        return Ok(client.clone());
    }
    // A connection serves one subscription only, and does not outlive the runtime that it was made
    // in.
    let client = builder()
        .pool_max_idle_per_host(0)
        .build()
        .map_err(Error::setup)?;
    Ok(SHARED.get_or_init(|| client).clone())
}

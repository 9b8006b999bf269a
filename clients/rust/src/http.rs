//! The HTTP clients that management and subscriptions use.

use std::{sync::OnceLock, time::Duration};

use reqwest::{ClientBuilder, redirect::Policy};

use crate::Error;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings that all HTTP clients share.
pub(crate) fn builder() -> ClientBuilder {
    // A redirect could take the API key or a token elsewhere. HTTP/2 has no upgrade to WebSocket.
    reqwest::Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .http1_only()
}

/// The HTTP client that all subscriptions share. It is expensive to create, as it reads the
/// system's root certificates.
pub(crate) fn for_subscriptions() -> Result<reqwest::Client, Error> {
    static SHARED: OnceLock<reqwest::Client> = OnceLock::new();
    if let Some(client) = SHARED.get() {
        return Ok(client.clone());
    }
    // A connection serves one subscription only, and does not outlive the runtime that it was
    // created in.
    let client = builder()
        .pool_max_idle_per_host(0)
        .build()
        .map_err(Error::setup)?;
    Ok(SHARED.get_or_init(|| client).clone())
}

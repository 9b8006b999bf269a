//! What several tests use.

mod broker;
mod proxy;
mod script;
mod subscriptions;
#[cfg(feature = "websocket")]
mod websocket;

use std::time::Duration;

#[cfg(feature = "websocket")]
pub(crate) use self::websocket::{ServerConnection, WebSocketServer};
pub(crate) use self::{
    broker::{API_KEY, Broker},
    proxy::Proxy,
    script::{Response, Script},
    subscriptions::{END, START, TOKEN, all, failure, names},
};

/// Waits for an event that must happen, long enough for a busy machine.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), what)
        .await
        .expect("it happens in time")
}

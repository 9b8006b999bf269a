//! What several tests use.

mod broker;
mod proxy;
mod routes;
mod script;
mod subscriptions;
#[cfg(feature = "websocket")]
mod websocket;

use std::time::Duration;

use tinistreamer_client::Transport;

#[cfg(feature = "websocket")]
pub(crate) use self::websocket::{ServerConnection, WebSocketServer};
pub(crate) use self::{
    broker::{API_KEY, Broker},
    proxy::Proxy,
    routes::{Routes, healthy, no_active_stream, old_broker, signals},
    script::{Response, Script},
    subscriptions::{END, START, TOKEN, all, failure, names},
};

/// Waits for an event that must happen, long enough for a busy machine.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), what)
        .await
        .expect("it happens in time")
}

/// Waits until a check of the outside world succeeds.
pub(crate) async fn until<F: Future<Output = bool>>(mut check: impl FnMut() -> F) {
    within(async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// All transports of a writer.
pub(crate) fn transports() -> Vec<Transport> {
    vec![
        Transport::Ndjson,
        #[cfg(feature = "websocket")]
        Transport::WebSocket,
    ]
}

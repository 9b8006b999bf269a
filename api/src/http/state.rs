//! The parts of the server that routes use, as one request guard.

use std::net::IpAddr;

use rocket::{
    Request, async_trait,
    request::{FromRequest, Outcome},
};

use super::{error::ApiError, store_error::at};
use crate::{
    config::Settings,
    lifecycle::Lifecycle,
    session::Registry,
    store::{SharedStore, StoreError},
    stream::{Status, StreamKey},
    telemetry::metrics::SharedMetrics,
};

/// The parts of the server that a route uses.
#[derive(Clone, Copy)]
pub struct AppState<'r> {
    pub(super) settings: &'r Settings,
    pub(super) store: &'r SharedStore,
    pub(super) registry: &'r Registry,
    pub(super) lifecycle: &'r Lifecycle,
    pub(super) metrics: &'r SharedMetrics,
    /// The IP address of the caller, if known.
    pub(super) address: Option<IpAddr>,
}

#[async_trait]
impl<'r> FromRequest<'r> for AppState<'r> {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        let rocket = request.rocket();
        match (
            rocket.state(),
            rocket.state(),
            rocket.state(),
            rocket.state(),
            rocket.state(),
        ) {
            (Some(settings), Some(store), Some(registry), Some(lifecycle), Some(metrics)) => {
                Outcome::Success(Self {
                    settings,
                    store,
                    registry,
                    lifecycle,
                    metrics,
                    address: request.client_ip(),
                })
            }
            // Only a bug in `server.rs` can leave out one of them.
            _ => ApiError::internal().refuse(request),
        }
    }
}

impl AppState<'_> {
    /// Returns an error unless the stream is active. Routes check this before a long upload. Each
    /// write checks it again.
    pub(super) async fn must_be_active(&self, key: &StreamKey) -> Result<(), ApiError> {
        must_be_active(self.store, key).await
    }
}

/// The same check, for code that runs after the request.
pub(super) async fn must_be_active(store: &SharedStore, key: &StreamKey) -> Result<(), ApiError> {
    match store.info(key).await {
        Ok(info) if info.status == Status::Active => Ok(()),
        Ok(_) | Err(StoreError::NotFound) => Err(at(key)(StoreError::NotActive)),
        Err(error) => Err(error.into()),
    }
}

//! What routes need of the server, in one request guard.

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

/// The parts of the server that a route works with.
#[derive(Clone, Copy)]
pub struct AppState<'r> {
    pub(super) settings: &'r Settings,
    pub(super) store: &'r SharedStore,
    pub(super) registry: &'r Registry,
    pub(super) lifecycle: &'r Lifecycle,
    pub(super) metrics: &'r SharedMetrics,
    /// Where the request comes from, as far as is known.
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
            // The server was put together without one of them: a fault of ours, which no request
            // can cause.
            _ => ApiError::internal().refuse(request),
        }
    }
}

impl AppState<'_> {
    /// Refuses unless there is a stream to write to. Asked before a long upload begins; each write
    /// asks for itself.
    pub(super) async fn must_be_active(&self, key: &StreamKey) -> Result<(), ApiError> {
        must_be_active(self.store, key).await
    }
}

/// The same for whoever outlives the request.
pub(super) async fn must_be_active(store: &SharedStore, key: &StreamKey) -> Result<(), ApiError> {
    match store.info(key).await {
        Ok(info) if info.status == Status::Active => Ok(()),
        Ok(_) | Err(StoreError::NotFound) => Err(at(key)(StoreError::NotActive)),
        Err(error) => Err(error.into()),
    }
}

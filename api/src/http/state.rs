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
    store::{SharedStore, StoreError, StreamInfo},
    stream::{Generation, StreamKey},
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
    /// The active stream at the key. Uploads belong to the stream on which they start. Each write
    /// checks its generation again.
    ///
    /// Errors: no stream there is active, or it has not the generation that the caller requires.
    pub(super) async fn active_stream(
        &self,
        key: &StreamKey,
        required: Option<Generation>,
    ) -> Result<StreamInfo, ApiError> {
        let active = match self.store.info(key).await {
            Ok(info) if required.is_some_and(|required| required != info.generation) => {
                Err(StoreError::StaleGeneration)
            }
            Ok(info) if info.status.is_finished() => Err(StoreError::NotActive {
                status: Some(info.status),
            }),
            Ok(info) => Ok(info),
            Err(StoreError::NotFound) => Err(StoreError::NotActive { status: None }),
            Err(error) => Err(error),
        };
        active.map_err(at(key))
    }
}

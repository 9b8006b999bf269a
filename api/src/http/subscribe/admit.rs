//! Admits a subscriber, and starts its session. The same for every transport.

use std::time::Duration;

use super::{request::SubscribeRequest, resolve::Resolver};
use crate::{
    config::Settings,
    http::{
        error::{ApiError, ErrorCode},
        guards::TokenGrant,
        hooks::SubscribeHook,
        state::AppState,
    },
    session::{Admission, AdmissionRequest, Session, Subscription, Timeouts},
    store::SharedStore,
    stream::{SharedPosition, StreamKey},
    telemetry::metrics::{Refusal, Transport},
};

impl AppState<'_> {
    /// Looks streams up for this token.
    pub(super) fn resolver(&self, token: &TokenGrant, hook: SubscribeHook) -> Resolver {
        Resolver {
            store: SharedStore::clone(self.store),
            token: token.clone(),
            max_keys: self.settings.max_keys_per_client,
            registry: self.registry.clone(),
            address: self.address,
            hook,
            max_event: self.settings.max_event,
        }
    }

    /// Admits a subscriber, and starts its session. A session that holds a Redis connection sends a
    /// heartbeat after `probe`, at the latest.
    ///
    /// Errors: `shutting-down`, `too-many-clients`.
    pub(super) async fn start_session(
        &self,
        subscription: Subscription,
        request: &SubscribeRequest,
        transport: Transport,
        probe: Option<Duration>,
    ) -> Result<Session, ApiError> {
        let metrics = self.metrics.clients(transport);
        if self.lifecycle.is_closing() {
            metrics.refuse(Refusal::Shutdown);
            let message = "The broker is stopping; connect to another node";
            return Err(ApiError::new(ErrorCode::ShuttingDown, message));
        }
        let timeouts = self.timeouts(probe.filter(|_| subscription.holds_connection()));
        let streams = open_streams(&subscription).collect();
        let admission = self.admit(streams, request, transport, timeouts).await?;
        if request.resumes() {
            metrics.resumes.inc();
        }
        let store_timeout = self.settings.store_patience;
        Ok(Session::new(subscription, admission, store_timeout))
    }

    /// The timeouts of a session, with a heartbeat after `probe` at the latest.
    pub(super) fn timeouts(&self, probe: Option<Duration>) -> Timeouts {
        let Settings {
            heartbeat,
            client_timeout: idle,
            ..
        } = *self.settings;
        Timeouts {
            heartbeat: probe.map_or(heartbeat, |probe| probe.min(heartbeat)),
            idle,
        }
    }

    /// Admits a subscriber of these streams.
    ///
    /// Errors: `too-many-clients`.
    pub(super) async fn admit(
        &self,
        streams: Vec<(StreamKey, SharedPosition)>,
        request: &SubscribeRequest,
        transport: Transport,
        timeouts: Timeouts,
    ) -> Result<Admission, ApiError> {
        let name_and_tags = request.name_and_tags.clone();
        let request = AdmissionRequest {
            streams,
            address: self.address,
            metadata: name_and_tags.into_metadata(transport, request.filter.as_ref()),
        };
        let metrics = self.metrics.clients(transport);
        let admission = self.registry.admit(request, timeouts, metrics).await;
        admission.map_err(|reached| ApiError::new(ErrorCode::TooManyClients, reached.to_string()))
    }
}

/// The streams that may have more events. A subscriber that has all events of a stream does not
/// count for it.
pub(super) fn open_streams(
    subscription: &Subscription,
) -> impl Iterator<Item = (StreamKey, SharedPosition)> {
    let streams = subscription.streams().iter();
    streams
        .filter(|stream| !stream.is_over())
        .map(|stream| (stream.key.clone(), stream.shared_position().clone()))
}

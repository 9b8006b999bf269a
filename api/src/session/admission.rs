//! The admission of one session.

use std::{future::poll_fn, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    limits::{KeyedLimits, LimitReached, Member},
    liveness::{Instruction, Liveness},
    membership::StreamPermit,
};
use crate::{
    stream::{SharedPosition, StreamKey},
    telemetry::metrics::{ClientMetrics, DisconnectReason},
};

/// The least time between two warnings that the store fails.
const WARNING_INTERVAL: Duration = Duration::from_secs(5);

/// The right to be one of the sessions of the node. Dropping it gives all permits back.
#[derive(Debug)]
pub struct Admission {
    liveness: Arc<Liveness>,
    node: Arc<NodeState>,
}

/// What all sessions of a node share.
#[derive(Debug)]
pub(super) struct NodeState {
    /// None where streams have no limit.
    pub(super) stream_limits: Option<Arc<KeyedLimits<StreamKey>>>,
    last_warning: Mutex<Option<Instant>>,
}

impl NodeState {
    pub(super) fn new(stream_limits: Option<Arc<KeyedLimits<StreamKey>>>) -> Self {
        Self {
            stream_limits,
            last_warning: Mutex::new(None),
        }
    }

    /// A permit of a stream, where streams have a limit. It does not wait for one.
    pub(super) fn try_stream_permit(&self, key: &StreamKey) -> Result<StreamPermit, LimitReached> {
        let Some(limits) = &self.stream_limits else {
            return Ok(None);
        };
        limits
            .try_acquire(key.clone())
            .ok_or(LimitReached::Stream(limits.max()))
            .map(Some)
    }

    /// Warns that the store fails: now and then, not for each of perhaps ten thousand sessions.
    fn warn_of_store(&self) {
        let mut last = self.last_warning.lock();
        if last.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL) {
            *last = Some(Instant::now());
            tracing::warn!("the store fails; subscribers wait for it");
        }
    }
}

impl Admission {
    pub(super) fn new(liveness: Arc<Liveness>, node: Arc<NodeState>) -> Self {
        Self { liveness, node }
    }

    /// Counts the session as a subscriber of one more stream. Where streams have a limit this takes
    /// a permit, and does not wait for one. For a stream that it has already it does nothing.
    ///
    /// Errors: [`LimitReached::Stream`].
    pub fn add_stream(
        &self,
        key: &StreamKey,
        position: &SharedPosition,
    ) -> Result<(), LimitReached> {
        if self.liveness.has_stream(key) {
            return Ok(());
        }
        let permit = self.node.try_stream_permit(key)?;
        let limit = permit.as_ref().map(|permit| permit.limit());
        self.liveness
            .add_stream(key.clone(), position.clone(), permit);
        if let Some(limit) = limit {
            let member: Arc<dyn Member> = Arc::<Liveness>::clone(&self.liveness);
            limit.add(&member);
        }
        Ok(())
    }

    /// No longer counts the session as a subscriber of a stream, and frees its permit.
    pub fn remove_stream(&self, key: &StreamKey) {
        if let Some(permit) = self.liveness.remove_stream(key) {
            permit.limit().remove(&*self.liveness);
        }
    }

    /// Counts events that are about to be handed to the connection, once for each batch.
    pub fn count_delivery(&self, events: usize, bytes: usize) {
        self.liveness.count_delivery(events, bytes);
    }

    /// Resolves to the most urgent instruction. Cancel safe.
    pub(super) async fn instruction(&self) -> Instruction {
        poll_fn(|context| self.liveness.poll_instruction(context)).await
    }

    /// Resolves when an operator disconnects the subscriber. Cancel safe.
    pub async fn disconnected(&self) {
        poll_fn(|context| self.liveness.poll_disconnect(context)).await;
    }

    /// The session writes something now.
    pub(super) fn record_output(&self, is_event: bool) {
        self.liveness.record_output(is_event);
    }

    /// Something was handed to the connection; until the subscriber has taken it, the session does
    /// not run.
    pub(super) fn record_handed_over(&self) {
        self.liveness.record_handed_over();
    }

    /// The subscriber has taken everything.
    pub(super) fn record_taken(&self) {
        self.liveness.record_taken();
    }

    /// Sets the reason that the metrics report when the session is over. Without one the subscriber
    /// has left by itself.
    pub fn set_disconnect_reason(&self, reason: DisconnectReason) {
        self.liveness.set_disconnect_reason(reason);
    }

    /// The metrics of the session's transport.
    pub(super) fn metrics(&self) -> &ClientMetrics {
        &self.liveness.metrics
    }

    /// Warns that the store fails.
    pub(super) fn warn_of_store(&self) {
        self.node.warn_of_store();
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        // A task that looks at the session at this moment keeps its liveness, but not its permits.
        self.liveness.leave();
    }
}

//! What the routes of one server share.

use std::sync::Arc;

use super::{options::TinysseOptions, stream::MessageStream};
use crate::{
    config::Settings,
    hooks::{Hook, SharedHooks},
    lifecycle::Lifecycle,
    session::Registry,
    telemetry::metrics::SharedMetrics,
};

/// What the routes of one server share.
pub(super) struct Node {
    pub(super) options: TinysseOptions,
    pub(super) settings: Settings,
    pub(super) stream: Arc<MessageStream>,
    pub(super) registry: Registry,
    pub(super) hooks: Option<SharedHooks>,
    pub(super) lifecycle: Lifecycle,
    pub(super) metrics: SharedMetrics,
}

impl Node {
    /// The script, if it has this hook.
    pub(super) fn hooks_with(&self, hook: Hook) -> Option<&SharedHooks> {
        self.hooks.as_ref().filter(|hooks| hooks.defines(hook))
    }

    /// See [`max_stored`].
    pub(super) fn max_stored(&self) -> usize {
        max_stored(&self.options, &self.settings)
    }
}

/// The most bytes of a publication as it is stored. A body that was accepted always fits, also if
/// each of its characters is escaped.
pub(super) fn max_stored(options: &TinysseOptions, settings: &Settings) -> usize {
    let body = options.max_body.saturating_mul(8);
    settings.max_event.max(body)
}

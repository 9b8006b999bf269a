//! Calls of hooks: from a caller to the thread of the script, and back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use serde_json::Value;
use tokio::{sync::oneshot, time::timeout_at};

use super::{
    call::{Call, Member, Request},
    queue::Senders,
    state::HookSet,
    supervisor::{MARGIN, Threads},
    worker::Shared,
};
use crate::{
    hooks::{Hook, HookError},
    telemetry::metrics::{HookOutcome, SharedMetrics},
};

/// Calls hooks.
pub(super) struct Caller {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
    senders: Senders,
    next_member: AtomicU64,
    metrics: SharedMetrics,
}

impl Caller {
    pub(super) fn new(
        shared: Arc<Shared>,
        threads: Arc<Threads>,
        senders: Senders,
        metrics: SharedMetrics,
    ) -> Self {
        Self {
            shared,
            threads,
            senders,
            next_member: AtomicU64::new(0),
            metrics,
        }
    }

    /// Whether the script defines this hook.
    pub(super) fn defines(&self, hook: Hook) -> bool {
        HookSet(self.shared.hooks.load(Relaxed)).has(hook)
    }

    /// A subscriber that the script does not know yet.
    pub(super) fn member(&self, json: Value) -> Arc<Member> {
        let id = self.next_member.fetch_add(1, Relaxed);
        Member::new(id, json, self.senders.left.clone())
    }

    /// Runs a hook.
    pub(super) async fn call(&self, hook: Hook, call: Call) -> Result<Option<Value>, HookError> {
        let started = Instant::now();
        let answer = self.send(call).await;
        let (outcome, result) = match answer {
            Ok(Ok(Some(value))) => (HookOutcome::Passed, Ok(Some(value))),
            Ok(Ok(None)) if takes_nothing_for_no(hook) => (HookOutcome::Refused, Ok(None)),
            Ok(Ok(None)) => (HookOutcome::Passed, Ok(None)),
            Ok(Err(message)) => (HookOutcome::Failed, Err(message)),
            Err(error @ NoAnswer::InTime) => (HookOutcome::TimedOut, Err(error.to_string())),
            Err(error) => (HookOutcome::Failed, Err(error.to_string())),
        };
        let metrics = &self.metrics.scripts;
        metrics.record(hook.name(), outcome, started.elapsed());
        result.map_err(|message| {
            tracing::warn!(error = message, hook = hook.name(), "a hook failed");
            HookError { hook, message }
        })
    }

    /// Sends a call to the thread, and waits for the answer.
    pub(super) async fn send(&self, call: Call) -> Result<Result<Option<Value>, String>, NoAnswer> {
        if self.threads.is_down() {
            return Err(NoAnswer::Down);
        }
        let deadline = Instant::now() + self.shared.options.limits.time;
        let (reply, answer) = oneshot::channel();
        let request = Request {
            call,
            deadline,
            reply,
        };
        let answer = async {
            let sent = self.senders.requests.send(request).await;
            sent.map_err(|_| NoAnswer::Down)?;
            answer.await.map_err(|_| NoAnswer::Replaced)
        };
        let answer = timeout_at((deadline + MARGIN).into(), answer).await;
        answer.unwrap_or(Err(NoAnswer::InTime))
    }
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("the script does not run: the log says why")]
    Down,
    #[error("the script was loaded anew meanwhile")]
    Replaced,
    #[error("it took longer than STREAMER_SCRIPT_TIMEOUT, or waited too long")]
    InTime,
}

/// Whether a hook refuses by returning nothing.
fn takes_nothing_for_no(hook: Hook) -> bool {
    matches!(hook, Hook::Publish | Hook::Subscribe | Hook::Message)
}

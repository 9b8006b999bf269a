//! What a writer and its background task share, besides the events.

use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::{
    settlement::Failure,
    signal_log::SignalLog,
    stop::{Stop, StopState},
};

/// A writer state holds the stops and signals that a writer has heard, and whether it has failed.
#[derive(Debug)]
pub(super) struct WriterState {
    pub(super) stop: StopState,
    pub(super) signals: SignalLog,
    /// Cancelled when the writer has failed.
    pub(super) failed: CancellationToken,
    /// Whether the caller writes on after a stop.
    pub(super) write_after_stop: bool,
    /// What the stream fails with when the writer is dropped.
    failure: Mutex<FailureOnDrop>,
}

#[derive(Debug, Default)]
struct FailureOnDrop {
    /// What the caller said.
    set: Option<Failure>,
    is_interrupted: bool,
}

impl WriterState {
    pub(super) fn new(write_after_stop: bool) -> Self {
        Self {
            stop: StopState::new(),
            signals: SignalLog::new(),
            failed: CancellationToken::new(),
            write_after_stop,
            failure: Mutex::default(),
        }
    }

    /// Sets what the stream fails with when the writer is dropped.
    pub(super) fn set_failure(&self, failure: Failure) {
        self.lock_failure().set = Some(failure);
    }

    /// Records that the task of the producer was cancelled.
    pub(super) fn interrupt(&self) {
        self.lock_failure().is_interrupted = true;
    }

    /// What the stream fails with when the writer is dropped.
    pub(super) fn failure(&self) -> Failure {
        let failure = self.lock_failure();
        match &failure.set {
            Some(failure) => failure.clone(),
            None if failure.is_interrupted => Failure::of_interrupted_producer(),
            None => Failure::of_producer(),
        }
    }

    fn lock_failure(&self) -> std::sync::MutexGuard<'_, FailureOnDrop> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stop after which the caller may not write, if there was one.
    pub(super) fn refuses_writes(&self) -> Option<Stop> {
        if self.write_after_stop {
            None
        } else {
            self.stop.heard()
        }
    }

    /// Records that the writer has failed.
    pub(super) fn fail(&self) {
        self.failed.cancel();
        self.stop.fail();
        self.signals.end(Ok(()));
    }
}

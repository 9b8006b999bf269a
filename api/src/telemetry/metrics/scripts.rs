//! The metrics of a script's hooks.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::labels::HookOutcome;
use crate::hooks::Hook;

/// The buckets of the duration of a hook.
const DURATION_SECONDS: [f64; 9] = [0.000_05, 0.000_2, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfHook {
    hook: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCall {
    hook: &'static str,
    outcome: HookOutcome,
}

/// The metrics of a script's hooks. They stay at zero without a script.
#[derive(Debug)]
pub struct ScriptMetrics {
    calls: Family<OfCall, Counter>,
    duration: Family<OfHook, Histogram>,
    /// Lua states that were replaced, as a hook did not come back.
    pub replaced: Counter,
    stuck: Gauge,
}

impl ScriptMetrics {
    /// Registers the metrics.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            calls: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(DURATION_SECONDS)),
            replaced: Counter::default(),
            stuck: Gauge::default(),
        };
        registry.register(
            "script_calls",
            "Calls of a script's hooks, by outcome",
            metrics.calls.clone(),
        );
        registry.register_with_unit(
            "script_call_duration",
            "Time of a call of a hook, the wait for its turn included",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "script_states_replaced",
            "Lua states that were replaced because a hook did not come back",
            metrics.replaced.clone(),
        );
        registry.register(
            "script_threads_stuck",
            "Threads of a script that have not come back",
            metrics.stuck.clone(),
        );
        metrics.show();
        metrics
    }

    /// Shows the metrics of one hook before it is called: a metric without a series is not there.
    fn show(&self) {
        let hook = Hook::Publish.name();
        for &outcome in HookOutcome::ALL {
            drop(self.calls.get_or_create(&OfCall { hook, outcome }));
        }
        drop(self.duration.get_or_create(&OfHook { hook }));
    }

    /// Counts a call of a hook.
    pub fn record(&self, hook: &'static str, outcome: HookOutcome, time: Duration) {
        self.calls.get_or_create(&OfCall { hook, outcome }).inc();
        let duration = self.duration.get_or_create(&OfHook { hook });
        duration.observe(time.as_secs_f64());
    }

    /// Sets how many threads have not come back.
    pub fn set_stuck_threads(&self, threads: usize) {
        self.stuck.set(i64::try_from(threads).unwrap_or(i64::MAX));
    }
}

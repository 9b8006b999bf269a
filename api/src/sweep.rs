//! The task that finishes streams whose deadlines have passed.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    lifecycle::Lifecycle,
    store::{SharedStore, Swept},
    telemetry::metrics::{Outcome, SharedMetrics},
};

/// The time between two sweeps.
const INTERVAL: Duration = Duration::from_secs(1);

/// Sweeps once a second until the node stops. Other nodes go on.
pub async fn run(store: SharedStore, metrics: SharedMetrics, lifecycle: Lifecycle) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = lifecycle.begins_to_close() => return,
            _ = ticks.tick() => {}
        }
        let swept = tokio::select! {
            biased;
            () = lifecycle.begins_to_close() => return,
            swept = store.sweep() => swept,
        };
        match swept {
            Ok(Swept {
                cancelled,
                abandoned,
            }) => {
                for _ in 0..cancelled {
                    metrics.streams.finish(Outcome::Cancelled);
                }
                for _ in 0..abandoned {
                    metrics.streams.finish(Outcome::Abandoned);
                }
            }
            // Other commands report a failure of the store. The next sweep comes soon.
            Err(error) => tracing::debug!(%error, "streams with deadlines could not be looked at"),
        }
    }
}

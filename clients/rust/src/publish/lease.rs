//! The lease of a writer: it shows the broker that the producer lives, also in silence.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{hearing::learn_stop, target::Target, writer_state::WriterState};
use crate::{Error, log::Cause};

/// A writer renews its lease so many times while it lasts.
const RENEWALS: u32 = 4;

const LONGEST_RENEWAL: Duration = Duration::from_secs(10);

/// How long `close` waits for the end of the lease.
const LONGEST_END: Duration = Duration::from_secs(3);

const LEASES: std::ops::RangeInclusive<u64> = 2..=86_400;

/// A lease of so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease(u64);

impl Lease {
    /// A lease of whole seconds. None for zero, which stands for no lease.
    pub(super) fn of(duration: Duration) -> Result<Option<Self>, Error> {
        let seconds = duration.as_secs();
        if duration.is_zero() {
            Ok(None)
        } else if LEASES.contains(&seconds) && duration.subsec_nanos() == 0 {
            Ok(Some(Self(seconds)))
        } else {
            Err(Error::setup(format!(
                "a lease has 2 to 86,400 whole seconds, or 0, and not {duration:?}"
            )))
        }
    }

    fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

/// Renews the lease until the writer is closed, or its stream needs no lease. Then ends the lease
/// if the writer was closed.
///
/// No renewal is dropped on the way, so that none overtakes the end of the lease.
pub(super) async fn keep(
    target: &Target,
    state: &WriterState,
    lease: Lease,
    closed: &CancellationToken,
) {
    let mut ticks = interval(lease.duration() / RENEWALS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = closed.cancelled() => break,
            () = state.failed.cancelled() => {
                closed.cancelled().await;
                break;
            }
            _ = ticks.tick() => {}
        }
        if !renew(target, state, lease).await {
            return;
        }
    }
    // The next writer of the stream may come later than that.
    match timeout(LONGEST_END, target.renew(0)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => debug!(target: "tinistreamer", "the lease goes on: {}", Cause(&error)),
        Err(_) => debug!(target: "tinistreamer", "the lease goes on: no response"),
    }
}

/// Renews the lease once. Returns whether to go on.
async fn renew(target: &Target, state: &WriterState, lease: Lease) -> bool {
    // So short that a renewal and a question after it are done before the lease runs out.
    let limit = LONGEST_RENEWAL.min(lease.duration() / 2);
    let renewal = timeout(limit, target.renew(lease.0));
    match renewal
        .await
        .map_err(Error::unreachable)
        .and_then(|outcome| outcome)
    {
        Ok(renewed) => {
            // Older brokers report only the deadline of a stop.
            let is_asked = renewed
                .stop_requested_at
                .or(renewed.stop_expires_at)
                .is_some();
            if is_asked && state.stop.heard().is_none() {
                learn_stop(target, &state.stop, limit / 2).await;
            }
            true
        }
        Err(error) => after(target, state, &error, limit).await,
    }
}

/// Whether to go on after a renewal that failed.
async fn after(target: &Target, state: &WriterState, error: &Error, limit: Duration) -> bool {
    let Error::Api {
        status,
        code,
        stream_status,
        ..
    } = error
    else {
        warn!(target: "tinistreamer", "the lease was not renewed: {}", Cause(error));
        return true;
    };
    match (&**code, stream_status.as_deref(), status) {
        ("no-active-stream", Some(status), _) => {
            if status == "cancelled" {
                learn_stop(target, &state.stop, limit / 2).await;
            }
            false
        }
        // The stream does not exist yet.
        ("no-active-stream", None, _) => true,
        (_, _, Some(404 | 405)) => {
            info!(target: "tinistreamer", "the broker knows no leases");
            false
        }
        ("stale-generation", ..) | (_, _, Some(400 | 401 | 403)) => {
            warn!(target: "tinistreamer", "the lease is not renewed any more: {}", Cause(error));
            false
        }
        _ => {
            warn!(target: "tinistreamer", "the lease was not renewed: {}", Cause(error));
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_has_whole_seconds_or_is_off() {
        assert_eq!(Lease::of(Duration::ZERO).unwrap(), None);
        for seconds in [2, 30, 86_400] {
            let lease = Lease::of(Duration::from_secs(seconds)).unwrap();
            assert_eq!(lease, Some(Lease(seconds)));
        }
        for milliseconds in [1, 1_000, 2_500, 86_401_000] {
            let error = Lease::of(Duration::from_millis(milliseconds)).unwrap_err();
            assert_eq!(error.code(), "setup");
        }
    }
}

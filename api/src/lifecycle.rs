//! The lifecycle of the process: it counts open requests, and spreads their end over the grace
//! period when the process stops.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Share of the grace period over which the broker closes long-lived connections. The rest is for
/// the bytes that still have to go out.
const CLOSING_SHARE: f64 = 0.7;

/// Time per open request. The broker closes a few at once. It spreads many over the grace period,
/// so that their subscribers do not overload the nodes where they reconnect.
const SPREAD_PER_REQUEST: Duration = Duration::from_millis(50);

/// The state of the process: whether it stops, and how many requests are open. Cheap to clone; all
/// clones share the state.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    closing: watch::Sender<Option<Closing>>,
    requests: Arc<watch::Sender<usize>>,
}

/// The period over which the broker closes connections.
#[derive(Clone, Copy, Debug)]
struct Closing {
    from: Instant,
    spread: Duration,
}

/// An open request. It counts until it is dropped.
#[derive(Debug)]
pub struct RequestGuard(Arc<watch::Sender<usize>>);

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            closing: watch::Sender::new(None),
            requests: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Lifecycle {
    /// Starts to stop: from now on each wait on [`Lifecycle::closing`] ends, each at a random
    /// moment.
    pub fn close(&self, grace: Duration) {
        let requests = u32::try_from(*self.requests.borrow()).unwrap_or(u32::MAX);
        let spread = grace
            .mul_f64(CLOSING_SHARE)
            .min(SPREAD_PER_REQUEST.saturating_mul(requests));
        self.closing.send_if_modified(|closing| {
            let first = closing.is_none();
            closing.get_or_insert(Closing {
                from: Instant::now(),
                spread,
            });
            first
        });
    }

    /// Whether the process stops.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.borrow().is_some()
    }

    /// How far the closing of connections is, from 0 to 1 when the last is due. None while the
    /// process does not stop.
    #[must_use]
    pub fn closing_progress(&self) -> Option<f64> {
        let Closing { from, spread } = (*self.closing.borrow())?;
        let progress = from.elapsed().as_secs_f64() / spread.as_secs_f64();
        Some(if progress.is_finite() { progress } else { 1.0 })
    }

    /// Resolves when the process starts to stop. Cancel safe.
    pub async fn begins_to_close(&self) {
        // The wait does not fail, as `self` holds the sender.
        let _ = self.closing.subscribe().wait_for(Option::is_some).await;
    }

    /// Resolves when the caller has to close its connection. Cancel safe.
    pub async fn closing(&self) {
        let mut closing = self.closing.subscribe();
        // The wait does not fail, as `self` holds the sender. If it did, closing would be right.
        let closing = closing
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|closing| *closing);
        if let Some(Closing { from, spread }) = closing {
            sleep_until(from + spread.mul_f64(fastrand::f64())).await;
        }
    }

    /// Counts a request until the guard is dropped.
    #[must_use]
    pub fn request(&self) -> RequestGuard {
        self.requests.send_modify(|count| *count += 1);
        RequestGuard(Arc::clone(&self.requests))
    }

    /// Resolves when no request is open. Cancel safe.
    pub async fn idle(&self) {
        let mut requests = self.requests.subscribe();
        // As above: the sender outlives the wait.
        let _ = requests.wait_for(|&count| count == 0).await;
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_requests_close_over_the_grace_period_and_one_closes_at_once() {
        let started = Instant::now();
        let alone = Lifecycle::default();
        let _request = alone.request();
        alone.close(Duration::from_secs(10));
        alone.closing().await;
        assert!(started.elapsed() <= SPREAD_PER_REQUEST * 2);

        let busy = Lifecycle::default();
        let _requests: Vec<_> = (0..1000).map(|_| busy.request()).collect();
        let started = Instant::now();
        busy.close(Duration::from_secs(10));
        let times = futures::future::join_all((0..1000).map(|_| async {
            busy.closing().await;
            started.elapsed()
        }))
        .await;
        let late = times.iter().filter(|time| time.as_secs_f64() > 3.5).count();
        assert!((200..800).contains(&late), "spread, not in a lump: {late}");
        assert!(times.iter().all(|time| time.as_secs_f64() <= 7.1));
    }

    #[tokio::test]
    async fn the_process_is_idle_when_the_last_request_is_done() {
        let lifecycle = Lifecycle::default();
        lifecycle.idle().await;
        let request = lifecycle.request();
        assert!(futures::poll!(Box::pin(lifecycle.idle())).is_pending());
        drop(request);
        lifecycle.idle().await;
    }
}

//! The process' life: which requests are under way, and the order in which they end when it is
//! asked to stop.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Share of the grace period over which long-lived connections are closed; the rest is for what
/// they are still owed.
const CLOSING_SHARE: f64 = 0.7;

/// Time per open request: a few are closed at once, many are spread over the grace period, so that
/// the nodes they go to are not run over.
const SPREAD_PER_REQUEST: Duration = Duration::from_millis(50);

/// Shared by all who wait for the end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    closing: watch::Sender<Option<Closing>>,
    requests: Arc<watch::Sender<usize>>,
}

/// The period over which connections are closed.
#[derive(Clone, Copy, Debug)]
struct Closing {
    from: Instant,
    spread: Duration,
}

/// A request under way; counted until it is dropped.
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
    /// Begins the end: from now on, whoever waits on [`Lifecycle::closing`] is told to close, each
    /// at a moment of its own.
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

    /// Whether the end has begun.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.borrow().is_some()
    }

    /// How far the closing of connections has come, from 0 to 1 when the last is due; none before
    /// the end has begun.
    #[must_use]
    pub fn closing_progress(&self) -> Option<f64> {
        let Closing { from, spread } = (*self.closing.borrow())?;
        let progress = from.elapsed().as_secs_f64() / spread.as_secs_f64();
        Some(if progress.is_finite() { progress } else { 1.0 })
    }

    /// Resolves when the end begins.
    pub async fn begins_to_close(&self) {
        // The sender is in `self`, so that the wait does not fail.
        let _ = self.closing.subscribe().wait_for(Option::is_some).await;
    }

    /// Resolves when the caller is to close its connection.
    pub async fn closing(&self) {
        let mut closing = self.closing.subscribe();
        // The sender is in `self`, so that the wait does not fail; if it did, closing would be
        // right.
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

    /// Resolves when no request is under way.
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
    async fn many_are_closed_over_the_grace_period_and_one_at_once() {
        let begun = Instant::now();
        let alone = Lifecycle::default();
        let _request = alone.request();
        alone.close(Duration::from_secs(10));
        alone.closing().await;
        assert!(begun.elapsed() <= SPREAD_PER_REQUEST * 2);

        let busy = Lifecycle::default();
        let _requests: Vec<_> = (0..1000).map(|_| busy.request()).collect();
        let begun = Instant::now();
        busy.close(Duration::from_secs(10));
        let times = futures::future::join_all((0..1000).map(|_| async {
            busy.closing().await;
            begun.elapsed()
        }))
        .await;
        let late = times.iter().filter(|time| time.as_secs_f64() > 3.5).count();
        assert!((200..800).contains(&late), "spread, not in a lump: {late}");
        assert!(times.iter().all(|time| time.as_secs_f64() <= 7.1));
    }

    #[tokio::test]
    async fn it_is_idle_when_the_last_request_is_done() {
        let life = Lifecycle::default();
        life.idle().await;
        let request = life.request();
        assert!(futures::poll!(Box::pin(life.idle())).is_pending());
        drop(request);
        life.idle().await;
    }
}

//! Watches the thread of the script, and replaces it when it does not come back.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{
    error::ScriptError,
    worker::{Shared, Worker},
};
use crate::telemetry::metrics::SharedMetrics;

/// The most threads that do not come back. Each may take a processor.
pub(super) const MAX_STUCK: usize = 8;

/// How much longer than a call may take a thread may be busy. The limits within Lua need a moment,
/// and say more.
pub(super) const MARGIN: Duration = Duration::from_millis(500);

/// How often the supervisor looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// The threads of an engine.
#[derive(Debug)]
pub(super) struct Threads {
    shared: Arc<Shared>,
    current: Mutex<Option<Worker>>,
    stuck: Mutex<Vec<JoinHandle<()>>>,
    /// No thread takes requests.
    is_down: AtomicBool,
    metrics: SharedMetrics,
}

impl Threads {
    /// Starts the first thread, and waits until it has loaded the script.
    pub(super) async fn start(
        shared: Arc<Shared>,
        metrics: SharedMetrics,
    ) -> Result<Arc<Self>, ScriptError> {
        let threads = Arc::new(Self {
            shared,
            current: Mutex::new(None),
            stuck: Mutex::default(),
            is_down: AtomicBool::new(true),
            metrics,
        });
        threads.start_thread().await?;
        tokio::spawn(supervise(Arc::downgrade(&threads)));
        Ok(threads)
    }

    /// Whether no thread takes requests: too many are stuck, or the script can't be loaded.
    pub(super) fn is_down(&self) -> bool {
        self.is_down.load(Relaxed)
    }

    async fn start_thread(&self) -> Result<(), ScriptError> {
        let (worker, loaded) = Worker::start(Arc::clone(&self.shared))?;
        let time = self.shared.options.limits.time + MARGIN;
        let loaded = match timeout(time, loaded).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(_)) => Err(self.not_loaded("its thread ended")),
            Err(_) => Err(self.not_loaded("it took longer than STREAMER_SCRIPT_TIMEOUT")),
        };
        if loaded.is_ok() {
            *self.current.lock() = Some(worker);
            self.is_down.store(false, Relaxed);
        } else {
            self.abandon(worker);
        }
        loaded
    }

    fn not_loaded(&self, message: &str) -> ScriptError {
        ScriptError::Load {
            path: self.shared.options.path.clone(),
            message: message.to_owned(),
        }
    }

    fn abandon(&self, worker: Worker) {
        worker.give_up();
        self.stuck.lock().push(worker.thread);
    }

    fn count_stuck(&self) {
        let mut stuck = self.stuck.lock();
        stuck.retain(|thread| !thread.is_finished());
        self.metrics.scripts.set_stuck_threads(stuck.len());
    }

    /// Looks after the threads.
    async fn look(&self) {
        self.count_stuck();
        let limit = self.shared.options.limits.time + MARGIN;
        let is_lost = |worker: &mut Worker| {
            worker.thread.is_finished() || worker.clock.busy().is_some_and(|busy| busy > limit)
        };
        if let Some(worker) = self.current.lock().take_if(is_lost) {
            self.is_down.store(true, Relaxed);
            self.abandon(worker);
            self.count_stuck();
            self.metrics.scripts.replaced.inc();
            tracing::error!("a hook does not come back; the script is loaded anew");
        }
        if !self.is_down() {
            return;
        }
        if self.stuck.lock().len() >= MAX_STUCK {
            tracing::error!("{MAX_STUCK} threads of the script do not come back; all hooks fail");
            return tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if let Err(error) = self.start_thread().await {
            tracing::error!(%error, "the script could not be loaded anew; all hooks fail");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(worker) = self.current.get_mut() {
            worker.give_up();
        }
    }
}

async fn supervise(threads: Weak<Threads>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(threads) = threads.upgrade() else {
            return;
        };
        threads.look().await;
    }
}

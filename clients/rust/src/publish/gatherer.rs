//! Gathering of strings: consecutive ones of one event name become one event.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep_until},
};

use super::line::encode_text;

/// How much text is gathered at most, in bytes of UTF-8.
const MAX_TEXT: usize = 64 << 10;

/// A gatherer holds the strings that are written within a short time, and sends them as one event.
///
/// It holds at most one event. The writer has counted that one as written.
pub(super) struct Gatherer {
    window: Duration,
    gathered: Mutex<Option<Gathered>>,
    /// Wakes the task that sends the event in time.
    begun: Notify,
    lines: mpsc::UnboundedSender<Bytes>,
}

struct Gathered {
    event: String,
    text: String,
    deadline: Instant,
}

impl Gatherer {
    /// Gathers for this long, and sends events as lines.
    pub(super) fn new(window: Duration, lines: mpsc::UnboundedSender<Bytes>) -> Self {
        Self {
            window,
            gathered: Mutex::default(),
            begun: Notify::new(),
            lines,
        }
    }

    /// Adds a string to the event. Returns false if it does not belong to it, or if no event is
    /// gathered.
    pub(super) fn append(&self, event: &str, text: &str) -> bool {
        let mut gathered = self.lock();
        let Some(gathered) = gathered
            .as_mut()
            .filter(|it| it.event == event && it.text.len() + text.len() <= MAX_TEXT)
        else {
            return false;
        };
        gathered.text.push_str(text);
        true
    }

    /// Begins the next event.
    pub(super) fn begin(&self, event: &str, text: String) {
        let begun = Gathered {
            event: event.to_owned(),
            text,
            deadline: Instant::now() + self.window,
        };
        let is_full = begun.text.len() >= MAX_TEXT;
        *self.lock() = Some(begun);
        if is_full {
            self.send();
        } else {
            self.begun.notify_one();
        }
    }

    /// Sends the gathered event at once.
    pub(super) fn send(&self) {
        self.send_from(self.lock());
    }

    /// Sends each event when its time is over. Never returns.
    pub(super) async fn send_in_time(&self) {
        loop {
            let deadline = self.lock().as_ref().map(|gathered| gathered.deadline);
            match deadline {
                None => self.begun.notified().await,
                Some(deadline) => {
                    sleep_until(deadline).await;
                    // The writer may have begun another event meanwhile.
                    let gathered = self.lock();
                    if gathered.as_ref().is_some_and(|it| it.deadline <= deadline) {
                        self.send_from(gathered);
                    }
                }
            }
        }
    }

    /// Sends under the lock, so that no event overtakes another.
    fn send_from(&self, mut gathered: MutexGuard<'_, Option<Gathered>>) {
        if let Some(Gathered { event, text, .. }) = gathered.take() {
            // The task that receives the lines is gone only after the end of the writer.
            let _ = self.lines.send(encode_text(&event, &text));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Gathered>> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Gatherer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gatherer")
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

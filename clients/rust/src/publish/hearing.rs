//! How a writer hears the signals of its stream.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::{stop::StopState, target::Target, writer_state::WriterState};
use crate::{
    Error,
    backoff::Backoff,
    log::Cause,
    types::{SignalRecord, Signals},
};

/// The name of the signal that asks the producer to finish.
const STOP: &str = "stop";

/// How long the broker waits for a signal before it responds.
const WAIT: Duration = Duration::from_secs(20);

const SHORTEST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Hears the signals of the stream, once somebody wants them, until no signal can follow.
///
/// It makes one long poll after another. A dropped hearing closes its connection.
pub(super) async fn hear(target: &Target, state: &WriterState) {
    let hearing = async {
        state.signals.wanted().await;
        state.signals.end(poll(target, state).await);
    };
    tokio::select! {
        () = hearing => {}
        () = state.failed.cancelled() => {}
    }
}

/// Makes one long poll after another, until the stream is finished.
async fn poll(target: &Target, state: &WriterState) -> Result<(), Error> {
    let mut backoff = Backoff::new(SHORTEST_DELAY, LONGEST_DELAY);
    let mut after = 0;
    loop {
        let asked = Instant::now();
        match target.signals(after, WAIT).await {
            Ok(page) => {
                backoff.reset();
                let is_active = page.stream_status == "active";
                let new = receive(page, after, state);
                match new.last() {
                    Some(signal) => after = signal.seq,
                    None if !is_active => return Ok(()),
                    // A broker that stops does not wait.
                    None => sleep(SHORTEST_DELAY.saturating_sub(asked.elapsed())).await,
                }
                state.signals.append(&new);
            }
            Err(error) if error.is_transient() => {
                warn!(
                    target: "tinistreamer",
                    "the signals can't be read, and are asked for again: {}", Cause(&error)
                );
                let now = Instant::now();
                backoff.pause(error.retry_after(), now, Duration::MAX).await;
            }
            Err(error) => {
                warn!(
                    target: "tinistreamer",
                    "the signals can't be read, and the writer goes on: {}", Cause(&error)
                );
                return Err(error);
            }
        }
    }
}

/// Records what a page says of a stop. Returns its signals after the one with this number.
fn receive(page: Signals, after: u64, state: &WriterState) -> Vec<SignalRecord> {
    hear_stop(&page, &state.stop);
    let mut new = page.signals;
    new.retain(|signal| signal.seq > after);
    new
}

/// Records a stop: a signal, or that the stream was cancelled.
fn hear_stop(page: &Signals, stop: &StopState) {
    if let Some(signal) = page.signals.iter().find(|signal| signal.name == STOP) {
        stop.hear(signal.by.clone());
    } else if page.stream_status == "cancelled" {
        stop.hear(None);
    }
}

/// Records a stop that the writer knows of otherwise. Asks the broker once who asked for it, for at
/// most `limit`.
pub(super) async fn learn_stop(target: &Target, stop: &StopState, limit: Duration) {
    if stop.heard().is_none_or(|stop| stop.by.is_none()) {
        let page = timeout(limit, target.signals(0, Duration::ZERO)).await;
        match page.map_err(Error::unreachable).and_then(|outcome| outcome) {
            Ok(page) => hear_stop(&page, stop),
            Err(error) => warn!(
                target: "tinistreamer",
                "the signals can't be read, and nobody knows who asked for the stop: {}",
                Cause(&error)
            ),
        }
    }
    stop.hear(None);
}

//! Whether a producer was asked to stop.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::settlement::Cancellation;
use crate::Error;

/// A stop that a writer has heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    /// Who asked for it, if that is known.
    pub(super) by: Option<String>,
}

impl Stop {
    /// How a stream is cancelled that was left after this stop.
    pub(super) fn cancellation(&self) -> Cancellation {
        Cancellation {
            by: self.by.clone(),
            ..Cancellation::new("stop")
        }
    }
}

/// A stop state says whether a writer was asked to stop, or its stream was cancelled elsewhere.
#[derive(Debug)]
pub(super) struct StopState {
    heard: watch::Sender<Option<Stop>>,
    /// Cancelled at a stop, and when the writer fails.
    token: CancellationToken,
}

impl StopState {
    pub(super) fn new() -> Self {
        Self {
            heard: watch::Sender::new(None),
            token: CancellationToken::new(),
        }
    }

    /// Records a stop. A later one can only add who asked for it.
    pub(super) fn hear(&self, by: Option<String>) {
        self.heard.send_if_modified(|heard| match heard {
            None => {
                info!(target: "tinistreamer", "the producer is asked to stop");
                *heard = Some(Stop { by });
                true
            }
            Some(stop) => {
                let adds = stop.by.is_none() && by.is_some();
                stop.by = stop.by.take().or(by);
                adds
            }
        });
        self.token.cancel();
    }

    /// The stop that was heard, if there was one.
    pub(super) fn heard(&self) -> Option<Stop> {
        self.heard.borrow().clone()
    }

    /// Waits for a stop. Cancel safe.
    pub(super) async fn wait(&self) -> Stop {
        let mut heard = self.heard.subscribe();
        loop {
            if let Some(stop) = heard.borrow_and_update().clone() {
                return stop;
            }
            // The channel can't close: its sender is here.
            if heard.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The error of a writer that has heard a stop, after so many confirmed events.
    pub(super) fn error(&self, acknowledged: u64) -> Error {
        Error::Stopped {
            acknowledged,
            by: self.heard().and_then(|stop| stop.by),
        }
    }

    /// A token that is cancelled at a stop, and when the writer fails. The caller may cancel it
    /// without any effect on the writer.
    pub(super) fn token(&self) -> CancellationToken {
        self.token.child_token()
    }

    /// Cancels the tokens: nobody gets what the producer would still make.
    pub(super) fn fail(&self) {
        self.token.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stop_stays_and_a_later_one_may_say_who_asked() {
        let stop = StopState::new();
        stop.hear(None);
        assert_eq!(stop.heard(), Some(Stop { by: None }));
        stop.hear(Some("a".to_owned()));
        stop.hear(Some("b".to_owned()));
        stop.hear(None);
        let by = Some("a".to_owned());
        assert_eq!(stop.heard(), Some(Stop { by }));
    }

    #[test]
    fn a_token_that_the_caller_cancels_is_its_own() {
        let stop = StopState::new();
        stop.token().cancel();
        assert!(!stop.token().is_cancelled());
        stop.hear(None);
        assert!(stop.token().is_cancelled());
    }
}

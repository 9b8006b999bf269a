//! The signals that a writer has heard.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use crate::{Error, types::SignalRecord};

/// A signal log holds all signals that a writer has heard. The broker bounds them: 1,000 of a
/// stream, and 1 MiB.
#[derive(Debug)]
pub(super) struct SignalLog(watch::Sender<Heard>);

#[derive(Debug, Default)]
struct Heard {
    /// Whether somebody wants the signals.
    is_wanted: bool,
    signals: Vec<SignalRecord>,
    /// Why no signal follows, once that is known.
    end: Option<Result<(), Arc<Error>>>,
}

impl SignalLog {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Heard::default()))
    }

    /// Says that somebody wants the signals.
    pub(super) fn want(&self) {
        self.0
            .send_if_modified(|heard| !std::mem::replace(&mut heard.is_wanted, true));
    }

    /// Waits until somebody wants the signals. Cancel safe.
    pub(super) async fn wanted(&self) {
        let mut heard = self.0.subscribe();
        // The channel can't close: its sender is here.
        let _ = heard.wait_for(|heard| heard.is_wanted).await;
    }

    /// Adds signals, in order.
    pub(super) fn append(&self, signals: &[SignalRecord]) {
        self.0.send_if_modified(|heard| {
            heard.signals.extend_from_slice(signals);
            !signals.is_empty()
        });
    }

    /// Records that no signal follows. The first reason stays.
    pub(super) fn end(&self, reason: Result<(), Error>) {
        self.0.send_if_modified(|heard| {
            let is_first = heard.end.is_none();
            heard.end.get_or_insert_with(|| reason.map_err(Arc::new));
            is_first
        });
    }

    /// All signals from the first one on.
    pub(super) fn read(&self) -> BoxStream<'static, Result<SignalRecord, Error>> {
        let next = |(mut heard, read): (watch::Receiver<Heard>, usize)| async move {
            let item = {
                let has_news = |heard: &Heard| heard.signals.len() > read || heard.end.is_some();
                // The channel closes with the writer's task, which ends the log before.
                let heard = heard.wait_for(has_news).await.ok()?;
                match (heard.signals.get(read), &heard.end) {
                    (Some(signal), _) => Ok(signal.clone()),
                    (None, Some(Err(source))) if read < usize::MAX => Err(Error::Signals {
                        source: Arc::clone(source),
                    }),
                    (None, _) => return None,
                }
            };
            // Nothing follows an error.
            let read = if item.is_ok() { read + 1 } else { usize::MAX };
            Some((item, (heard, read)))
        };
        stream::unfold((self.0.subscribe(), 0), next).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(seq: u64) -> SignalRecord {
        SignalRecord {
            seq,
            name: "steer".to_owned(),
            data: None,
            id: None,
            by: None,
            time: String::new(),
        }
    }

    async fn numbers(log: &SignalLog) -> Vec<Result<u64, String>> {
        log.read()
            .map(|read| match read {
                Ok(signal) => Ok(signal.seq),
                Err(error) => Err(error.code().to_owned()),
            })
            .collect()
            .await
    }

    #[tokio::test]
    async fn each_reader_gets_all_signals_and_then_the_end() {
        let log = SignalLog::new();
        log.append(&[signal(1)]);
        let mut early = log.read();
        assert_eq!(early.next().await.map(|read| read.unwrap().seq), Some(1));
        log.append(&[signal(2), signal(3)]);
        log.end(Ok(()));
        log.end(Err(Error::InvalidAnswer("too late".to_owned())));
        assert_eq!(early.count().await, 2);
        assert_eq!(numbers(&log).await, [Ok(1), Ok(2), Ok(3)]);
    }

    #[tokio::test]
    async fn an_error_comes_once_after_the_signals() {
        let log = SignalLog::new();
        log.append(&[signal(1)]);
        log.end(Err(Error::refused("forbidden", "")));
        for _ in 0..2 {
            assert_eq!(numbers(&log).await, [Ok(1), Err("forbidden".to_owned())]);
        }
    }
}

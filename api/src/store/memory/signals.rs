//! The signals of one stream in the embedded store.

use std::collections::HashMap;

use crate::{
    store::{SIGNAL_PAGE_BYTES, StoreError},
    stream::{MAX_SIGNALS, MAX_SIGNALS_BYTES, NewSignal, Signal, SignalId},
};

/// Who sent a signal; see [`NewSignal::by`].
type Sender = Option<Box<str>>;

/// The signals of one stream, in order.
#[derive(Default)]
pub(super) struct SignalLog {
    signals: Vec<Signal>,
    bytes: usize,
    /// The place of the first `stop`.
    stop: Option<usize>,
    numbers: HashMap<(Sender, SignalId), u64>,
    sent: HashMap<Sender, usize>,
}

impl SignalLog {
    /// When the producer was first asked to stop.
    pub(super) fn stop_requested_ms(&self) -> Option<u64> {
        self.stop.map(|stop| self.signals[stop].ms)
    }

    /// As `StreamStore::signal` has it.
    pub(super) fn add(&mut self, new: &NewSignal, ms: u64) -> Result<u64, StoreError> {
        let seq = self.signals.len() as u64 + 1;
        let id = new.id.clone().map(|id| (new.by.clone(), id));
        if new.name.is_stop() {
            if let Some(stop) = self.stop {
                return Ok(self.signals[stop].seq);
            }
            self.stop = Some(self.signals.len());
        } else if let Some(&first) = id.as_ref().and_then(|id| self.numbers.get(id)) {
            return Ok(first);
        } else if self.signals.len() >= MAX_SIGNALS
            || self.bytes + new.weight() > MAX_SIGNALS_BYTES
            || self.sent.get(&new.by).copied().unwrap_or(0) >= new.max_of_sender()
        {
            return Err(StoreError::TooManySignals);
        }
        if let Some(id) = id {
            self.numbers.entry(id).or_insert(seq);
        }
        *self.sent.entry(new.by.clone()).or_default() += 1;
        self.bytes += new.weight();
        self.signals.push(Signal {
            seq,
            ms,
            signal: new.clone(),
        });
        Ok(seq)
    }

    /// As `StreamStore::signals` has it.
    pub(super) fn after(&self, seq: u64) -> Vec<Signal> {
        let first = usize::try_from(seq).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let fits = |signal: &&Signal| {
            let room = bytes < SIGNAL_PAGE_BYTES;
            bytes += signal.signal.weight();
            room
        };
        self.signals
            .iter()
            .skip(first)
            .take_while(fits)
            .cloned()
            .collect()
    }
}

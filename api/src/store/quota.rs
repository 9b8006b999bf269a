//! How many active streams one API key may have started on this node.
//!
//! The store knows which streams are active. This module knows which of them were started here, by
//! API key. It asks the store about them only when an API key seems to have reached the limit.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use indexmap::IndexMap;
use parking_lot::Mutex;

use super::{SharedStore, StoreError};
use crate::{
    auth::api_key::KeyIndex,
    stream::{Generation, Status, StreamKey},
};

/// The least time between two recounts of the streams of one API key.
const RECOUNT_INTERVAL: Duration = Duration::from_secs(1);

/// Streams about which a recount asks the store at the same time.
const RECOUNT_CONCURRENCY: usize = 64;

/// The streams that each API key has started on this node, and how many of them may be active.
pub struct Quotas {
    /// None: there is no limit, and nothing is recorded.
    max: Option<usize>,
    started: Mutex<StartedStreams>,
    /// When the streams of an API key were last recounted.
    recounted: Mutex<HashMap<KeyIndex, Instant>>,
}

/// Why an API key gets no permit to start a stream.
#[derive(Debug, thiserror::Error)]
pub enum QuotaError {
    /// As many streams of this API key are active as it may have.
    #[error("{max} streams of this API key are active")]
    TooMany {
        /// How many it may have.
        max: usize,
    },
    /// The store could not report which of them are still active.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The streams that were started on this node. All creates share one lock, so no step may take
/// longer the more streams there are.
#[derive(Default)]
struct StartedStreams {
    /// The streams of each API key. No generation: the stream is being created.
    by_api_key: HashMap<KeyIndex, IndexMap<StreamKey, Option<Generation>>>,
    /// The API key that started the stream at each key.
    owners: HashMap<StreamKey, KeyIndex>,
}

impl StartedStreams {
    fn of(&mut self, by: KeyIndex) -> &mut IndexMap<StreamKey, Option<Generation>> {
        self.by_api_key.entry(by).or_default()
    }

    /// Records that an API key started the stream at this key. The stream that another API key had
    /// there is finished.
    fn record(&mut self, by: KeyIndex, key: &StreamKey, generation: Generation) {
        let previous = self.owners.insert(key.clone(), by);
        if let Some(previous) = previous.filter(|previous| *previous != by) {
            self.of(previous).swap_remove(key);
        }
        self.of(by).insert(key.clone(), Some(generation));
    }

    /// Forgets a stream, unless another generation is recorded at its key by now.
    fn forget(&mut self, by: KeyIndex, key: &StreamKey, generation: Option<Generation>) {
        if self.of(by).get(key) != Some(&generation) {
            return;
        }
        self.of(by).swap_remove(key);
        if generation.is_some() && self.owners.get(key) == Some(&by) {
            self.owners.remove(key);
        }
    }

    /// Some of the streams before the index `end` that are created, and the index at which they
    /// begin. At most [`RECOUNT_CONCURRENCY`].
    fn chunk(&mut self, by: KeyIndex, end: usize) -> (usize, Vec<(StreamKey, Generation)>) {
        let streams = self.of(by);
        let end = end.min(streams.len());
        let from = end.saturating_sub(RECOUNT_CONCURRENCY);
        let chunk = streams.get_range(from..end).into_iter().flatten();
        (
            from,
            chunk
                .filter_map(|(key, generation)| Some((key.clone(), (*generation)?)))
                .collect(),
        )
    }
}

/// The right to start one stream. Dropping it gives the right back, unless the stream was started.
pub struct Permit<'a> {
    quotas: &'a Quotas,
    /// None: there is no limit, or the key was recorded already.
    claimed: Option<(KeyIndex, StreamKey)>,
}

impl Quotas {
    /// Allows each API key at most `max` active streams. 0 is no limit.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            max: (max > 0).then_some(max),
            started: Mutex::default(),
            recounted: Mutex::default(),
        }
    }

    /// Takes a permit of this API key for a stream at this key.
    ///
    /// Errors: [`QuotaError::TooMany`]; [`QuotaError::Store`] when the store can't report which
    /// streams are still active.
    pub async fn claim(
        &self,
        by: KeyIndex,
        key: &StreamKey,
        store: &SharedStore,
    ) -> Result<Permit<'_>, QuotaError> {
        let Some(max) = self.max else {
            return Ok(Permit {
                quotas: self,
                claimed: None,
            });
        };
        if let Some(permit) = self.try_claim(max, by, key) {
            return Ok(permit);
        }
        if self.begin_recount(by) {
            self.forget_inactive(by, store).await?;
        }
        self.try_claim(max, by, key)
            .ok_or(QuotaError::TooMany { max })
    }

    fn try_claim(&self, max: usize, by: KeyIndex, key: &StreamKey) -> Option<Permit<'_>> {
        let mut started = self.started.lock();
        let streams = started.of(by);
        // A stream that replaces one of the same API key needs no permit of its own. If that one is
        // active, the store refuses the new one anyway.
        if streams.contains_key(key) {
            return Some(Permit {
                quotas: self,
                claimed: None,
            });
        }
        if streams.len() >= max {
            return None;
        }
        streams.insert(key.clone(), None);
        Some(Permit {
            quotas: self,
            claimed: Some((by, key.clone())),
        })
    }

    /// Forgets streams that were finished, expired, or were replaced. It goes from the last to the
    /// first: removing a stream moves the last one to its index, which was checked already.
    async fn forget_inactive(&self, by: KeyIndex, store: &SharedStore) -> Result<(), StoreError> {
        let mut end = usize::MAX;
        while end > 0 {
            let (from, chunk) = self.started.lock().chunk(by, end);
            end = from;
            let check = |(key, generation): (StreamKey, Generation)| async move {
                match store.info(&key).await {
                    Ok(info) if info.status == Status::Active && info.generation == generation => {
                        Ok(None)
                    }
                    Ok(_) | Err(StoreError::NotFound) => Ok(Some((key, generation))),
                    Err(error) => Err(error),
                }
            };
            let mut checks = stream::iter(chunk)
                .map(check)
                .buffer_unordered(RECOUNT_CONCURRENCY);
            while let Some(inactive) = checks.next().await {
                if let Some((key, generation)) = inactive? {
                    self.started.lock().forget(by, &key, Some(generation));
                }
            }
        }
        Ok(())
    }

    /// Whether it is time for another recount. A caller that is refused tries again and again, and
    /// each recount asks the store about every stream.
    fn begin_recount(&self, by: KeyIndex) -> bool {
        let mut recounted = self.recounted.lock();
        let is_due = recounted
            .get(&by)
            .is_none_or(|last| last.elapsed() > RECOUNT_INTERVAL);
        if is_due {
            recounted.insert(by, Instant::now());
        }
        is_due
    }
}

impl Permit<'_> {
    /// Records that the stream was started.
    pub fn keep(mut self, by: KeyIndex, key: &StreamKey, generation: Generation) {
        if self.quotas.max.is_some() {
            self.quotas.started.lock().record(by, key, generation);
        }
        self.claimed = None;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // Another request may have started the stream meanwhile. Then it is recorded with its
        // generation, and stays.
        if let Some((by, key)) = self.claimed.take() {
            self.quotas.started.lock().forget(by, &key, None);
        }
    }
}

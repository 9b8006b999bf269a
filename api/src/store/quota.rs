//! How many active streams one API key may have started on this node. Which streams are active the
//! store knows; this knows which were started here, and asks the store about them only when there
//! seem to be too many.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use indexmap::IndexMap;

use super::{SharedStore, StoreError};
use crate::{
    auth::api_key::KeyIndex,
    http::error::{ApiError, ErrorCode},
    stream::{Generation, Status, StreamKey},
};

/// The least time between two looks at the store.
const PAUSE: Duration = Duration::from_secs(1);

/// Streams that are looked at together.
const LOOK_AHEAD: usize = 64;

/// The streams that were started with each API key.
pub struct Quotas {
    /// None: no limit, and nothing is noted.
    max: Option<usize>,
    notes: Mutex<Notes>,
    looked: Mutex<HashMap<KeyIndex, Instant>>,
}

/// Which streams were started here. No step takes longer the more streams there are, as all creates
/// share one lock.
#[derive(Default)]
struct Notes {
    /// The streams of each API key. None: the stream is being started.
    by_api_key: HashMap<KeyIndex, IndexMap<StreamKey, Option<Generation>>>,
    /// Which API key started the stream at a key.
    owners: HashMap<StreamKey, KeyIndex>,
}

impl Notes {
    fn of(&mut self, by: KeyIndex) -> &mut IndexMap<StreamKey, Option<Generation>> {
        self.by_api_key.entry(by).or_default()
    }

    /// The stream at this key was started; what another API key had there is over.
    fn keep(&mut self, by: KeyIndex, key: &StreamKey, generation: Generation) {
        let previous = self.owners.insert(key.clone(), by);
        if let Some(previous) = previous.filter(|previous| *previous != by) {
            self.of(previous).swap_remove(key);
        }
        self.of(by).insert(key.clone(), Some(generation));
    }

    /// Forgets a stream, if it is still the one that is noted.
    fn forget(&mut self, by: KeyIndex, key: &StreamKey, generation: Option<Generation>) {
        if self.of(by).get(key) != Some(&generation) {
            return;
        }
        self.of(by).swap_remove(key);
        if generation.is_some() && self.owners.get(key) == Some(&by) {
            self.owners.remove(key);
        }
    }

    /// Up to [`LOOK_AHEAD`] streams before the place `end`, which are started, and the place of the
    /// first of them.
    fn piece(&mut self, by: KeyIndex, end: usize) -> (usize, Vec<(StreamKey, Generation)>) {
        let streams = self.of(by);
        let end = end.min(streams.len());
        let from = end.saturating_sub(LOOK_AHEAD);
        let piece = streams.get_range(from..end).into_iter().flatten();
        (
            from,
            piece
                .filter_map(|(key, generation)| Some((key.clone(), (*generation)?)))
                .collect(),
        )
    }
}

/// The right to start a stream; given back when dropped, unless the stream was started.
pub struct Permit<'a> {
    quotas: &'a Quotas,
    /// None: there is no limit, or the key was noted already.
    claimed: Option<(KeyIndex, StreamKey)>,
}

impl Quotas {
    /// At most so many active streams for each API key; 0 is no limit.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            max: (max > 0).then_some(max),
            notes: Mutex::default(),
            looked: Mutex::default(),
        }
    }

    /// No code panics while it holds the lock, so that what is behind a poisoned one is whole.
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one of the places of this API key for a stream at this key.
    ///
    /// Errors: `too-many-streams`; the store can't say which streams are still active.
    pub async fn claim(
        &self,
        by: KeyIndex,
        key: &StreamKey,
        store: &SharedStore,
    ) -> Result<Permit<'_>, ApiError> {
        let Some(max) = self.max else {
            return Ok(Permit {
                quotas: self,
                claimed: None,
            });
        };
        if let Some(permit) = self.try_claim(max, by, key) {
            return Ok(permit);
        }
        if self.look_is_due(by) {
            self.forget_inactive(by, store).await?;
        }
        self.try_claim(max, by, key).ok_or_else(|| {
            let text = format!("{max} streams that were started with this API key are active, and there may be no more");
            ApiError::new(ErrorCode::TooManyStreams, text)
        })
    }

    fn try_claim(&self, max: usize, by: KeyIndex, key: &StreamKey) -> Option<Permit<'_>> {
        let mut notes = self.notes();
        let streams = notes.of(by);
        // A stream that replaces one of the same API key needs no other place. If that one is
        // active, there will be no other anyway.
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

    /// Forgets streams that have been finished, have expired, or were replaced. It goes from the
    /// last to the first: what takes the place of a stream that is forgotten was the last, which
    /// has been looked at.
    async fn forget_inactive(&self, by: KeyIndex, store: &SharedStore) -> Result<(), StoreError> {
        let mut end = usize::MAX;
        while end > 0 {
            let (from, piece) = self.notes().piece(by, end);
            end = from;
            let look = |(key, generation): (StreamKey, Generation)| async move {
                match store.info(&key).await {
                    Ok(info) if info.status == Status::Active && info.generation == generation => {
                        Ok(None)
                    }
                    Ok(_) | Err(StoreError::NotFound) => Ok(Some((key, generation))),
                    Err(error) => Err(error),
                }
            };
            let mut looks = stream::iter(piece).map(look).buffer_unordered(LOOK_AHEAD);
            while let Some(gone) = looks.next().await {
                if let Some((key, generation)) = gone? {
                    self.notes().forget(by, &key, Some(generation));
                }
            }
        }
        Ok(())
    }

    /// Whether it is time to look again. Who is refused tries again and again, and each look asks
    /// for every stream.
    fn look_is_due(&self, by: KeyIndex) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = looked
            .get(&by)
            .is_none_or(|looked| looked.elapsed() > PAUSE);
        if due {
            looked.insert(by, Instant::now());
        }
        due
    }
}

impl Permit<'_> {
    /// The stream was started.
    pub fn keep(mut self, by: KeyIndex, key: &StreamKey, generation: Generation) {
        if self.quotas.max.is_some() {
            self.quotas.notes().keep(by, key, generation);
        }
        self.claimed = None;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // Another request may have started it meanwhile; then it is noted with its mark.
        if let Some((by, key)) = self.claimed.take() {
            self.quotas.notes().forget(by, &key, None);
        }
    }
}

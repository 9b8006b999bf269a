//! How many active streams one API key may have started on this node. Which streams are active the store knows; this knows which were
//! started here, and asks the store about them only when there seem to be too many.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};

use crate::{
    auth::api_key::KeyIndex,
    error::{ApiError, ErrorCode},
    event::{Status, StreamKey},
    store::{Birth, SharedStore, StoreError},
};

/// The least time between two looks at the store.
const PAUSE: Duration = Duration::from_secs(1);

/// Streams that are looked at together.
const LOOK_AHEAD: usize = 64;

/// The streams that were started with each API key.
pub struct Quotas {
    /// None: no limit, and nothing is noted.
    max: Option<usize>,
    started: Mutex<HashMap<StreamKey, Started>>,
    looked: Mutex<Option<Instant>>,
}

/// A stream that was started here.
#[derive(Clone, Copy)]
struct Started {
    by: KeyIndex,
    /// None: it is being started.
    birth: Option<Birth>,
}

/// The right to start a stream; given back when dropped, unless the stream was started.
pub struct Permit<'a> {
    quotas: &'a Quotas,
    /// None: there is no limit, or the key was noted already.
    key: Option<StreamKey>,
}

impl Quotas {
    /// At most so many active streams for each API key; 0 is no limit.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max: (max > 0).then_some(max), started: Mutex::default(), looked: Mutex::default() }
    }

    /// No code panics while it holds the lock, so that what is behind a poisoned one is whole.
    fn started(&self) -> MutexGuard<'_, HashMap<StreamKey, Started>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one of the places of this API key for a stream at this key.
    ///
    /// Errors: `too-many-streams`; the store can't say which streams are still active.
    pub async fn claim(&self, by: KeyIndex, key: &StreamKey, store: &SharedStore) -> Result<Permit<'_>, ApiError> {
        let Some(max) = self.max else { return Ok(Permit { quotas: self, key: None }) };
        if let Some(permit) = self.try_claim(max, by, key) {
            return Ok(permit);
        }
        if self.look_is_due() {
            self.forget_inactive(by, store).await?;
        }
        self.try_claim(max, by, key).ok_or_else(|| {
            let text = format!("{max} streams that were started with this API key are active, and there may be no more");
            ApiError::new(ErrorCode::TooManyStreams, text)
        })
    }

    fn try_claim(&self, max: usize, by: KeyIndex, key: &StreamKey) -> Option<Permit<'_>> {
        let mut started = self.started();
        // Whoever replaces a stream of their own needs no other place; if it is active there will be no other stream anyway.
        if started.get(key).is_some_and(|known| known.by == by) {
            return Some(Permit { quotas: self, key: None });
        }
        if started.values().filter(|known| known.by == by).count() >= max {
            return None;
        }
        started.insert(key.clone(), Started { by, birth: None });
        Some(Permit { quotas: self, key: Some(key.clone()) })
    }

    /// Forgets streams that have been finished, have expired, or were replaced.
    async fn forget_inactive(&self, by: KeyIndex, store: &SharedStore) -> Result<(), StoreError> {
        let known: Vec<_> = {
            let started = self.started();
            started.iter().filter(|(_, known)| known.by == by).filter_map(|(key, known)| Some((key.clone(), known.birth?))).collect()
        };
        let look = |(key, birth): (StreamKey, Birth)| async move {
            match store.info(&key).await {
                Ok(info) if info.status == Status::Active && info.birth == birth => Ok(None),
                Ok(_) | Err(StoreError::NotFound) => Ok(Some((key, birth))),
                Err(error) => Err(error),
            }
        };
        let mut looks = stream::iter(known).map(look).buffer_unordered(LOOK_AHEAD);
        while let Some(gone) = looks.next().await {
            if let Some((key, birth)) = gone? {
                let mut started = self.started();
                if started.get(&key).is_some_and(|known| known.birth == Some(birth)) {
                    started.remove(&key);
                }
            }
        }
        Ok(())
    }

    /// Whether it is time to look again. Who is refused tries again and again, and each look asks for every stream.
    fn look_is_due(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = looked.is_none_or(|looked| looked.elapsed() > PAUSE);
        if due {
            *looked = Some(Instant::now());
        }
        due
    }
}

impl Permit<'_> {
    /// The stream was started.
    pub fn keep(mut self, by: KeyIndex, key: &StreamKey, birth: Birth) {
        if self.quotas.max.is_some() {
            self.quotas.started().insert(key.clone(), Started { by, birth: Some(birth) });
        }
        self.key = None;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let mut started = self.quotas.started();
        // Another request may have started it meanwhile.
        if started.get(&key).is_some_and(|known| known.birth.is_none()) {
            started.remove(&key);
        }
    }
}

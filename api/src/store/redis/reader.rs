//! Reads of streams: what both kinds of delivery, and everything above them, need of Redis.

use std::{collections::HashSet, sync::Arc, time::Duration};

use deadpool_redis::redis::{Cmd, Value};
use parking_lot::Mutex;

use super::{
    fan_out,
    keys::Keys,
    primary::Primary,
    replies,
    scripts::{LuaScript, Scripts},
};
use crate::{
    codec::segment::{Part, Segment},
    config::Settings,
    store::{
        PAGE_BYTES, PAGE_ENTRIES, Page, StoreError, StoreFault, StreamInfo,
        resume::{Around, Start, start},
    },
    stream::{EventId, Missed, StreamKey},
    telemetry::metrics::{Operation, SharedMetrics},
};

/// Names of keys of another type that are remembered, so that each is logged once.
const MAX_FOREIGN_KEYS: usize = 1_000;

/// Runs commands and scripts under the broker's prefix, and reads streams with them.
pub(super) struct RedisReader {
    pub(super) prefix: String,
    /// How long Redis may take to answer.
    pub(super) timeout: Duration,
    pub(super) primary: Arc<Primary>,
    pub(super) scripts: Scripts,
    pub(super) metrics: SharedMetrics,
    /// Keys of another type that were logged.
    foreign_keys: Mutex<HashSet<String>>,
}

impl RedisReader {
    /// A reader for the Redis of the settings, which must be made within a runtime. It connects at
    /// the first command, except that Sentinels are asked at once.
    ///
    /// Errors: the URL can't be used.
    pub(super) fn new(
        settings: &Settings,
        metrics: SharedMetrics,
    ) -> Result<Arc<Self>, StoreError> {
        let primary = Primary::find(settings, SharedMetrics::clone(&metrics))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Arc::new(Self {
            prefix: settings.key_prefix.clone(),
            timeout: settings.redis_timeout,
            scripts: Scripts::new(primary.is_cluster()),
            primary,
            metrics,
            foreign_keys: Mutex::default(),
        }))
    }

    pub(super) fn keys(&self, key: &StreamKey) -> Keys {
        Keys::new(&self.prefix, key)
    }

    /// Runs a script.
    pub(super) async fn run(
        &self,
        operation: Operation,
        script: &LuaScript,
        call: &Cmd,
    ) -> Result<Value, StoreError> {
        self.primary
            .run(operation, |mut connection| async move {
                script.run(call, &mut connection).await
            })
            .await
    }

    /// Runs commands that read, each of one key. `None` in the place of a key of another type.
    pub(super) async fn run_all(
        &self,
        operation: Operation,
        commands: Vec<Cmd>,
    ) -> Result<Vec<Option<Value>>, StoreError> {
        fan_out::run_all(&self.primary, operation, commands).await
    }

    /// As `Store::info` has it.
    pub(super) async fn info(&self, key: &StreamKey) -> Result<StreamInfo, StoreError> {
        Ok(self.snapshot(&self.keys(key), None, 0).await?.info)
    }

    /// As `Store::read` has it.
    pub(super) async fn page(
        &self,
        key: &StreamKey,
        cursor: Option<EventId>,
    ) -> Result<Page, StoreError> {
        let keys = self.keys(key);
        let snapshot = self.snapshot(&keys, cursor, PAGE_ENTRIES).await?;
        let around = Around {
            created_ms: snapshot.info.created_ms,
            first: snapshot.info.first,
            last: snapshot.info.last,
            next: snapshot.entries.first().map(|entry| entry.id),
        };
        let (from, missed, snapshot) = match start(cursor, &around) {
            Start::AtCursor(missed) => (cursor, missed, snapshot),
            Start::AtFirst(missed) => {
                let all = self.snapshot(&keys, None, PAGE_ENTRIES).await?;
                // Events that were trimmed between the two reads change which event follows first,
                // and nothing else.
                let missed = Missed {
                    first: all.info.first,
                    ..missed
                };
                (None, Some(missed), all)
            }
        };
        let cursor = snapshot.entries.last().map(|entry| entry.id).or(from);
        let parts = if snapshot.entries.is_empty() {
            Vec::new()
        } else {
            vec![Part::new(Arc::new(Segment::new(snapshot.entries)), 0)]
        };
        Ok(Page {
            key: key.clone(),
            info: snapshot.info,
            missed,
            parts,
            cursor,
            is_read: true,
        })
    }

    async fn snapshot(
        &self,
        keys: &Keys,
        from: Option<EventId>,
        limit: usize,
    ) -> Result<replies::Snapshot, StoreError> {
        let script = &self.scripts.snapshot;
        let mut call = script.call(&[&keys.events, &keys.meta], 256);
        call.arg(from.map_or_else(|| "-".to_owned(), |from| format!("({from}")))
            .arg(limit)
            .arg(PAGE_BYTES);
        let answer = self
            .run(Operation::Snapshot, script, &call)
            .await
            .map_err(|error| self.ignore_wrong_type(&keys.events, error))?;
        replies::snapshot(answer)?.ok_or(StoreError::NotFound)
    }

    /// Reports a key of another type as no stream: it must not fail the other streams of a request.
    pub(super) fn ignore_wrong_type(&self, name: &str, error: StoreError) -> StoreError {
        match error {
            StoreError::Refused {
                fault: StoreFault::WrongType,
                ..
            } => {
                self.log_wrong_type(name);
                StoreError::NotFound
            }
            error => error,
        }
    }

    /// Logs a key of another type, once.
    pub(super) fn log_wrong_type(&self, name: &str) {
        let mut logged = self.foreign_keys.lock();
        if logged.len() < MAX_FOREIGN_KEYS && logged.insert(name.to_owned()) {
            tracing::error!(
                name,
                "Redis holds a key of another type under a name of the broker, which ignores it"
            );
        }
    }
}

//! What scripts do with streams: the work behind the module `broker`.
//!
//! It runs on the runtime of the broker. The connections to a store belong to that runtime: on the
//! thread of the script, a busy hook would stop them.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{runtime::Handle, time::timeout};

use crate::{
    codec::json::time,
    config::{Secret, Settings},
    hooks::{BrokerError, DefaultStream},
    presence::SubscriberCounts,
    store::{SharedStore, StoreError, StreamInfo},
    stream::{EventId, Finish, FinishKind, NewEvent, StreamKey},
    telemetry::metrics::{Outcome, SharedMetrics, Way},
};

/// How long a script waits for the subscriber counts of other nodes.
const PRESENCE_TIMEOUT: Duration = Duration::from_secs(1);

/// The parts of the broker that scripts use. Cheap to clone.
#[derive(Clone)]
pub struct BrokerAccess(Arc<Parts>);

struct Parts {
    runtime: Handle,
    store: SharedStore,
    counts: Arc<SubscriberCounts>,
    metrics: SharedMetrics,
    default_stream: Option<Arc<dyn DefaultStream>>,
    script_data: Secret<String>,
    /// The most bytes of name and data of an event.
    max_event: usize,
    /// The most events of one call.
    max_batch: usize,
}

impl fmt::Debug for BrokerAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerAccess").finish_non_exhaustive()
    }
}

impl BrokerAccess {
    /// Access to these parts. Their work runs on the runtime of the caller.
    ///
    /// # Panics
    /// Outside of an async runtime.
    #[must_use]
    pub fn new(
        settings: &Settings,
        store: SharedStore,
        counts: Arc<SubscriberCounts>,
        metrics: SharedMetrics,
        default_stream: Option<Arc<dyn DefaultStream>>,
    ) -> Self {
        Self(Arc::new(Parts {
            runtime: Handle::current(),
            store,
            counts,
            metrics,
            default_stream,
            script_data: settings.script_data.clone(),
            max_event: settings.max_event,
            max_batch: settings.max_batch,
        }))
    }

    /// The stream to publish to where a script names none.
    pub(super) fn default_stream(&self) -> Option<&Arc<dyn DefaultStream>> {
        self.0.default_stream.as_ref()
    }

    /// The text of `STREAMER_SCRIPT_DATA`.
    pub(super) fn script_data(&self) -> &str {
        self.0.script_data.reveal()
    }

    /// The most bytes of name and data of an event.
    pub(super) fn max_event(&self) -> usize {
        self.0.max_event
    }

    /// The most events of one call.
    pub(super) fn max_batch(&self) -> usize {
        self.0.max_batch
    }

    /// Stores messages in the default stream.
    pub(super) async fn publish_messages(
        &self,
        stream: Arc<dyn DefaultStream>,
        messages: Vec<Value>,
    ) -> Result<Vec<String>, BrokerError> {
        self.run(|_| async move { stream.publish(messages).await })
            .await
    }

    /// Writes events, all or none. They do not go through the hook `publish`.
    pub(super) async fn publish(
        &self,
        key: StreamKey,
        events: Vec<NewEvent>,
    ) -> Result<Vec<EventId>, BrokerError> {
        self.run(|parts| async move {
            let appended = parts.store.append(&key, None, &events, None).await;
            let appended = appended.map_err(at(&key))?;
            let bytes = events.iter().map(NewEvent::weight).sum();
            parts
                .metrics
                .ingest(Way::Batch)
                .write(events.len(), bytes, 0);
            Ok(appended.ids(events.len()).collect())
        })
        .await
    }

    /// Finishes a stream. Returns the id of its last event.
    pub(super) async fn finish(
        &self,
        key: StreamKey,
        finish: Finish,
    ) -> Result<EventId, BrokerError> {
        self.run(|parts| async move {
            let last = parts.store.finish(&key, None, &finish).await;
            let last = last.map_err(at(&key))?;
            parts.metrics.streams.finish(match finish.kind {
                FinishKind::End => Outcome::Ended,
                FinishKind::Cancel => Outcome::Cancelled,
                FinishKind::Fail => Outcome::Failed,
            });
            Ok(last)
        })
        .await
    }

    /// The state of a stream, with the members of `GET /api/stream/info`.
    pub(super) async fn info(&self, key: StreamKey) -> Result<Value, BrokerError> {
        self.run(|parts| async move {
            let info = parts.store.info(&key).await.map_err(at(&key))?;
            Ok(table(&key, &info, parts.counts.of(&key)))
        })
        .await
    }

    /// The subscribers of a stream: on all nodes, and on this one.
    pub(super) async fn subscribers(&self, key: StreamKey) -> Result<(u64, u32), BrokerError> {
        self.run(|parts| async move {
            let elsewhere = parts.store.subscribers_elsewhere(&key);
            let elsewhere = timeout(PRESENCE_TIMEOUT, elsewhere).await;
            let elsewhere = elsewhere
                .map_err(|_| BrokerError::store_unavailable())?
                .map_err(at(&key))?;
            let here = parts.counts.of(&key);
            Ok((elsewhere + u64::from(here), here))
        })
        .await
    }

    /// Runs work on the runtime of the broker. It goes on when the hook gives up: a write that has
    /// begun is not cut off.
    async fn run<T, F>(&self, work: impl FnOnce(Arc<Parts>) -> F) -> Result<T, BrokerError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, BrokerError>> + Send + 'static,
    {
        let work = work(Arc::clone(&self.0));
        let done = self.0.runtime.spawn(work).await;
        done.unwrap_or_else(|error| {
            tracing::error!(%error, "the broker failed a script");
            Err(BrokerError::internal())
        })
    }
}

fn table(key: &StreamKey, info: &StreamInfo, subscribers: u32) -> Value {
    let seconds = info.ttl.as_secs() + u64::from(info.ttl.subsec_nanos() > 0);
    let mut table = json!({
        "key": key,
        "status": info.status.as_str(),
        "generation": info.generation.to_string(),
        "length": info.length,
        "ttl": seconds,
        "first_id": info.first.to_string(),
        "last_id": info.last.to_string(),
        "created_at": time(info.created_ms),
        "stop_requested_at": info.stop_requested_ms.map(time),
        "lease_expires_at": info.deadlines.lease_expires_ms.map(time),
        "stall_expires_at": info.deadlines.stall_expires_ms.map(time),
        "clients": subscribers,
    });
    if let Some(members) = table.as_object_mut() {
        // In Lua, what is not known is not there.
        members.retain(|_, value| !value.is_null());
    }
    table
}

/// The error for an error of the store about the stream at this key.
fn at(key: &StreamKey) -> impl FnOnce(StoreError) -> BrokerError {
    let key = key.clone();
    move |error| {
        let key = key.as_str();
        match error {
            StoreError::NotActive { status } => {
                let why = status.map_or_else(
                    || "there is no stream".to_owned(),
                    |status| format!("the stream there is {}", status.as_str()),
                );
                let message = format!("No active stream at the key {key:?}: {why}");
                BrokerError::new("no-active-stream", message)
            }
            StoreError::NotFound => {
                BrokerError::new("stream-not-found", format!("No stream at the key {key:?}"))
            }
            StoreError::Unavailable(_) | StoreError::Refused { .. } => {
                tracing::warn!(%error, "the store failed a script");
                BrokerError::store_unavailable()
            }
            error => {
                tracing::error!(%error, "the store failed a script");
                BrokerError::internal()
            }
        }
    }
}

//! A stream with its writers, from its creation to its end, and the progress of its subscribers.

use std::{
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::OwnedMutexGuard,
    time::{sleep, timeout},
};

use crate::{
    common::{broker::API_KEY, http_client},
    fleet::{DEADLINE, eventually},
    writer::{Writer, Written},
};

/// Where to reach a stream: the key, and the URLs of nodes or of proxies to them. The URLs may
/// change.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) key: String,
    pub(crate) nodes: Arc<RwLock<Vec<String>>>,
}

impl Endpoint {
    /// The URL of one node, in turn.
    pub(crate) fn node(&self, turn: usize) -> String {
        let nodes = self.nodes.read().expect("no panic under the lock");
        nodes[turn % nodes.len()].clone()
    }
}

/// A stream that writers write to.
pub(crate) struct ActiveStream {
    pub(crate) endpoint: Endpoint,
    pub(crate) writer: Writer,
    /// How many events each of its subscribers has received.
    pub(crate) progress: Vec<Arc<AtomicU64>>,
}

impl ActiveStream {
    /// Creates the stream, and begins to write events of about this many bytes, with this pause
    /// after each batch.
    pub(crate) async fn start(endpoint: Endpoint, ttl: u64, bytes: usize, pause: Duration) -> Self {
        // Redis trims nothing here, so a missing event was lost.
        let stream = json!({"key": endpoint.key, "ttl": ttl, "max_events": 1_000_000});
        let (status, answer) = post(&endpoint.node(0), "/api/stream/", &stream)
            .await
            .expect("an answer");
        assert_eq!(status, 200, "{answer}");
        Self {
            writer: Writer::start(endpoint.clone(), bytes, pause),
            endpoint,
            progress: Vec::new(),
        }
    }

    /// Where one more subscriber stores how many events it has received.
    pub(crate) fn watch(&mut self) -> Arc<AtomicU64> {
        let progress = Arc::default();
        self.progress.push(Arc::clone(&progress));
        progress
    }

    /// Waits until this many new events are acknowledged and have reached every subscriber.
    pub(crate) async fn flows(&self, events: u64) {
        let confirmed = self.writer.confirmed() + events;
        eventually("events are acknowledged", || {
            self.writer.confirmed() >= confirmed
        })
        .await;
        let length = self.writer.length();
        eventually("they reach every subscriber", || {
            self.seen_by_all() >= length
        })
        .await;
    }

    /// The number of events that every subscriber has received.
    pub(crate) fn seen_by_all(&self) -> u64 {
        self.progress
            .iter()
            .map(|seen| seen.load(Ordering::Relaxed))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Waits until a write is acknowledged, or until the writer learns that the stream does not
    /// exist.
    pub(crate) async fn is_answered(&self) {
        let confirmed = self.writer.confirmed();
        eventually("the writer is answered", || {
            self.writer.confirmed() > confirmed || self.writer.is_over()
        })
        .await;
    }

    /// Pauses the writers while the guards are held.
    pub(crate) async fn pause(&self) -> [OwnedMutexGuard<()>; 2] {
        self.writer.pause().await
    }

    /// Ends the stream. Returns what was written, and whether the stream existed until then.
    pub(crate) async fn end(self) -> (Written, bool) {
        let written = self.writer.stop().await;
        let is_ended = written.lost.is_none() && end(&self.endpoint).await;
        (written, is_ended)
    }
}

/// Ends the stream at any node that can. Returns whether the stream existed.
async fn end(endpoint: &Endpoint) -> bool {
    let trying = async {
        let mut unconfirmed = false;
        for turn in 0.. {
            match post(
                &endpoint.node(turn),
                "/api/stream/end",
                &json!({"key": endpoint.key}),
            )
            .await
            {
                Some((200, _)) => return true,
                // An unconfirmed attempt may have ended it.
                Some((404, _)) => return unconfirmed,
                Some((503, _)) | None => unconfirmed = true,
                Some((status, answer)) => panic!("{status}: {answer}"),
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    };
    timeout(DEADLINE, trying)
        .await
        .expect("the stream is ended")
}

/// A backend's request. Returns none where no answer came.
async fn post(node: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let request = http_client()
        .post(format!("{node}{path}"))
        .header("X-API-KEY", API_KEY)
        .body(body.to_string());
    let asking = async {
        let response = request.send().await.ok()?;
        Some((response.status().as_u16(), response.json().await.ok()?))
    };
    timeout(Duration::from_secs(10), asking).await.ok()?
}

//! Writers that record which events were acknowledged. One numbers its events, and sends
//! unconfirmed ones again. The other does neither.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    active_stream::Endpoint,
    common::{broker::API_KEY, http_client, number},
};

/// The timeout of a request, after which the events are sent again.
const ANSWER: Duration = Duration::from_secs(12);

/// The pause before another attempt.
const PAUSE: Duration = Duration::from_millis(25);

/// An acknowledged event: its data, and its id unless the answer reported it as a duplicate.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

/// Everything that was written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// The acknowledged events of those that are sent only once.
    pub(crate) once: Vec<Acknowledged>,
    /// The error code that stopped the writer, if there was one.
    pub(crate) lost: Option<String>,
}

/// Both writers, each in its own task.
pub(crate) struct Writer {
    sequenced: JoinHandle<Written>,
    once: JoinHandle<Vec<Acknowledged>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Locked from the first attempt to write a batch to its confirmation.
    busy: Arc<Mutex<()>>,
    /// The same for the events that are sent only once.
    busy_once: Arc<Mutex<()>>,
    confirmed: AtomicU64,
    refused: AtomicU64,
    /// The number of the newest event with a known id, plus one.
    newest: AtomicU64,
}

impl Writer {
    /// Begins to write events of about this many bytes, with this pause after each batch.
    pub(crate) fn start(endpoint: Endpoint, bytes: usize, pause: Duration) -> Self {
        let shared = Arc::new(Shared::default());
        let sequenced = tokio::spawn(write(endpoint.clone(), bytes, pause, Arc::clone(&shared)));
        let once = tokio::spawn(write_once(endpoint, pause, Arc::clone(&shared)));
        Self {
            sequenced,
            once,
            shared,
        }
    }

    /// How many events were acknowledged.
    pub(crate) fn confirmed(&self) -> u64 {
        self.shared.confirmed.load(Ordering::Relaxed)
    }

    /// The number of answers with status 503.
    pub(crate) fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// The length of the stream after its newest acknowledged event.
    pub(crate) fn length(&self) -> u64 {
        self.shared.newest.load(Ordering::Relaxed)
    }

    /// Whether the writer has stopped because of an error.
    pub(crate) fn is_over(&self) -> bool {
        self.sequenced.is_finished()
    }

    /// Waits until all sent events are confirmed. The writers send nothing while the guards are
    /// held.
    pub(crate) async fn pause(&self) -> [OwnedMutexGuard<()>; 2] {
        let Shared {
            busy, busy_once, ..
        } = &*self.shared;
        [
            Arc::clone(busy).lock_owned().await,
            Arc::clone(busy_once).lock_owned().await,
        ]
    }

    /// Stops when all sent events are confirmed.
    pub(crate) async fn stop(self) -> Written {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.lost().await
    }

    /// Waits until an error stops the writer.
    pub(crate) async fn lost(self) -> Written {
        let written = self.sequenced.await.expect("a writer that did not panic");
        self.shared.stop.store(true, Ordering::Relaxed);
        Written {
            once: self.once.await.expect("a writer that did not panic"),
            ..written
        }
    }
}

/// Sends each event once without a sequence number, whatever the result. Returns the acknowledged
/// events.
async fn write_once(endpoint: Endpoint, pause: Duration, shared: Arc<Shared>) -> Vec<Acknowledged> {
    let http = http_client();
    let mut acknowledged = Vec::new();
    for turn in 0.. {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let busy = Arc::clone(&shared.busy_once).lock_owned().await;
        let data = turn.to_string();
        let body =
            json!({"key": endpoint.key, "events": [{"event": "once", "data": data}]}).to_string();
        let request = http
            .post(format!("{}/api/event/add", endpoint.node(turn)))
            .header("X-API-KEY", API_KEY)
            .body(body);
        if let Ok(Ok((200, answer))) = timeout(ANSWER, async {
            Ok::<_, reqwest::Error>(answer(request.send().await?).await)
        })
        .await
        {
            acknowledged.push(Acknowledged {
                id: Some(answer["ids"][0].as_str().expect("an id").to_owned()),
                data,
            });
        }
        drop(busy);
        sleep(pause).await;
    }
    acknowledged
}

async fn write(endpoint: Endpoint, bytes: usize, pause: Duration, shared: Arc<Shared>) -> Written {
    let http = http_client();
    let mut written = Written::default();
    let padding = ".".repeat(bytes);
    let mut turn = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let busy = Arc::clone(&shared.busy).lock_owned().await;
        let sequence = written.acknowledged.len();
        let data: Vec<String> = (sequence..=sequence + turn % 4)
            .map(|n| format!("{n}{padding}"))
            .collect();
        let events: Vec<Value> = data
            .iter()
            .map(|data| json!({"event": "n", "data": data}))
            .collect();
        let body = json!({
            "key": endpoint.key, "events": events, "producer": "fleet", "sequence": sequence,
        })
        .to_string();
        let answer = loop {
            turn += 1;
            let request = http
                .post(format!("{}/api/event/add", endpoint.node(turn)))
                .header("X-API-KEY", API_KEY)
                .body(body.clone());
            match timeout(ANSWER, async {
                Ok::<_, reqwest::Error>(answer(request.send().await?).await)
            })
            .await
            {
                Ok(Ok((200, answer))) => break answer,
                Ok(Ok((404 | 409, answer))) => {
                    written.lost = Some(answer["code"].as_str().expect("a code").to_owned());
                    return written;
                }
                // An unconfirmed event may or may not be stored, so it is sent again.
                Ok(Ok((503, _))) => _ = shared.refused.fetch_add(1, Ordering::Relaxed),
                // The answer broke off, the connection was refused or lost, or the timeout passed.
                Ok(Ok((0, _)) | Err(_)) | Err(_) => {}
                Ok(Ok((status, answer))) => {
                    panic!("no good writer receives: {status} {answer}")
                }
            }
            sleep(PAUSE).await;
        };
        let ids: Vec<String> = serde_json::from_value(answer["ids"].clone()).expect("ids");
        let duplicates = data.len() - ids.len();
        assert_eq!(answer["num_duplicates"], duplicates);
        if let Some(id) = ids.last() {
            shared.newest.store(number(id) + 1, Ordering::Relaxed);
        }
        shared
            .confirmed
            .fetch_add(data.len() as u64, Ordering::Relaxed);
        let ids = std::iter::repeat_n(None, duplicates).chain(ids.into_iter().map(Some));
        written
            .acknowledged
            .extend(ids.zip(data).map(|(id, data)| Acknowledged { id, data }));
        drop(busy);
        sleep(pause).await;
    }
    written
}

/// The status and the body. The status is 0 where the body broke off.
async fn answer(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    match response.json().await {
        Ok(body) => (status, body),
        Err(_) => (0, Value::Null),
    }
}

//! The promises of `docs/reference/limits.md`: peers take bounded memory, also when they do not
//! read, send without end, or connect in large numbers.

mod requests;
mod subscriptions;

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::{sleep, timeout},
};

use crate::common::{
    Broker, Kind, broker,
    broker::{API_KEY, NOISE_KB, answer},
    raw::Raw,
    until, within,
};

/// Runs the future, and measures the largest growth of the broker's memory meanwhile, in KiB.
async fn growth<T>(broker: &Broker, what: impl Future<Output = T>) -> (T, u64) {
    let (before, mut most) = (broker.resident_kb(), 0_u64);
    let mut what = std::pin::pin!(what);
    loop {
        match timeout(Duration::from_millis(5), &mut what).await {
            Ok(result) => return (result, most.saturating_sub(before)),
            Err(_) => most = most.max(broker.resident_kb()),
        }
    }
}

/// A peer that sends the same request repeatedly on one connection with a small buffer, and reads
/// no response.
async fn greedy(broker: &Broker, head: &str, body: &str, requests: usize) -> Raw {
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: x\r\nX-API-KEY: {API_KEY}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    unreading(broker, &request, requests).await
}

/// A peer with a small buffer that sends these bytes so many times, and reads nothing.
async fn unreading(broker: &Broker, request: &str, requests: usize) -> Raw {
    let address = broker.url.strip_prefix("http://").unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let (from, mut to) = within(socket.connect(address.parse().unwrap()))
        .await
        .unwrap()
        .into_split();
    let sent = async {
        for _ in 0..requests {
            let _ = to.write_all(request.as_bytes()).await;
        }
    };
    // Where the broker stops reading, the rest stays unsent.
    let _ = timeout(Duration::from_secs(2), sent).await;
    Raw { from, to }
}

/// Peers repeat one request and read nothing. The broker's memory grows by less than this limit,
/// and the broker still answers.
async fn unread(broker: &Broker, path: &str, peers: usize, most_kb: u64) {
    let asked = async {
        let head = format!("GET {path}");
        let peers = join_all((0..peers).map(|_| greedy(broker, &head, "", 300))).await;
        sleep(Duration::from_secs(1)).await;
        peers
    };
    let (peers, grown) = growth(broker, asked).await;
    assert!(grown < most_kb, "{path}: {grown} kB");
    assert_eq!(
        within(broker.request(Method::GET, "/api/health").send())
            .await
            .unwrap()
            .status(),
        200
    );
    drop(peers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_files_are_shared_or_sent_in_pieces() {
    let broker = broker(Kind::Memory).set("CONSOLE", "on").start().await;
    for path in [
        "/api/openapi.json",
        "/api/docs/vendor/swagger-ui-bundle.js",
        "/api/docs/",
        "/",
        "/api/health",
    ] {
        unread(&broker, path, 30, NOISE_KB).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_metrics_and_lists_hold_one_response_per_connection() {
    let broker = broker(Kind::Memory)
        .set("CLIENT_TIMEOUT", 3)
        .set("MAX_CLIENTS", 200)
        .start()
        .await;
    let access = broker.create("chat").await;
    for n in 0..1000 {
        broker.create(&format!("{n}-{}", "k".repeat(200))).await;
    }
    let tags = vec!["t".repeat(60); 16].join(",");
    let path = format!("/api/client/sse?key=chat&token={access}&tags={tags}");
    let mut subscribers = Vec::new();
    for _ in 0..100 {
        subscribers.push(Raw::ask(&broker, &path, "").await);
    }
    for path in ["/metrics", "/api/stream", "/api/clients"] {
        // One list has about 300 kB here. The broker holds up to two copies while it builds the
        // list.
        unread(&broker, path, 30, NOISE_KB + 30 * 600).await;
    }
    // The broker freed the memory that the peers did not read, so others can be served.
    let free = async || answer(broker.request(Method::GET, "/api/stream")).await.0 == 200;
    until("a list is answered", free).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_answers_to_batches_and_uploads_hold_one_response_per_connection() {
    let broker = broker(Kind::Memory).set("CLIENT_TIMEOUT", 3).start().await;
    broker
        .create_with(json!({"key": "chat", "max_events": 10}))
        .await;
    let event = r#"{"event":"a"}"#;
    let batch = format!(
        r#"{{"key":"chat","events":[{}]}}"#,
        vec![event; 10_000].join(",")
    );
    let upload = vec![event; 10_000].join("\n");
    for (path, body) in [
        ("/api/event/add", batch),
        ("/api/event/add/json-stream?key=chat", upload),
    ] {
        let head = format!("POST {path}");
        let (peers, grown) = growth(
            &broker,
            join_all((0..30).map(|_| greedy(&broker, &head, &body, 100))),
        )
        .await;
        // Each of the 10,000 ids takes some 25 bytes as text. The event and its id are in memory
        // before that.
        assert!(grown < NOISE_KB + 30 * 2_500, "{path}: {grown} kB");
        drop(peers);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_poll_that_reads_nothing_of_a_large_response_is_disconnected() {
    let broker = broker(Kind::Memory)
        .set("CLIENT_TIMEOUT", 3)
        .set("MAX_CLIENTS", 20)
        .start()
        .await;
    let access = broker.create("chat").await;
    let id = broker.add("chat", json!([{"event": "a"}])).await.remove(0);
    let path = format!("/api/client/poll?key=chat&token={access}&after={id}");
    let mut peers = Vec::new();
    for _ in 0..12 {
        peers.push(Raw::ask(&broker, &path, "").await);
    }
    until("all wait", async || broker.permits_in_use().await == 12).await;
    let written = async {
        broker
            .add(
                "chat",
                json!([{"event": "big", "data": "\0".repeat(1_000_000)}]),
            )
            .await;
        until("the permits are free", async || {
            broker.permits_in_use().await == 0
        })
        .await;
    };
    let ((), grown) = growth(&broker, written).await;
    assert!(grown < 12 * 15_000 + NOISE_KB, "{grown} kB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_responses_are_refused_until_a_permit_is_free() {
    let broker = broker(Kind::Memory).start().await;
    broker
        .create_with(json!({"key": "chat", "max_events": 10_000}))
        .await;
    for _ in 0..10 {
        broker
            .add(
                "chat",
                json!([{"event": "big", "data": "\0".repeat(1_000_000)}]),
            )
            .await;
    }
    let path = "/api/stream/events?key=chat";
    let mut peers = Vec::new();
    for _ in 0..64 {
        let mut peer = Raw::ask(&broker, path, "").await;
        // Its response has begun.
        assert_eq!(within(peer.from.read_u8()).await.unwrap(), b'H');
        peers.push(peer);
    }
    for path in [path, "/api/stream", "/api/clients"] {
        let response = within(broker.request(Method::GET, path).send())
            .await
            .unwrap();
        assert_eq!(response.status(), 429, "{path}");
        assert!(response.headers().contains_key("retry-after"));
        assert!(response.text().await.unwrap().contains("too-many-clients"));
    }
    drop(peers.pop());
    until("a permit is free", async || {
        answer(broker.request(Method::GET, "/api/clients")).await.0 == 200
    })
    .await;
}

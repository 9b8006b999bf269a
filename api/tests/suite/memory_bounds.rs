//! The promises of `docs/limits.md`: peers take bounded memory, also when they do not read, send
//! without end, or connect in large numbers.

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
    Broker, Kind, assert_contiguous, broker,
    broker::{API_KEY, answer},
    raw::{Raw, frame},
    redis::Redis,
    subscriber::token,
    until, within,
};

/// How much resident memory varies for other reasons, in KiB.
const NOISE_KB: u64 = 30_000;

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
    let address = broker.url.strip_prefix("http://").unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let (from, mut to) = within(socket.connect(address.parse().unwrap()))
        .await
        .unwrap()
        .into_split();
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: x\r\nX-API-KEY: {API_KEY}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
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
        "/api/docs/swagger-ui-bundle.js",
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_in_a_body_take_bounded_memory() {
    let broker = broker(Kind::Memory).start().await;
    broker.create("chat").await;
    let many = |value: &str, count| vec![value; count].join(",");
    let events = format!(
        r#"{{"key":"chat","events":[{}]}}"#,
        many(r#"{"event":"a"}"#, 1_000_000)
    );
    let keys = format!(r#"{{"keys":[{}]}}"#, many(r#""""#, 5_000_000));
    for (path, body, status) in [
        ("/api/event/add", events, 413),
        ("/api/stream/token", keys, 400),
    ] {
        let sent = async {
            within(broker.request(Method::POST, path).body(body).send())
                .await
                .unwrap()
                .status()
        };
        let (answered, grown) = growth(&broker, sent).await;
        assert_eq!(answered, status, "{path}");
        // The body itself is in memory up to twice, while its buffer grows.
        assert!(grown < 2 * 16_384 + NOISE_KB, "{path}: {grown} kB");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incomplete_bodies_hold_only_their_received_bytes_until_the_body_timeout() {
    let broker = broker(Kind::Memory).set("BODY_TIMEOUT", 2).start().await;
    broker.create("chat").await;
    let mut peers = Vec::new();
    for _ in 0..10 {
        let head = "Content-Length: 16000000\r\n\r\n";
        let mut peer = Raw::begin(&broker, "POST", "/api/event/add", head).await;
        peer.send(&vec![b' '; 4 << 20]).await;
        peers.push(peer);
    }
    for peer in &mut peers {
        let mut head = [0; 12];
        within(peer.from.read_exact(&mut head)).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 408");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_line_and_an_endless_message_take_bounded_memory() {
    let broker = broker(Kind::Memory).start().await;
    broker.create("chat").await;
    let mut upload = Raw::begin(
        &broker,
        "POST",
        "/api/event/add/json-stream?key=chat",
        "Transfer-Encoding: chunked\r\n\r\n",
    )
    .await;
    let piece = [b"10000\r\n".as_slice(), &*vec![b'x'; 0x10000], b"\r\n"].concat();
    let line = async {
        for _ in 0..3_000 {
            upload.send(&piece).await;
        }
        upload.send(b"1\r\n\n\r\n0\r\n\r\n").await;
        let mut text = Vec::new();
        while !text.ends_with(b"}") {
            assert_ne!(within(upload.from.read_buf(&mut text)).await.unwrap(), 0);
        }
        String::from_utf8(text).unwrap()
    };
    let (text, grown) = growth(&broker, line).await;
    assert!(
        text.contains("line 1: longer than") && text.contains(r#""num_errors":1"#),
        "{text}"
    );
    assert!(grown < NOISE_KB, "a line: {grown} kB");
    // Fragments of a message that never ends. The limit is 4 × MAX_LINE.
    let mut socket = Raw::web_socket(&broker, "/api/event/add/ws-stream?key=chat").await;
    let message = async {
        let _ = socket.to.write_all(&frame(0x01, &vec![b' '; 60_000])).await;
        for _ in 0..3_000 {
            if socket
                .to
                .write_all(&frame(0x00, &vec![b' '; 60_000]))
                .await
                .is_err()
            {
                break;
            }
        }
    };
    let ((), grown) = growth(&broker, async { within(message).await }).await;
    assert!(grown < NOISE_KB, "a message: {grown} kB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_request_head_takes_bounded_memory() {
    let broker = broker(Kind::Memory).start().await;
    let heads = join_all((0..10).map(async |_| {
        let mut peer = Raw::begin(&broker, "GET", "/api/health", "X-Long: ").await;
        // The peer ends the line of each header, or it does not.
        let _ = timeout(
            Duration::from_secs(2),
            peer.to.write_all(&vec![b'x'; 20 << 20]),
        )
        .await;
        peer
    }));
    let (_, grown) = growth(&broker, heads).await;
    assert!(grown < NOISE_KB, "{grown} kB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_that_wait_for_admission_hold_no_history() {
    for (limit, transport) in [
        ("MAX_CLIENTS", "sse"),
        ("MAX_CLIENTS_PER_STREAM", "ndjson"),
        ("MAX_CLIENTS_PER_ADDRESS", "sse"),
    ] {
        let broker = broker(Kind::Shared).set(limit, 1).start().await;
        let access = broker
            .create_with(json!({"key": "chat", "max_events": 10_000}))
            .await;
        for _ in 0..4 {
            broker
                .add(
                    "chat",
                    json!([{"event": "big", "data": "x".repeat(1_000_000)}]),
                )
                .await;
        }
        let taken = broker.ws("chat", &access, None).await;
        let url = broker.subscribe_url(transport, "chat", &access, None);
        let wait = join_all((0..100).map(|_| broker.http.get(&url).send()));
        let (answers, grown) = growth(&broker, async { within(wait).await }).await;
        assert!(
            answers
                .into_iter()
                .all(|answer| answer.unwrap().status() == 429),
            "{limit}"
        );
        assert!(grown < NOISE_KB, "{limit}: {grown} kB");
        drop(taken);
        // A subscriber that is admitted receives the whole history.
        until("the permit is free", async || {
            broker.permits_in_use().await == 0
        })
        .await;
        let mut subscriber = broker.sse("chat", &access, None).await;
        for name in ["start", "big", "big", "big", "big"] {
            assert_eq!(subscriber.next().await.unwrap().event, name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn awaited_streams_are_forgotten_when_their_subscribers_leave() {
    let broker = broker(Kind::Memory)
        .set("MAX_KEYS_PER_CLIENT", 256)
        .set("MAX_CLIENTS", 40)
        .start()
        .await;
    let token = token(&broker, json!({"prefix": "p"})).await;
    let ask = async |range: std::ops::Range<u32>| {
        let keys: Vec<String> = range
            .map(|n| format!("key=p{n}{}", "k".repeat(200)))
            .collect();
        let path = format!(
            "/api/client/poll?wait=true&wait=1&token={token}&{}",
            keys.join("&")
        );
        assert_eq!(
            within(broker.request(Method::GET, &path).send())
                .await
                .unwrap()
                .status(),
            200
        );
    };
    let crowd = async |round: u32| {
        _ = join_all((round * 40..round * 40 + 40).map(|n| ask(n * 200..n * 200 + 200))).await;
    };
    crowd(0).await;
    let waited = async {
        for round in 1..=10 {
            crowd(round).await;
        }
    };
    let ((), grown) = growth(&broker, waited).await;
    assert!(
        grown < NOISE_KB,
        "80,000 keys were waited for, and {grown} kB stayed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_topics_are_dropped_while_there_is_no_subscription() {
    let redis = Redis::start(&[]);
    redis.cli(&["acl", "setuser", "default", "resetchannels"]);
    let broker = broker(Kind::Shared)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    for n in 0..20 {
        let key = format!("chat {n}");
        let token = broker.create(&key).await;
        broker.sse(&key, &token, None).await.next().await;
    }
    until("the topics are dropped", async || {
        broker.metrics().await.get("redis_topics") == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ring_of_a_followed_stream_keeps_only_its_newest_events() {
    let broker = broker(Kind::Shared).set("MAX_EVENTS", 10).start().await;
    let mut readers = Vec::new();
    for n in 0..30 {
        let key = format!("chat {n}");
        let mut subscriber = broker.sse(&key, &broker.create(&key).await, None).await;
        assert_eq!(subscriber.next().await.unwrap().event, "start");
        readers.push((key, subscriber));
    }
    let written = join_all(readers.iter_mut().map(async |(key, subscriber)| {
        for _ in 0..60 {
            broker
                .add(key, json!([{"event": "n", "data": "x".repeat(50_000)}]))
                .await;
            assert_eq!(within(subscriber.next()).await.unwrap().event, "n");
        }
    }));
    let (_, grown) = growth(&broker, written).await;
    // The stream carried 90 MB. A ring of 256 KiB has room for two of these events.
    assert!(grown < NOISE_KB + 30 * 256, "{grown} kB");
}

async fn a_page_of_large_events_takes_no_more_memory_than_one_of_small_events(kind: Kind) {
    let broker = broker(kind).start().await;
    let access = broker
        .create_with(json!({"key": "chat", "max_events": 10_000}))
        .await;
    for _ in 0..40 {
        broker
            .add(
                "chat",
                json!([{"event": "big", "data": "x".repeat(1_000_000)}]),
            )
            .await;
    }
    let paths = [
        format!("/api/client/sse?key=chat&token={access}"),
        "/api/stream/events?key=chat".to_owned(),
    ];
    for path in paths {
        let unread = async {
            let peers = join_all((0..10).map(|_| Raw::ask(&broker, &path, ""))).await;
            sleep(Duration::from_secs(3)).await;
            peers
        };
        let (_, grown) = growth(&broker, unread).await;
        // A page as it comes from Redis, decoded, and encoded.
        assert!(grown < NOISE_KB + 10 * 8_000, "{path}: {grown} kB");
    }
    // No event is missing when all pages are read.
    let (_, events) = broker.get("/api/stream/events?key=chat").await;
    let ids: Vec<_> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 41);
    assert_contiguous(ids, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_large_events_takes_no_more_memory_than_one_of_small_events_in_exclusive() {
    a_page_of_large_events_takes_no_more_memory_than_one_of_small_events(Kind::Exclusive).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_large_events_takes_no_more_memory_than_one_of_small_events_in_shared() {
    a_page_of_large_events_takes_no_more_memory_than_one_of_small_events(Kind::Shared).await;
}

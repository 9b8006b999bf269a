//! Subscribers, and the streams that they follow, take bounded memory.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::time::sleep;

use super::{greedy, growth, unreading};
use crate::common::{
    Kind, assert_contiguous, broker,
    broker::{API_KEY, NOISE_KB},
    raw::Raw,
    redis::Redis,
    subscriber::token,
    until, within,
};

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
        "80,000 keys were awaited, and {grown} kB remained"
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
    // Redis may be slow on a busy machine, which is not what this test is about.
    let broker = broker(kind).set("REDIS_TIMEOUT", 60).start().await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joined_events_that_nobody_reads_take_bounded_memory() {
    const PEERS: usize = 40;
    let broker = broker(Kind::Memory).set("MAX_CLIENTS", "100").start().await;
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 100_000}))
        .await;
    let events = vec![json!({"event": "t", "data": "x".repeat(10_000)}); 200];
    for _ in 0..10 {
        broker.add("chat", json!(events)).await;
    }
    let path = format!("/api/client/sse?key=chat&token={token}&rollup=t");
    let read_nothing = async {
        let head = format!("GET {path}");
        let peers = join_all((0..PEERS).map(|_| greedy(&broker, &head, "", 1))).await;
        sleep(Duration::from_secs(1)).await;
        peers
    };
    let (peers, grown) = growth(&broker, read_nothing).await;
    // A page, the frame that is joined meanwhile, and its bytes. Each stream has 20 MB.
    assert!(grown < PEERS as u64 * 5_000 + NOISE_KB, "{grown} kB");
    drop(peers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producers_that_read_no_signals_take_bounded_memory() {
    const PRODUCERS: u64 = 12;
    let broker = broker(Kind::Memory)
        .set("MAX_PRODUCERS", PRODUCERS)
        .start()
        .await;
    broker.create("chat").await;
    let request = format!(
        "GET /api/stream/signals?key=chat HTTP/1.1\r\nHost: x\r\nX-API-KEY: {API_KEY}\r\n\
         Accept: text/event-stream\r\n\r\n"
    );
    let mut producers = Vec::new();
    for _ in 0..PRODUCERS {
        producers.push(unreading(&broker, &request, 1).await);
    }
    let waiting = async |count| {
        until("so many wait", async || {
            broker.metrics().await.get("waiting_producers") == count
        })
        .await;
    };
    waiting(PRODUCERS).await;
    let signalled = async {
        let signal = json!({"name": "steer", "data": "x".repeat(16_000)});
        for _ in 0..60 {
            let path = "/api/client/signal?key=chat";
            let (status, answer) = broker.post(path, signal.clone()).await;
            assert_eq!(status, 200, "{answer}");
        }
        // They wait no longer than their stream is active.
        broker.end("chat").await;
        waiting(0).await;
    };
    let ((), grown) = growth(&broker, signalled).await;
    assert!(grown < PRODUCERS * 1_000 + NOISE_KB, "{grown} kB");
}

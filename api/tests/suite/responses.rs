//! The broker bounds the size of every response that it builds whole, also when the caller does not
//! read it. What does not fit into one response comes with the next.

use std::{collections::BTreeMap, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, time::sleep};

use crate::common::{
    Broker, Kind, assert_contiguous, broker,
    keys::together,
    number,
    raw::Raw,
    subscriber::{encoded, token, with_keys},
    until, within,
};

/// Creates a stream with events of one megabyte each. As JSON each has six megabytes, which is more
/// than sockets hold. Returns a token.
async fn big_events(broker: &Broker, count: usize) -> String {
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 10_000}))
        .await;
    for _ in 0..count {
        broker
            .add(
                "chat",
                json!([{"event": "big", "data": "\0".repeat(1_000_000)}]),
            )
            .await;
    }
    token
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_responses_are_bounded_and_dropped() {
    let broker = broker(Kind::Memory).set("CLIENT_TIMEOUT", 3).start().await;
    let token = big_events(&broker, 40).await;
    let poll = format!("/api/client/poll?key=chat&token={token}");
    for (path, gauge) in [
        (poll.as_str(), true),
        ("/api/stream/events?key=chat", false),
    ] {
        let before = broker.resident_kb();
        let mut peers = Vec::new();
        for _ in 0..12 {
            peers.push(Raw::ask(&broker, path, "").await);
        }
        sleep(Duration::from_secs(1)).await;
        let grown = broker.resident_kb().saturating_sub(before);
        assert!(grown < 12 * 15_000 + 60_000, "{path}: {grown} kB");
        if gauge {
            until("the permits are free", || async {
                broker.permits_in_use().await == 0
            })
            .await;
        }
        // The broker breaks off an abandoned response: neither the JSON nor the chunked body is
        // complete.
        for Raw { mut from, .. } in peers {
            let mut rest = Vec::new();
            if path == poll {
                // The response announced its length, and the connection closes before that.
                let _ = within(from.read_to_end(&mut rest)).await;
                assert!(!rest.ends_with(b"}"), "{path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_holds_a_permit_while_it_reads_a_large_response() {
    let broker = broker(Kind::Memory).set("MAX_CLIENTS", 1).start().await;
    let token = big_events(&broker, 1).await;
    let path = format!("/api/client/poll?key=chat&token={token}");
    let unread = Raw::ask(&broker, &path, "").await;
    until("it holds a permit", || async {
        broker.permits_in_use().await == 1
    })
    .await;
    let (status, error) = broker.get(&path).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (429, &json!("too-many-clients"))
    );
    drop(unread);
    until("its permit is free", || async {
        broker.permits_in_use().await == 0
    })
    .await;
    let (status, page) = broker.get(&path).await;
    assert_eq!(
        (status.as_u16(), page["events"].as_array().unwrap().len()),
        (200, 2)
    );
    until("its permit is free", || async {
        broker.permits_in_use().await == 0
    })
    .await;
}

async fn polls_of_bounded_size_deliver_a_history_exactly(broker: Broker) {
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 10_000}))
        .await;
    // One event larger than a page, many small ones in one batch, and some that add up.
    let large = "\u{1}".repeat(900_000);
    broker
        .add(
            "chat",
            json!([{"event": "small"}, {"event": "big", "data": large}]),
        )
        .await;
    let batch: Vec<_> = (0..1300)
        .map(|n| json!({"event": if n % 2 == 0 { "small" } else { "odd" }, "data": n.to_string()}))
        .collect();
    broker.add("chat", json!(batch)).await;
    broker
        .add(
            "chat",
            json!(
                (0..8)
                    .map(|_| json!({"event": "big", "data": "y".repeat(300_000)}))
                    .collect::<Vec<_>>()
            ),
        )
        .await;
    for is_finished in [false, true] {
        if is_finished {
            broker.end("chat").await;
        }
        for filter in ["", "&events=small,end"] {
            let (mut after, mut ids, mut pages) = (String::new(), Vec::new(), 0);
            loop {
                let path = format!("/api/client/poll?key=chat&token={token}&wait=0{filter}{after}");
                let response = within(broker.request(Method::GET, &path).send())
                    .await
                    .unwrap();
                let tag = response.headers().get("etag").cloned();
                let text = within(response.text()).await.unwrap();
                assert!(text.len() < 1_050_000 + 6 * 900_000, "{}", text.len());
                if let Some(tag) = tag {
                    let again = broker
                        .request(Method::GET, &path)
                        .header("If-None-Match", tag);
                    assert_eq!(
                        within(again.send()).await.unwrap().status(),
                        304,
                        "the same each time"
                    );
                }
                let page: Value = serde_json::from_str(&text).unwrap();
                let events = page["events"].as_array().unwrap();
                assert!(events.len() <= 512);
                ids.extend(
                    events
                        .iter()
                        .map(|event| event["id"].as_str().unwrap().to_owned()),
                );
                pages += 1;
                let cursor = page["cursor"].as_str().unwrap();
                let next = format!("&after={}", encoded(cursor));
                let is_over = if is_finished {
                    page["status"] == "ended"
                } else {
                    events.is_empty() && next == after
                };
                after = next;
                if is_over {
                    break;
                }
            }
            let count = 1 + 2 + 1300 + 8 + usize::from(is_finished);
            if filter.is_empty() {
                assert_eq!(ids.len(), count);
                assert_contiguous(ids.iter().map(String::as_str), 0);
            } else {
                // `start` is always delivered.
                assert_eq!(ids.len(), 2 + 650 + usize::from(is_finished));
                assert!(
                    ids.windows(2)
                        .all(|pair| number(&pair[0]) < number(&pair[1]))
                );
            }
            assert!(pages > 3 || !filter.is_empty(), "{pages}");
        }
    }
}

async fn a_cut_response_over_two_streams_resumes_exactly(broker: Broker) {
    let keys = together(broker.kind, ["a", "b"]);
    for key in &keys {
        broker
            .create_with(json!({"key": key, "max_events": 10_000}))
            .await;
        broker
            .add(
                key,
                json!(
                    (0..900)
                        .map(|n| json!({"event": "n", "data": n.to_string()}))
                        .collect::<Vec<_>>()
                ),
            )
            .await;
        broker.end(key).await;
    }
    let token = token(&broker, json!({ "keys": keys })).await;
    let (mut after, mut ids) = (String::new(), BTreeMap::<String, Vec<String>>::new());
    loop {
        let path = format!(
            "/api/client/poll?token={token}&wait=0{}{after}",
            with_keys(&keys)
        );
        let (status, page) = broker.get(&path).await;
        assert_eq!(status, 200, "{page}");
        for event in page["events"].as_array().unwrap() {
            ids.entry(event["key"].as_str().unwrap().to_owned())
                .or_default()
                .push(event["id"].as_str().unwrap().to_owned());
        }
        if page["status"] == "ended" {
            break;
        }
        after = format!("&after={}", encoded(page["cursor"].as_str().unwrap()));
    }
    for key in &keys {
        assert_eq!(ids[key].len(), 902);
        assert_contiguous(ids[key].iter().map(String::as_str), 0);
    }
}

on_every_store!(
    polls_of_bounded_size_deliver_a_history_exactly,
    a_cut_response_over_two_streams_resumes_exactly
);

/// Subscribers read nothing, in several rounds. The connection of a subscriber that the broker gave
/// up stays open, because the broker does not end it. The memory for its data is freed.
async fn a_subscriber_that_reads_nothing_is_disconnected(kind: Kind) {
    const PEERS: usize = 10;
    let broker = broker(kind)
        .set("CLIENT_TIMEOUT", 2)
        .set("MAX_CLIENTS", PEERS)
        .start()
        .await;
    let token = big_events(&broker, 4).await;
    let mut peers = Vec::new();
    let before = broker.resident_kb();
    for transport in ["ndjson", "sse", "ndjson", "sse", "ndjson", "ndjson"] {
        let path = format!("/api/client/{transport}?key=chat&token={token}");
        for _ in 0..PEERS {
            peers.push(Raw::ask(&broker, &path, "").await);
        }
        // Each subscriber holds its permit when its response begins.
        for peer in peers.iter_mut().rev().take(PEERS) {
            within(peer.from.read_u8()).await.unwrap();
        }
        until("all sessions have ended", || async {
            broker.permits_in_use().await == 0
        })
        .await;
    }
    // If the broker kept the data, this would be more than sixty times six megabytes. The memory of
    // one round stays with the process.
    let grown = broker.resident_kb().saturating_sub(before);
    assert!(grown < 250_000, "{grown} kB stay for {} peers", peers.len());
    // A subscriber that reads at last gets a part of an event, and then the end.
    let Raw { mut from, .. } = peers.remove(0);
    let (mut rest, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    while !rest.ends_with(b"\r\n0\r\n\r\n") {
        match within(from.read(&mut buffer)).await {
            Ok(0) | Err(_) => break,
            Ok(count) => rest.extend_from_slice(&buffer[..count]),
        }
    }
    assert!(rest.len() < 6_000_000, "{} bytes", rest.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_reads_nothing_is_disconnected_in_memory() {
    a_subscriber_that_reads_nothing_is_disconnected(Kind::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_reads_nothing_is_disconnected_in_shared() {
    a_subscriber_that_reads_nothing_is_disconnected(Kind::Shared).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_reads_nothing_is_disconnected_in_exclusive() {
    a_subscriber_that_reads_nothing_is_disconnected(Kind::Exclusive).await;
}

//! Many nodes on one Redis: each serves any request, whatever its delivery.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::sync::RwLock;

use crate::common::{Broker, Kind, assert_contiguous, broker, broker::Setup, sse::ids};

fn on_the_same_redis(kind: Kind, as_this: &Broker) -> Setup {
    broker(kind).set("KEY_PREFIX", as_this.prefix())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_deliver_what_one_node_writes() {
    let one = broker(Kind::Shared).start().await;
    let two = on_the_same_redis(Kind::Exclusive, &one).start().await;
    let three = on_the_same_redis(Kind::Shared, &one).start().await;
    let nodes = [&one, &two, &three];
    for round in 0..3 {
        let key = format!("chat-{round}");
        let token = nodes[round].create(&key).await;
        let mut subscribers = Vec::new();
        for node in nodes {
            subscribers.push(node.sse(&key, &token, None).await);
            subscribers.push(node.sse(&key, &token, None).await);
        }
        for n in 0..60 {
            nodes[n % 3].add_events(&key, n as u64, 2).await;
        }
        nodes[(round + 1) % 3].end(&key).await;
        for subscriber in subscribers {
            let events = subscriber.rest().await;
            assert_contiguous(ids(&events), 0);
            assert_eq!(events.len(), 122);
        }
    }
}

/// Nodes are replaced one after the other by nodes of the other delivery, while writers write and
/// subscribers read.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_nodes_restart_in_turn_under_load() {
    let first = broker(Kind::Shared).set("SHUTDOWN_GRACE", 3).start().await;
    let setup = |kind: Kind| {
        broker(kind)
            .set("KEY_PREFIX", first.prefix())
            .set("SHUTDOWN_GRACE", 3)
    };
    let others = [setup(Kind::Exclusive), setup(Kind::Shared)];
    let replacements = [
        setup(Kind::Exclusive),
        setup(Kind::Shared),
        setup(Kind::Exclusive),
    ];
    let token = first
        .create_with(json!({"key": "chat", "max_events": 100_000}))
        .await;
    let mut nodes = vec![Arc::new(first)];
    for other in others {
        nodes.push(Arc::new(other.start().await));
    }
    let nodes = Arc::new(RwLock::new(nodes));
    let stop = Arc::new(AtomicBool::new(false));

    let writer = {
        let (nodes, stop) = (Arc::clone(&nodes), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut acknowledged = 0;
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let node = Arc::clone(&nodes.read().await[n % 3]);
                let events = json!({"key": "chat", "events": [{"event": "n"}, {"event": "n"}]});
                // Writers leave a stopped node for the next one. Unconfirmed events are not
                // counted.
                let sent = node
                    .request(reqwest::Method::POST, "/api/event/add")
                    .body(events.to_string())
                    .send()
                    .await;
                acknowledged += if sent.is_ok_and(|answer| answer.status() == 200) {
                    2
                } else {
                    0
                };
                drop(node);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            acknowledged
        })
    };
    let readers: Vec<_> = (0..6_usize)
        .map(|reader| {
            let (nodes, token) = (Arc::clone(&nodes), token.clone());
            tokio::spawn(async move {
                let mut seen: Vec<eventsource_stream::Event> = Vec::new();
                for turn in reader.. {
                    let node = Arc::clone(&nodes.read().await[turn % 3]);
                    let url = node.subscribe_url(
                        "sse",
                        "chat",
                        &token,
                        seen.last().map(|event| event.id.as_str()),
                    );
                    let http = node.http.clone();
                    drop(node);
                    match http.get(url).send().await {
                        Ok(response) if response.status() == 204 => return seen,
                        Ok(response) if response.status() == 200 => {
                            seen.extend(crate::common::sse::Sse::new(response).rest().await);
                        }
                        _ => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                    if seen.last().is_some_and(|event| event.event == "end") {
                        return seen;
                    }
                }
                seen
            })
        })
        .collect();

    for (turn, replacement) in replacements.into_iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let replacement = Arc::new(replacement.start().await);
        let old = std::mem::replace(&mut nodes.write().await[turn], replacement);
        old.signal("-TERM").await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    let acknowledged = writer.await.unwrap();
    let last = Arc::clone(&nodes.read().await[0]);
    last.end("chat").await;
    for reader in readers {
        let seen = crate::common::within(reader).await.unwrap();
        assert_contiguous(ids(&seen), 0);
        assert!(seen.iter().all(|event| event.event != "missedevents"));
        assert!(
            seen.len() >= acknowledged + 2,
            "{} of {acknowledged}",
            seen.len()
        );
    }
}

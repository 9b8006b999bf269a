//! The position of a subscriber whose filter excludes events.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::common::{
    Kind, broker,
    subscriber::{Outcome, Subscriber, Transport, token},
    until,
};

async fn filtered_events_postpone_neither_heartbeats_nor_the_timeout(kind: Kind) {
    // Filtered events do not postpone the timeout. It must leave time for writing and then for
    // silence, on a busy machine too.
    let broker = broker(kind)
        .set("HEARTBEAT", 1)
        .set("CLIENT_TIMEOUT", 10)
        .start()
        .await;
    let token = broker.create("chat").await;
    let url = |transport| {
        format!(
            "{}&events=alert",
            broker.subscribe_url(transport, "chat", &token, None)
        )
    };
    let read = async |transport| {
        broker
            .http
            .get(url(transport))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    };
    let write = async {
        let mut written = Vec::new();
        for n in 0..15 {
            written.extend(broker.add_events("chat", n, 1).await);
            sleep(Duration::from_millis(50)).await;
        }
        written
    };
    let (sse, lines, written) = tokio::join!(read("sse"), read("ndjson"), write);
    let last = written.last().unwrap();
    let mut blocks: Vec<&str> = sse.split("\n\n").collect();
    assert_eq!(blocks.pop(), Some(""));
    let positions: Vec<&str> = blocks[1..]
        .iter()
        .filter_map(|block| block.strip_prefix("id: "))
        .collect();
    assert!(
        positions
            .iter()
            .all(|position| written.iter().any(|id| id == position)),
        "an id and nothing else: {sse}"
    );
    assert!(positions.len() < 10, "from time to time: {sse}");
    assert_eq!(
        positions.last(),
        Some(&last.as_str()),
        "the last position, before it is closed"
    );
    // Where there is no position to send, the heartbeat is a comment.
    assert!(
        blocks[1..]
            .iter()
            .all(|block| block.starts_with("id: ") || *block == ":"),
        "{sse}"
    );
    assert!(blocks[1..].contains(&":"), "{sse}");
    let objects: Vec<Value> = lines
        .lines()
        .skip(1)
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        objects
            .iter()
            .all(|object| object.as_object().unwrap().keys().eq(["id", "key"])),
        "{lines}"
    );
    assert_eq!(objects.last().unwrap(), &json!({"key": "chat", "id": last}));
    assert!(lines.contains("\n\n"), "heartbeats: {lines:?}");
}

/// Two streams: the filter excludes all of one, and passes all of the other.
async fn a_stopping_node_sends_each_subscriber_its_position(kind: Kind) {
    let node = broker(kind)
        .set("HEARTBEAT", 3600)
        .set("SHUTDOWN_GRACE", 4)
        .start()
        .await;
    let other = node.another_node().await;
    for key in ["noisy", "wanted"] {
        node.create(key).await;
    }
    let token = token(&node, json!({"keys": ["noisy", "wanted"]})).await;
    let transports = [Transport::Sse, Transport::Ws, Transport::Ndjson];
    let mut subscribers: Vec<Subscriber> = transports
        .into_iter()
        .flat_map(|transport| {
            [vec!["noisy"], vec!["noisy", "wanted"]]
                .map(|keys| Subscriber::new(&node, transport, keys, &token).with("&events=alert"))
        })
        .collect();
    for subscriber in &mut subscribers {
        for _ in &subscriber.keys.clone() {
            assert!(subscriber.update().await.is("start"));
        }
    }
    other.add_events("noisy", 0, 5).await;
    // All have passed over it when they have the later events of the other stream. These come until
    // the connections close.
    let alert = json!([{"event": "alert"}]);
    other.add("wanted", alert.clone()).await;
    sleep(Duration::from_millis(500)).await;
    node.signal("-TERM").await;
    let listen = async |subscriber: &mut Subscriber| {
        loop {
            match subscriber.next().await {
                Outcome::Update(update) => {
                    assert!(update.event.is_none() || update.is("alert"), "{update:?}");
                }
                Outcome::Disconnected(_) => return,
                outcome => panic!("{outcome:?}"),
            }
        }
    };
    let write = async {
        loop {
            other.add("wanted", alert.clone()).await;
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = join_all(subscribers.iter_mut().map(listen)) => {}
        () = write => unreachable!("it writes for ever"),
    }
    for key in ["noisy", "wanted"] {
        other.end(key).await;
    }
    // Without the filter the skipped events do not come again.
    for subscriber in &mut subscribers {
        subscriber.url.clone_from(&other.url);
        subscriber.more.clear();
        let rest = subscriber.rest().await;
        assert!(
            rest.iter().all(|update| !update.is("n")),
            "{:?} {:?}: {rest:?}",
            subscriber.transport,
            subscriber.keys
        );
    }
}

#[tokio::test]
async fn a_disconnected_subscriber_receives_its_position_last() {
    let broker = broker(Kind::Memory)
        .set("HEARTBEAT", 3600)
        .set("CLIENT_TIMEOUT", 1)
        .start()
        .await;
    let token = broker.create("chat").await;
    let follow = async |transport| {
        let mut subscriber =
            Subscriber::new(&broker, transport, ["chat"], &token).with("&events=alert");
        assert!(subscriber.update().await.is("start"));
        let update = subscriber.update().await;
        (update.event, update.id, subscriber.next().await)
    };
    let write = async {
        until("all are admitted", || async {
            broker.permits_in_use().await == 3
        })
        .await;
        broker.add_events("chat", 0, 3).await.pop()
    };
    let (updates, last) = tokio::join!(
        join_all([Transport::Sse, Transport::Ws, Transport::Ndjson].map(follow)),
        write
    );
    for (event, id, closed) in updates {
        assert_eq!((event, &id), (None, &last));
        assert!(
            matches!(closed, Outcome::Disconnected(None | Some(1001))),
            "{closed:?}"
        );
    }
}

#[tokio::test]
async fn filtered_events_postpone_neither_heartbeats_nor_the_timeout_in_memory() {
    filtered_events_postpone_neither_heartbeats_nor_the_timeout(Kind::Memory).await;
}

#[tokio::test]
async fn filtered_events_postpone_neither_heartbeats_nor_the_timeout_in_exclusive() {
    filtered_events_postpone_neither_heartbeats_nor_the_timeout(Kind::Exclusive).await;
}

#[tokio::test]
async fn a_stopping_node_sends_each_subscriber_its_position_in_exclusive() {
    a_stopping_node_sends_each_subscriber_its_position(Kind::Exclusive).await;
}

#[tokio::test]
async fn a_stopping_node_sends_each_subscriber_its_position_in_shared() {
    a_stopping_node_sends_each_subscriber_its_position(Kind::Shared).await;
}

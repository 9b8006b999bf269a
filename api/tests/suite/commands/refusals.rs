//! Commands that the broker refuses or ignores.

use futures::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{event_of, subscribe, unsubscribe};
use crate::common::{Kind, broker, redis::Redis, subscriber::token, ws::Ws};

/// Sends this command, and returns the code of the refusal.
async fn refusal(socket: &mut Ws, command: Value) -> String {
    socket.send(command.to_string()).await;
    let answer = socket.next().await.unwrap();
    assert_eq!(
        (&answer["op"], &answer["key"]),
        (&json!("error"), &command["key"]),
        "{answer}"
    );
    assert!(!answer["message"].as_str().unwrap().is_empty());
    answer["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_impossible_command_is_refused_with_its_reason_and_changes_nothing() {
    let broker = broker(Kind::Memory)
        .set("MAX_KEYS_PER_CLIENT", 3)
        .start()
        .await;
    for key in ["p:a", "p:b", "p:c", "p:d", "other"] {
        broker.create(key).await;
    }
    let token = token(&broker, json!({"prefix": "p:"})).await;
    let mut socket = broker.ws("p:a", &token, None).await;
    socket.next().await.unwrap();
    for (command, code) in [
        (json!({"op": "subscribe", "key": "other"}), "forbidden"),
        (
            json!({"op": "subscribe", "key": "p:absent"}),
            "stream-not-found",
        ),
        (json!({"op": "subscribe", "key": ""}), "invalid-key"),
        (json!({"op": "unsubscribe", "key": "a\nb"}), "invalid-key"),
        (
            json!({"op": "subscribe", "key": "p:b", "after": "x"}),
            "invalid-event-id",
        ),
        (
            json!({"op": "subscribe", "key": "p:b", "from": "x"}),
            "invalid-parameter",
        ),
        (
            json!({"op": "subscribe", "key": "p:a"}),
            "already-subscribed",
        ),
        (json!({"op": "unsubscribe", "key": "p:b"}), "not-subscribed"),
    ] {
        assert_eq!(
            refusal(&mut socket, command.clone()).await,
            code,
            "{command}"
        );
    }
    for key in ["p:b", "p:c"] {
        subscribe(&mut socket, key).await;
        assert_eq!(socket.next().await.unwrap()["op"], "subscribed");
        event_of(&mut socket, key).await;
    }
    assert_eq!(
        refusal(&mut socket, json!({"op": "subscribe", "key": "p:d"})).await,
        "too-many-keys"
    );
    // An ended stream no longer counts.
    broker.end("p:c").await;
    assert_eq!(socket.next().await.unwrap()["event"], "end");
    subscribe(&mut socket, "p:d").await;
    assert_eq!(socket.next().await.unwrap()["op"], "subscribed");
    event_of(&mut socket, "p:d").await;
    for key in ["p:a", "p:b", "p:d"] {
        let live = broker.add_events(key, 0, 1).await;
        assert_eq!(event_of(&mut socket, key).await, live[0]);
    }
}

#[tokio::test]
async fn a_message_that_is_not_a_command_is_ignored() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("a").await;
    let mut socket = broker.ws("a", &token, None).await;
    socket.next().await.unwrap();
    for text in [
        "",
        "hello",
        "[]",
        "{}",
        "5",
        "null",
        r#"{"op":"x","key":"a"}"#,
        r#"{"op":5}"#,
        r#"{"key":"a"}"#,
        r#"{"op":"subscribe""#,
    ] {
        socket.send(text).await;
    }
    let command = json!({"op": "unsubscribe", "key": "a"}).to_string();
    socket
        .0
        .send(Message::binary(command.into_bytes()))
        .await
        .unwrap();
    let live = broker.add_events("a", 0, 1).await;
    let event = socket.next().await.unwrap();
    assert_eq!(
        (&event["id"], event.get("key")),
        (&json!(live[0]), None),
        "there was no answer, and the connection is not keyed"
    );
}

#[tokio::test]
async fn streams_of_several_slots_are_refused_in_exclusive_delivery_on_a_cluster() {
    let broker = broker(Kind::ExclusiveCluster).start().await;
    for key in ["a", "b"] {
        broker.create(key).await;
    }
    let token = token(&broker, json!({"keys": ["a", "b"]})).await;
    let mut socket = broker.ws("a", &token, None).await;
    socket.next().await.unwrap();
    assert_eq!(
        refusal(&mut socket, json!({"op": "subscribe", "key": "b"})).await,
        "cross-slot"
    );
    unsubscribe(&mut socket, "a").await;
    assert_eq!(socket.next().await.unwrap()["op"], "unsubscribed");
    // A single stream has no other to share a slot with.
    subscribe(&mut socket, "b").await;
    assert_eq!(socket.next().await.unwrap()["op"], "subscribed");
    event_of(&mut socket, "b").await;
}

#[tokio::test]
async fn an_unreachable_store_refuses_a_stream_and_keeps_the_connection() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let broker = broker(Kind::Shared)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    for key in ["a", "b"] {
        broker.create(key).await;
    }
    let token = token(&broker, json!({"keys": ["a", "b"]})).await;
    let mut socket = broker.ws("a", &token, None).await;
    socket.next().await.unwrap();
    redis.kill();
    assert_eq!(
        refusal(&mut socket, json!({"op": "subscribe", "key": "b"})).await,
        "store-unavailable"
    );
    redis.restart(&["--appendonly", "yes", "--appendfsync", "always"]);
    crate::common::until("Redis is back", || async {
        broker.get("/api/stream/info?key=b").await.0 == 200
    })
    .await;
    subscribe(&mut socket, "b").await;
    assert_eq!(socket.next().await.unwrap()["op"], "subscribed");
    event_of(&mut socket, "b").await;
}

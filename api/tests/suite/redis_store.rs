//! What the broker stores in Redis, and how it reacts when a part of that is lost.

use std::time::Duration;

use serde_json::json;

use crate::common::{Kind, broker, redis::Redis, sse::ids, until};

#[tokio::test(flavor = "multi_thread")]
async fn every_key_expires() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    for n in 0..20 {
        broker
            .create_with(json!({"key": format!("chat-{n}"), "ttl": 1}))
            .await;
        broker.add_events(&format!("chat-{n}"), 0, 3).await;
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(broker.get("/api/stream").await.1, json!([]));
    // The running node holds the key that says who looks for deadlines.
    let left = || {
        let keys = redis.cli(&["keys", "*"]);
        let keys = keys.lines().filter(|key| !key.ends_with(":sweeper"));
        keys.map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(
        left().iter().all(|key| key.ends_with(":index")),
        "{:?}",
        left()
    );
    // The rest of the index expires by itself, or is removed after its time when another stream of
    // the bucket is created.
    until("the index is empty too", || async { left().is_empty() }).await;
    drop(broker);
    until("nothing is left of the node", || async {
        redis.cli(&["keys", "*"]).is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_redis_lost_are_loaded_again() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    let token = broker.create("chat").await;
    for n in 0..5 {
        redis.cli(&["script", "flush"]);
        broker.add_events("chat", n, 1).await;
        redis.cli(&["script", "flush"]);
        assert_eq!(broker.get("/api/stream/info?key=chat").await.0, 200);
    }
    redis.cli(&["script", "flush"]);
    broker.end("chat").await;
    let events = broker.sse("chat", &token, None).await.rest().await;
    assert_eq!(ids(&events).count(), 7, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_lost_one_of_its_keys_counts_as_deleted() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    for half in ["events", "meta"] {
        let token = broker.create("chat").await;
        broker.add_events("chat", 0, 3).await;
        let mut subscriber = broker.sse("chat", &token, None).await;
        subscriber.take(4).await;
        let key = redis.cli(&["keys", &format!("*:{half}:chat")]);
        redis.cli(&["del", &key]);
        let (status, error) = broker
            .post(
                "/api/event/add",
                json!({"key": "chat", "events": [{"event": "x"}]}),
            )
            .await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (404, &json!("no-active-stream")),
            "{half}"
        );
        assert_eq!(broker.get("/api/stream/info?key=chat").await.0, 404);
        assert_eq!(broker.get("/api/stream").await.1, json!([]));
        assert_eq!(subscriber.next().await, None);
        assert_eq!(
            broker
                .post("/api/stream/end", json!({"key": "chat"}))
                .await
                .0,
            404
        );
    }
    broker.create("chat").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_do_not_go_back_with_the_clock() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    broker.create("chat").await;
    // As if the last event had been written an hour from now.
    let meta = redis.cli(&["keys", "*:meta:chat"]);
    let later = chrono::Utc::now().timestamp_millis() + 3_600_000;
    redis.cli(&["hset", &meta, "last_ms", &later.to_string()]);
    let ids = broker.add_events("chat", 0, 3).await;
    assert_eq!(
        ids,
        (1..4).map(|n| format!("{later}-{n}")).collect::<Vec<_>>()
    );
}

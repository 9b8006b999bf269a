//! Exclusive delivery: a subscriber has one Redis connection for all of its streams. The broker
//! returns the connection when the subscriber leaves.

use serde_json::{Value, json};

use crate::common::{
    Kind, broker,
    keys::together,
    redis::Redis,
    subscriber::{Outcome, Subscriber, Transport, token},
    until,
};

#[tokio::test]
async fn a_subscriber_of_many_streams_uses_one_connection_and_leaves_none() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    let keys: Vec<String> = (0..20).map(|n| format!("stream {n}")).collect();
    for key in &keys {
        broker.create(key).await;
    }
    let token = token(&broker, json!({ "keys": keys })).await;
    let transports = [Transport::Sse, Transport::Ws, Transport::Ndjson];
    let mut subscribers: Vec<Subscriber> = transports
        .into_iter()
        .map(|transport| Subscriber::new(&broker, transport, &keys, &token))
        .collect();
    for subscriber in &mut subscribers {
        for _ in &keys {
            assert!(subscriber.update().await.is("start"));
        }
    }
    until("each has a connection", || async {
        redis.blocked_connections() == 3
    })
    .await;
    let (_, info) = broker.get("/api/info").await;
    assert_eq!(
        (
            &info["redis"]["streaming"],
            &info["redis"]["streaming_in_use"]
        ),
        (&json!(3), &json!(3))
    );
    // A poll that waits holds one connection while it waits.
    let mut poll = Subscriber::new(&broker, Transport::Poll, &keys, &token).with("&from=now");
    tokio::join!(
        async {
            assert!(poll.update().await.is("n"));
        },
        async {
            until("it waits", || async { redis.blocked_connections() == 4 }).await;
            broker.add_events(&keys[7], 0, 1).await;
        }
    );
    for subscriber in &mut subscribers {
        let update = subscriber.update().await;
        assert_eq!(
            (update.key.as_str(), update.is("n")),
            (keys[7].as_str(), true)
        );
    }
    // Commands add streams to the connection, and drop streams from it.
    let mut socket = broker.ws(&keys[0], &token, None).await;
    socket.next().await.unwrap();
    for command in ["subscribe", "unsubscribe"] {
        for key in &keys[1..] {
            socket
                .send(json!({"op": command, "key": key, "from": "now"}).to_string())
                .await;
            while socket.next().await.unwrap().get("op").is_none() {}
        }
        until("one more", || async { redis.blocked_connections() == 4 }).await;
    }
    drop((subscribers, socket));
    until("none is left", || async {
        redis.blocked_connections() == 0 && broker.permits_in_use().await == 0
    })
    .await;
    let connections = redis.cli(&["client", "list"]).lines().count();
    assert!(
        connections <= 6,
        "the static pool, and the connection of redis-cli: {connections}"
    );
}

#[tokio::test]
async fn streams_of_several_slots_are_refused_on_a_cluster_with_a_solution() {
    let broker = broker(Kind::ExclusiveCluster).start().await;
    let [a, together] = together(broker.kind, ["a", "together"]);
    for key in [a.as_str(), &together, "b"] {
        broker.create(key).await;
    }
    let token = token(&broker, json!({"keys": [a, together, "b"]})).await;
    for transport in Transport::ALL {
        match Subscriber::new(&broker, transport, [a.as_str(), &together, "b"], &token)
            .next()
            .await
        {
            Outcome::Refused(400, Value::Object(error)) => {
                assert_eq!(error["code"], "cross-slot");
                assert!(
                    error["message"].as_str().unwrap().contains("shared"),
                    "{error:?}"
                );
            }
            other => panic!("{transport:?}: {other:?}"),
        }
        let mut of_one_slot = Subscriber::new(&broker, transport, [&a, &together], &token);
        assert!(of_one_slot.update().await.is("start"));
    }
}

//! Redis keys of another type under the broker's names: each fails its own stream or node, and no
//! other.

use serde_json::{Value, json};

use crate::common::{Broker, Kind, broker, redis::Redis, sse::Sse};

async fn add(broker: &Broker, key: &str) -> (u16, Value) {
    let (status, answer) = broker
        .post(
            "/api/event/add",
            json!({"key": key, "events": [{"event": "n"}, {"event": "n"}]}),
        )
        .await;
    (status.as_u16(), answer)
}

async fn a_key_of_another_type_fails_no_other_stream(kind: Kind) {
    let redis = Redis::start(&[]);
    let broker = broker(kind).set("REDIS_URL", redis.url()).start().await;
    let keys = ["a", "b", "c", "d"];
    let token = {
        for key in keys {
            broker.create(key).await;
        }
        let (status, access) = broker
            .post("/api/stream/token", json!({"keys": keys}))
            .await;
        assert_eq!(status, 200, "{access}");
        access["token"].as_str().unwrap().to_owned()
    };
    let query: String = keys.iter().map(|key| ["key=", key, "&"].concat()).collect();
    let response = broker
        .http
        .get(format!(
            "{}/api/client/sse?{query}token={token}",
            broker.url
        ))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let mut subscriber = Sse::new(response);
    subscriber.take(4).await;

    let name = |kind: &str, key: &str| redis.cli(&["keys", &format!("*:{kind}:{key}")]);
    for spoilt in [name("meta", "a"), name("events", "b")] {
        redis.cli(&["set", &spoilt, "of another type"]);
    }
    let index = name("meta", "c").replace(":meta:c", ":index");
    redis.cli(&["set", &index, "of another type"]);
    let (status, listed) = broker.get("/api/stream").await;
    let listed: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["key"].clone())
        .collect();
    assert_eq!(
        (status.as_u16(), listed),
        (200, vec![json!("d")]),
        "the index of `c` is unknown"
    );
    for key in ["a", "b"] {
        assert_eq!(
            broker.get(&format!("/api/stream/info?key={key}")).await.0,
            404
        );
        let (status, answer) = add(&broker, key).await;
        assert_eq!(
            (status, &answer["code"]),
            (503, &json!("store-unavailable")),
            "{key}"
        );
    }
    for _ in 0..2 {
        for key in ["c", "d"] {
            assert_eq!(add(&broker, key).await.0, 200, "{key}");
        }
    }
    broker.end("c").await;
    broker.end("d").await;
    let seen: Vec<_> = subscriber
        .rest()
        .await
        .into_iter()
        .filter(|event| event.event == "n")
        .collect();
    assert_eq!(seen.len(), 8);
    assert_eq!(broker.get("/api/clients").await.0, 200);
    broker.get("/api/stream").await;
    let (_, log) = broker.stop("-TERM").await;
    let named = |name: &str| {
        log.lines()
            .filter(|line| line.contains("of another type under") && line.contains(name))
            .count()
    };
    assert_eq!(
        (named(&index), named(":events:b")),
        (1, 1),
        "each once: {log}"
    );
}

async fn a_count_of_another_type_fails_no_other_node(kind: Kind) {
    let redis = Redis::start(&[]);
    let broker = broker(kind).set("REDIS_URL", redis.url()).start().await;
    broker.create("chat").await;
    let nodes = format!("{}nodes", broker.prefix());
    let now = chrono::Utc::now().timestamp_millis().to_string();
    redis.cli(&["zadd", &nodes, &now, "one", &now, "two"]);
    redis.cli(&[
        "set",
        &format!("{}clients:one", broker.prefix()),
        "of another type",
    ]);
    redis.cli(&[
        "hset",
        &format!("{}clients:two", broker.prefix()),
        "chat",
        "3",
    ]);
    let (status, info) = broker.get("/api/stream/info?key=chat").await;
    assert_eq!((status.as_u16(), &info["clients_total"]), (200, &json!(3)));
}

over_each_delivery!(
    a_key_of_another_type_fails_no_other_stream,
    a_count_of_another_type_fails_no_other_node
);

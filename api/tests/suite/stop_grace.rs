//! The broker cancels a stream whose producer does not follow a stop in time.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::common::{Broker, Kind, broker, broker::API_KEY, until, ws::Ws};

async fn create(broker: &Broker, key: &str, stop_grace: u64) -> String {
    broker
        .create_with(json!({"key": key, "stop_grace": stop_grace}))
        .await
}

async fn stop(broker: &Broker, key: &str) {
    let path = format!("/api/client/signal?key={key}");
    let (status, answer) = broker.post(&path, json!({"name": "stop"})).await;
    assert_eq!(status, 200, "{answer}");
}

async fn status(broker: &Broker, key: &str) -> Value {
    let path = format!("/api/stream/info?key={key}");
    broker.get(&path).await.1["status"].clone()
}

async fn renew(broker: &Broker, body: Value) -> Value {
    let (status, answer) = broker.post("/api/stream/renew", body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn acknowledge(broker: &Broker, key: &str) -> Value {
    let answer = renew(broker, json!({"key": key, "stop_ack": true})).await;
    answer["stop_expires_at"].clone()
}

async fn a_stream_whose_producer_ignores_a_stop_is_cancelled(broker: Broker) {
    let token = create(&broker, "chat", 1).await;
    let subscriber = broker.sse("chat", &token, None).await;
    let url = broker.url.replacen("http", "ws", 1) + "/api/event/add/ws-stream?key=chat";
    let mut socket = Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap();
    socket.send("{\"event\":\"word\"}").await;
    assert_eq!(socket.next().await.unwrap()["type"], "success");
    stop(&broker, "chat").await;
    let events = subscriber.rest().await;
    let names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(names, ["start", "word", "cancel"]);
    let reason = json!({"reason": "stop-timeout", "by": "broker"});
    let last: Value = serde_json::from_str(&events[2].data).unwrap();
    assert_eq!(last, reason);
    assert_eq!(socket.ended().await, Some(1011));
    let (_, info) = broker.get("/api/stream/info?key=chat").await;
    assert_eq!(
        (&info["status"], &info["reason"]),
        (&json!("cancelled"), &reason)
    );
    until("it is counted", || async {
        let series = "streams_finished_total{status=\"cancelled\"}";
        broker.metrics().await.get(series) == 1
    })
    .await;
}

async fn a_stream_without_a_grace_or_without_a_stop_stays_active(broker: Broker) {
    create(&broker, "patient", 0).await;
    create(&broker, "not-asked", 1).await;
    stop(&broker, "patient").await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!(status(&broker, "patient").await, "active");
    assert_eq!(status(&broker, "not-asked").await, "active");
    assert_eq!(acknowledge(&broker, "patient").await, Value::Null);
    assert_eq!(acknowledge(&broker, "not-asked").await, Value::Null);
    // A producer that only renews its lease learns of a stop without a deadline, too.
    let (_, info) = broker.get("/api/stream/info?key=patient").await;
    for lease in [Value::Null, json!(30)] {
        let renewed = renew(&broker, json!({"key": "patient", "lease": lease})).await;
        assert!(renewed["stop_requested_at"].is_string(), "{renewed}");
        assert_eq!(renewed["stop_requested_at"], info["stop_requested_at"]);
    }
    let not_asked = renew(&broker, json!({"key": "not-asked", "lease": 30})).await;
    assert_eq!(not_asked["stop_requested_at"], Value::Null);
}

async fn a_producer_that_saves_gets_the_grace_once_more(broker: Broker) {
    create(&broker, "chat", 3).await;
    stop(&broker, "chat").await;
    sleep(Duration::from_secs(2)).await;
    let until_then = acknowledge(&broker, "chat").await;
    assert!(until_then.is_string());
    sleep(Duration::from_millis(1_800)).await;
    // Its first deadline has passed.
    assert_eq!(status(&broker, "chat").await, "active");
    assert_eq!(acknowledge(&broker, "chat").await, until_then, "only once");
    until("it is cancelled", || async {
        status(&broker, "chat").await == "cancelled"
    })
    .await;
}

async fn a_stream_is_finished_once_by_its_producer_or_the_deadline(broker: Broker) {
    let keys: Vec<String> = (0..24).map(|n| format!("chat-{n}")).collect();
    for key in &keys {
        create(&broker, key, 1).await;
        stop(&broker, key).await;
    }
    let finishing = keys.iter().zip(0..).map(|(key, n)| {
        let broker = &broker;
        async move {
            sleep(Duration::from_millis(600 + 75 * n)).await;
            let (status, _) = broker.post("/api/stream/end", json!({"key": key})).await;
            assert!(status == 200 || status == 404, "{status}");
            status == 200
        }
    });
    let ended = join_all(finishing).await;
    until("all are finished", || async {
        broker.get("/api/stream").await.1 == json!([])
    })
    .await;
    for (key, ended) in keys.iter().zip(ended) {
        let (_, events) = broker.get(&format!("/api/stream/events?key={key}")).await;
        let names: Vec<_> = events
            .as_array()
            .unwrap()
            .iter()
            .map(|event| &event["event"])
            .collect();
        let last = if ended { "end" } else { "cancel" };
        assert_eq!(names, ["start", last], "{key}");
        let expected = if ended { "ended" } else { "cancelled" };
        assert_eq!(status(&broker, key).await, expected, "{key}");
    }
}

async fn a_stream_outlives_the_grace_of_its_producer(broker: Broker) {
    broker
        .create_with(json!({"key": "chat", "ttl": 1, "stop_grace": 3}))
        .await;
    stop(&broker, "chat").await;
    // A write must not shorten its life to the TTL.
    broker.add_events("chat", 0, 1).await;
    sleep(Duration::from_millis(2_200)).await;
    assert_eq!(status(&broker, "chat").await, "active");
    until("it is cancelled, and did not expire", || async {
        status(&broker, "chat").await == "cancelled"
    })
    .await;
}

async fn a_bad_renewal_is_refused(broker: Broker) {
    create(&broker, "chat", 5).await;
    let other = "00112233445566778899aabbccddeeff";
    for (body, expected) in [
        (json!({"key": "nobody"}), (404, "no-active-stream")),
        (
            json!({"key": "chat", "generation": other}),
            (409, "stale-generation"),
        ),
        (
            json!({"key": "chat", "stop_ack": 1}),
            (400, "invalid-request"),
        ),
        (json!({}), (400, "invalid-request")),
    ] {
        let (status, error) = broker.post("/api/stream/renew", body.clone()).await;
        let code = error["code"].as_str().unwrap();
        assert_eq!((status.as_u16(), code), expected, "{body}");
    }
    let body = json!({"key": "new", "stop_grace": 86_401});
    assert_eq!(
        broker.post("/api/stream", body).await.1["code"],
        "invalid-request"
    );
}

on_every_store!(
    a_stream_whose_producer_ignores_a_stop_is_cancelled,
    a_stream_without_a_grace_or_without_a_stop_stays_active,
    a_producer_that_saves_gets_the_grace_once_more,
    a_stream_is_finished_once_by_its_producer_or_the_deadline,
    a_stream_outlives_the_grace_of_its_producer,
    a_bad_renewal_is_refused,
);

async fn another_node_cancels_the_stream_of_a_node_that_was_killed(kind: Kind) {
    let one = broker(kind).start().await;
    let others = [one.another_node().await, one.another_node().await];
    let token = create(&one, "chat", 2).await;
    let subscriber = others[0].sse("chat", &token, None).await;
    stop(&one, "chat").await;
    one.signal("-KILL").await;
    let events = subscriber.rest().await;
    assert_eq!(events.last().unwrap().event, "cancel");
    let cancels = events.iter().filter(|event| event.event == "cancel");
    assert_eq!(cancels.count(), 1);
    let info = others[1].get("/api/stream/info?key=chat").await.1;
    assert_eq!(info["status"], "cancelled");
}

over_kinds!(
    exclusive_nodes: Exclusive,
    shared_nodes: Shared;
    (another_node_cancels_the_stream_of_a_node_that_was_killed)
);

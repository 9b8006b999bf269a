//! Metrics count exactly what happened.

mod endpoint;

use futures::StreamExt;
use serde_json::{Value, json};

use crate::common::{
    Broker, Kind, broker,
    broker::{API_KEY, SECRET_KEY},
    until,
    ws::Ws,
};

async fn activity(broker: &Broker) -> Value {
    broker.get("/api/info").await.1["activity"].clone()
}

/// Writes one event in each of the three ways. Each has four bytes with its name.
async fn write_three_ways(broker: &Broker, key: &str) {
    broker
        .add(key, json!([{"event": "n", "data": "one"}]))
        .await;
    let upload = broker.request(
        reqwest::Method::POST,
        &format!("/api/event/add/json-stream?key={key}"),
    );
    let answer = upload
        .body("{\"event\": \"n\", \"data\": \"two\"}\nnot an event\n")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let url = format!(
        "{}/api/event/add/ws-stream?key={key}",
        broker.url.replacen("http", "ws", 1)
    );
    let mut socket = Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap();
    socket.send(r#"{"event": "n", "data": "six"}"#).await;
    assert_eq!(socket.next().await.unwrap()["type"], "success");
    socket.send(r#"{"event": "end"}"#).await;
    assert_eq!(socket.next().await.unwrap()["code"], "reserved-event");
}

async fn the_info_of_a_node_contains_its_activity(broker: Broker) {
    let token = broker.create("chat").await;
    let before = activity(&broker).await;
    assert_eq!(
        (
            &before["events_in"],
            &before["bytes_out"],
            &before["clients"]
        ),
        (
            &json!(0),
            &json!(0),
            &json!({"sse": 0, "ws": 0, "poll": 0, "ndjson": 0})
        )
    );
    write_three_ways(&broker, "chat").await;

    let mut sse = broker.sse("chat", &token, None).await;
    sse.take(4).await;
    let mut ws = broker.ws("chat", &token, None).await;
    assert_eq!(ws.next().await.unwrap().as_array().unwrap().len(), 4);
    let during = activity(&broker).await;
    assert_eq!(
        (&during["events_in"], &during["bytes_in"]),
        (&json!(3), &json!(12))
    );
    assert_eq!(
        (&during["events_out"], &during["clients"]),
        (
            &json!(8),
            &json!({"sse": 1, "ws": 1, "poll": 0, "ndjson": 0})
        )
    );
    assert!(during["uptime"].is_u64() && during["bytes_out"].as_u64() > Some(4 * 30));

    broker.end("chat").await;
    assert_eq!(sse.rest().await.len(), 1);
    while ws.0.next().await.is_some_and(|message| message.is_ok()) {}
    until("no subscriber is connected", || async {
        activity(&broker).await["clients"] == json!({"sse": 0, "ws": 0, "poll": 0, "ndjson": 0})
    })
    .await;
    assert_eq!(activity(&broker).await["events_out"], 10);
}

async fn metrics_count_exactly_what_happened(broker: Broker) {
    let token = broker.create("chat").await;
    write_three_ways(&broker, "chat").await;
    let repeated =
        json!({"key": "chat", "producer": "p", "events": [{"event": "n", "data": "one"}]});
    for _ in 0..2 {
        assert_eq!(broker.post("/api/event/add", repeated.clone()).await.0, 200);
    }
    let (status, _) = broker
        .post(
            "/api/event/add",
            json!({"key": "chat", "events": [{"event": "start"}]}),
        )
        .await;
    assert_eq!(status, 400);
    broker.create("other").await;
    assert_eq!(
        broker
            .post("/api/stream/cancel", json!({"key": "other"}))
            .await
            .0,
        200
    );

    let mut first = broker.sse("chat", &token, None).await;
    let seen = first.take(5).await;
    let mut resumed = broker.ws("chat", &token, Some(&seen[3].id)).await;
    assert_eq!(resumed.next().await.unwrap().as_array().unwrap().len(), 1);
    // The stream cannot have issued this id, so the subscriber receives `missedevents`.
    let mut lost = broker.sse("chat", &token, Some("9999999999999-77")).await;
    assert_eq!(lost.next().await.unwrap().event, "missedevents");
    lost.take(5).await;
    broker
        .add("chat", json!([{"event": "live", "data": "!"}]))
        .await;
    for subscriber in [&mut first, &mut lost] {
        subscriber.take(1).await;
    }
    resumed.next().await.unwrap();

    let measured = broker.metrics().await;
    let is = |series: &str, value: u64| assert_eq!(measured.get(series), value, "{series}");
    for (way, events, bytes) in [
        ("batch", 3, 4 + 4 + 5),
        ("ndjson", 1, 4),
        ("websocket", 1, 4),
    ] {
        is(&format!("ingested_events_total{{way=\"{way}\"}}"), events);
        is(&format!("ingested_bytes_total{{way=\"{way}\"}}"), bytes);
    }
    is(r#"duplicate_events_total{way="batch"}"#, 1);
    is(
        r#"refused_events_total{code="reserved-event",way="batch"}"#,
        1,
    );
    is(
        r#"refused_events_total{code="invalid-event",way="ndjson"}"#,
        1,
    );
    is(
        r#"refused_events_total{code="reserved-event",way="websocket"}"#,
        1,
    );
    is("streams_created_total", 2);
    is(r#"streams_finished_total{status="cancelled"}"#, 1);
    is(r#"clients{transport="sse"}"#, 2);
    is(r#"clients{transport="ws"}"#, 1);
    is(
        "client_slots",
        if broker.get("/api/info").await.1["delivery"] == "shared" {
            10_000
        } else {
            20
        },
    );
    is(r#"delivered_events_total{transport="sse"}"#, 5 + 5 + 2);
    is(r#"delivered_events_total{transport="ws"}"#, 2);
    is(r#"delivery_latency_seconds_count{transport="sse"}"#, 2);
    is(r#"delivery_latency_seconds_count{transport="ws"}"#, 1);
    is(r#"resumes_total{transport="sse"}"#, 1);
    is(r#"resumes_total{transport="ws"}"#, 1);
    is(r#"missed_told_total{transport="sse"}"#, 1);
    is(r#"missed_told_total{transport="ws"}"#, 0);
    is(
        r#"http_requests_total{method="POST",route="/api/stream",status="200"}"#,
        2,
    );
    is(
        r#"http_requests_total{method="POST",route="/api/event/add",status="400"}"#,
        1,
    );
    is(
        r#"http_requests_total{method="GET",route="/api/client/ws",status="101"}"#,
        1,
    );
    is(
        r#"http_request_duration_seconds_count{method="POST",route="/api/event/add"}"#,
        5,
    );

    drop(resumed);
    // Otherwise it would still be connected when the stream ends, and would leave for that reason.
    until("it has left", || async {
        broker.metrics().await.get(r#"clients{transport="ws"}"#) == 0
    })
    .await;
    broker.end("chat").await;
    first.rest().await;
    lost.rest().await;
    until("no subscriber is connected", || async {
        let now = broker.metrics().await;
        now.get(r#"clients{transport="sse"}"#) + now.get(r#"clients{transport="ws"}"#) == 0
    })
    .await;
    let after = broker.metrics().await;
    assert_eq!(after.get(r#"streams_finished_total{status="ended"}"#), 1);
    assert_eq!(
        after.get(r#"clients_left_total{reason="ended",transport="sse"}"#),
        2
    );
    assert_eq!(
        after.get(r#"clients_left_total{reason="left",transport="ws"}"#),
        1
    );
    assert_eq!(after.get(r#"clients_connected_total{transport="sse"}"#), 2);
}

async fn no_metric_contains_input_from_outside(broker: Broker) {
    let token = broker.create("warm-up").await;
    broker.end("warm-up").await;
    broker.sse("warm-up", &token, None).await.rest().await;
    broker
        .http
        .get(format!("{}/warm-up", broker.url))
        .send()
        .await
        .unwrap();
    // The request for the metrics is itself measured.
    broker.metrics().await;
    let before = broker.metrics().await.len();
    for n in 0..5 {
        let key = format!("private-{n}");
        let token = broker.create(&key).await;
        broker.end(&key).await;
        broker.sse(&key, &token, None).await.rest().await;
        broker
            .http
            .get(format!("{}/private-{n}?token={token}", broker.url))
            .send()
            .await
            .unwrap();
    }
    assert_eq!(
        broker.metrics().await.len(),
        before,
        "no series for each stream or path"
    );
    let text = broker
        .http
        .get(&broker.metrics_url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    for private in ["private", API_KEY, SECRET_KEY, &token] {
        assert!(!text.contains(private), "{private}");
    }
}

on_every_store!(
    the_info_of_a_node_contains_its_activity,
    metrics_count_exactly_what_happened,
    no_metric_contains_input_from_outside
);

async fn the_reason_for_a_disconnect_is_counted(kind: Kind) {
    let broker = broker(kind)
        .set("MAX_CLIENTS", 2)
        .set("CLIENT_TIMEOUT", 2)
        .set("HEARTBEAT", 1)
        .start()
        .await;
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 100_000}))
        .await;
    // Both are silent until the broker disconnects them. Meanwhile it admits no other subscriber.
    let (sse, mut ws) = (
        broker.sse("chat", &token, None).await,
        broker.ws("chat", &token, None).await,
    );
    assert_eq!(
        broker
            .http
            .get(broker.subscribe_url("sse", "chat", &token, None))
            .send()
            .await
            .unwrap()
            .status(),
        429
    );
    ws.next().await.unwrap();
    sse.rest().await;
    assert_eq!(ws.close_code().await, Some(1001));

    let stalled = broker
        .http
        .get(broker.subscribe_url("sse", "chat", &token, None))
        .send()
        .await
        .unwrap();
    let data = "x".repeat(100_000);
    for _ in 0..20 {
        let events: Vec<_> = (0..20)
            .map(|_| json!({"event": "big", "data": data}))
            .collect();
        broker.add("chat", json!(events)).await;
    }
    until("its permit is free", || async {
        broker.permits_in_use().await == 0
    })
    .await;
    let measured = broker.metrics().await;
    for series in [
        r#"clients_refused_total{reason="full",transport="sse"}"#,
        r#"clients_left_total{reason="idle",transport="sse"}"#,
        r#"clients_left_total{reason="idle",transport="ws"}"#,
        r#"clients_left_total{reason="stalled",transport="sse"}"#,
    ] {
        assert_eq!(measured.get(series), 1, "{series}");
    }
    assert!(
        measured.get(r#"heartbeats_total{transport="sse"}"#) >= 1
            && measured.get(r#"heartbeats_total{transport="ws"}"#) >= 1
    );
    drop(stalled);
}

#[tokio::test]
async fn the_reason_for_a_disconnect_is_counted_in_memory() {
    the_reason_for_a_disconnect_is_counted(Kind::Memory).await;
}

#[tokio::test]
async fn the_reason_for_a_disconnect_is_counted_in_exclusive() {
    the_reason_for_a_disconnect_is_counted(Kind::Exclusive).await;
}

#[tokio::test]
async fn expired_streams_of_the_embedded_store_are_counted() {
    let broker = broker(Kind::Memory).start().await;
    for (key, ends) in [("forgotten", false), ("ended", true)] {
        broker.create_with(json!({"key": key, "ttl": 1})).await;
        if ends {
            broker.end(key).await;
        }
        until("it has expired", || async {
            broker.get(&format!("/api/stream/info?key={key}")).await.0 == 404
        })
        .await;
    }
    assert_eq!(broker.metrics().await.get("streams_expired_total"), 1);
}

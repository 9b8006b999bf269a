//! What is measured is what was done.

use futures::StreamExt;
use serde_json::{Value, json};

use crate::common::{
    Broker,
    broker::{API_KEY, SECRET_KEY},
    until,
    ws::Ws,
};

async fn activity(broker: &Broker) -> Value {
    broker.get("/api/info").await.1["activity"].clone()
}

/// Writes one event in each of the three ways, each of four bytes with its name.
async fn write_three_ways(broker: &Broker, key: &str) {
    broker.add(key, json!([{"event": "n", "data": "one"}])).await;
    let upload = broker.request(reqwest::Method::POST, &format!("/api/event/add/json-stream?key={key}"));
    let answer = upload.body("{\"event\": \"n\", \"data\": \"two\"}\nnot an event\n").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let url = format!("{}/api/event/add/ws-stream?key={key}", broker.url.replacen("http", "ws", 1));
    let mut socket = Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap();
    socket.send(r#"{"event": "n", "data": "six"}"#).await;
    assert_eq!(socket.next().await.unwrap()["type"], "success");
    socket.send(r#"{"event": "end"}"#).await;
    assert_eq!(socket.next().await.unwrap()["code"], "reserved-event");
}

async fn the_activity_of_a_node_is_told_in_its_info(broker: Broker) {
    let token = broker.create("chat").await;
    let before = activity(&broker).await;
    assert_eq!((&before["events_in"], &before["bytes_out"], &before["clients"]), (&json!(0), &json!(0), &json!({"sse": 0, "ws": 0})));
    write_three_ways(&broker, "chat").await;

    let mut sse = broker.sse("chat", &token, None).await;
    sse.take(4).await;
    let mut ws = broker.ws("chat", &token, None).await;
    assert_eq!(ws.next().await.unwrap().as_array().unwrap().len(), 4);
    let during = activity(&broker).await;
    assert_eq!((&during["events_in"], &during["bytes_in"]), (&json!(3), &json!(12)));
    assert_eq!((&during["events_out"], &during["clients"]), (&json!(8), &json!({"sse": 1, "ws": 1})));
    assert!(during["uptime"].is_u64() && during["bytes_out"].as_u64() > Some(4 * 30));

    broker.end("chat").await;
    assert_eq!(sse.rest().await.len(), 1);
    while ws.0.next().await.is_some_and(|message| message.is_ok()) {}
    until("nobody is there", || async { activity(&broker).await["clients"] == json!({"sse": 0, "ws": 0}) }).await;
    assert_eq!(activity(&broker).await["events_out"], 10);
}

async fn what_was_done_is_what_is_counted(broker: Broker) {
    let token = broker.create("chat").await;
    write_three_ways(&broker, "chat").await;
    let repeated = json!({"key": "chat", "producer": "p", "events": [{"event": "n", "data": "one"}]});
    for _ in 0..2 {
        assert_eq!(broker.post("/api/event/add", repeated.clone()).await.0, 200);
    }
    let (status, _) = broker.post("/api/event/add", json!({"key": "chat", "events": [{"event": "start"}]})).await;
    assert_eq!(status, 400);
    broker.create("other").await;
    assert_eq!(broker.post("/api/stream/cancel", json!({"key": "other"})).await.0, 200);

    let mut first = broker.sse("chat", &token, None).await;
    let seen = first.take(5).await;
    let mut resumed = broker.ws("chat", &token, Some(&seen[3].id)).await;
    assert_eq!(resumed.next().await.unwrap().as_array().unwrap().len(), 1);
    // Of an id that the stream can't have issued, a client is told that something is missing.
    let mut lost = broker.sse("chat", &token, Some("9999999999999-77")).await;
    assert_eq!(lost.next().await.unwrap().event, "missedevents");
    lost.take(5).await;
    broker.add("chat", json!([{"event": "live", "data": "!"}])).await;
    for client in [&mut first, &mut lost] {
        client.take(1).await;
    }
    resumed.next().await.unwrap();

    let measured = broker.metrics().await;
    let is = |series: &str, value: u64| assert_eq!(measured.get(series).to_string(), value.to_string(), "{series}");
    for (way, events, bytes) in [("batch", 3, 4 + 4 + 5), ("ndjson", 1, 4), ("websocket", 1, 4)] {
        is(&format!("ingested_events_total{{way=\"{way}\"}}"), events);
        is(&format!("ingested_bytes_total{{way=\"{way}\"}}"), bytes);
    }
    is(r#"duplicate_events_total{way="batch"}"#, 1);
    is(r#"refused_events_total{code="reserved-event",way="batch"}"#, 1);
    is(r#"refused_events_total{code="invalid-event",way="ndjson"}"#, 1);
    is(r#"refused_events_total{code="reserved-event",way="websocket"}"#, 1);
    is("streams_created_total", 2);
    is(r#"streams_finished_total{status="cancelled"}"#, 1);
    is(r#"clients{transport="sse"}"#, 2);
    is(r#"clients{transport="ws"}"#, 1);
    is("client_slots", if broker.get("/api/info").await.1["delivery"] == "shared" { 10_000 } else { 20 });
    is(r#"delivered_events_total{transport="sse"}"#, 5 + 5 + 2);
    is(r#"delivered_events_total{transport="ws"}"#, 2);
    is(r#"delivery_latency_seconds_count{transport="sse"}"#, 2);
    is(r#"delivery_latency_seconds_count{transport="ws"}"#, 1);
    is(r#"resumes_total{transport="sse"}"#, 1);
    is(r#"resumes_total{transport="ws"}"#, 1);
    is(r#"missed_told_total{transport="sse"}"#, 1);
    is(r#"missed_told_total{transport="ws"}"#, 0);
    is(r#"http_requests_total{method="POST",route="/api/stream",status="200"}"#, 2);
    is(r#"http_requests_total{method="POST",route="/api/event/add",status="400"}"#, 1);
    is(r#"http_requests_total{method="GET",route="/api/client/ws",status="101"}"#, 1);
    is(r#"http_request_duration_seconds_count{method="POST",route="/api/event/add"}"#, 5);

    drop(resumed);
    broker.end("chat").await;
    first.rest().await;
    lost.rest().await;
    until("nobody is there", || async {
        let now = broker.metrics().await;
        now.get(r#"clients{transport="sse"}"#) + now.get(r#"clients{transport="ws"}"#) == 0.0
    })
    .await;
    let after = broker.metrics().await;
    assert_eq!(after.get(r#"streams_finished_total{status="ended"}"#).to_string(), "1");
    assert_eq!(after.get(r#"clients_left_total{reason="ended",transport="sse"}"#).to_string(), "2");
    assert_eq!(after.get(r#"clients_left_total{reason="left",transport="ws"}"#).to_string(), "1");
    assert_eq!(after.get(r#"clients_connected_total{transport="sse"}"#).to_string(), "2");
}

async fn what_came_from_outside_is_in_no_metric(broker: Broker) {
    let token = broker.create("warm-up").await;
    broker.end("warm-up").await;
    broker.sse("warm-up", &token, None).await.rest().await;
    broker.http.get(format!("{}/warm-up", broker.url)).send().await.unwrap();
    // Asking for the metrics is measured as well.
    broker.metrics().await;
    let before = broker.metrics().await.len();
    for n in 0..5 {
        let key = format!("private-{n}");
        let token = broker.create(&key).await;
        broker.end(&key).await;
        broker.sse(&key, &token, None).await.rest().await;
        broker.http.get(format!("{}/private-{n}?token={token}", broker.url)).send().await.unwrap();
    }
    assert_eq!(broker.metrics().await.len(), before, "no series for each stream or path");
    let text = broker.http.get(&broker.metrics_url).send().await.unwrap().text().await.unwrap();
    for private in ["private", API_KEY, SECRET_KEY, &token] {
        assert!(!text.contains(private), "{private}");
    }
}

on_every_store!(the_activity_of_a_node_is_told_in_its_info, what_was_done_is_what_is_counted, what_came_from_outside_is_in_no_metric);

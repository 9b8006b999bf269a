//! What is measured is what was done.

use futures::StreamExt;
use serde_json::{Value, json};

use crate::common::{Broker, broker::API_KEY, until, ws::Ws};

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

on_every_store!(the_activity_of_a_node_is_told_in_its_info);

//! A WebSocket delivers a stream.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::common::{Broker, Kind, assert_contiguous, broker, number, within};

async fn a_websocket_starts_with_an_array_and_continues_with_objects(broker: Broker) {
    let token = broker.create("chat").await;
    broker.add_events("chat", 0, 2).await;
    let mut socket = broker.ws("chat", &token, None).await;
    let array = socket.next().await.unwrap();
    assert_contiguous(
        array
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["id"].as_str().unwrap()),
        0,
    );
    assert_eq!(
        (&array[0]["event"], array[0].get("data"), &array[2]["data"]),
        (&json!("start"), None, &json!("1"))
    );
    broker.add_events("chat", 2, 2).await;
    for n in 3..5 {
        let event = socket.next().await.unwrap();
        assert_eq!(
            (number(event["id"].as_str().unwrap()), &event["data"]),
            (n, &json!((n - 1).to_string()))
        );
    }
    let last = broker.get("/api/stream/info?key=chat").await.1["last_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut resumed = broker.ws("chat", &token, Some(&last)).await;
    assert_eq!(
        resumed.next().await.unwrap(),
        json!([]),
        "at once, with nothing new"
    );
    broker.end("chat").await;
    for mut socket in [socket, resumed] {
        assert_eq!(socket.next().await.unwrap()["event"], "end");
        assert_eq!(socket.close_code().await, Some(1000));
    }
}

async fn a_websocket_sends_a_long_history_as_one_array(broker: Broker) {
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 10_000}))
        .await;
    for batch in 0..5 {
        broker.add_events("chat", batch * 1000, 1000).await;
    }
    let mut socket = broker.ws("chat", &token, None).await;
    let array = socket.next().await.unwrap();
    assert_contiguous(
        array
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["id"].as_str().unwrap()),
        0,
    );
    assert_eq!(array.as_array().unwrap().len(), 5001);
    broker.end("chat").await;
    assert_eq!(socket.next().await.unwrap()["event"], "end");
    let (events, code) = broker.ws("chat", &token, None).await.rest().await;
    assert_eq!((events.len(), code), (5002, Some(1000)));
}

async fn a_websocket_ignores_unknown_messages_of_a_subscriber(broker: Broker) {
    let token = broker.create("chat").await;
    let mut socket = broker.ws("chat", &token, None).await;
    socket.next().await.unwrap();
    for message in [
        Message::text("hello"),
        Message::text("{\"event\":\"end\"}"),
        Message::binary(vec![0, 255]),
        Message::Ping(vec![7].into()),
    ] {
        socket.0.send(message).await.unwrap();
    }
    match within(socket.0.next()).await.unwrap().unwrap() {
        Message::Pong(payload) => assert_eq!(payload.as_ref(), [7]),
        other => panic!("a pong, not {other:?}"),
    }
    broker.add_events("chat", 0, 1).await;
    assert_eq!(socket.next().await.unwrap()["event"], "n");
}

#[tokio::test]
async fn a_websocket_that_is_read_late_receives_all_of_an_ended_stream() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("chat").await;
    let mut subscriber = broker.ws("chat", &token, None).await;
    for _ in 0..6 {
        broker
            .add("chat", json!([{"event": "n", "data": "x".repeat(200_000)}]))
            .await;
    }
    broker.end("chat").await;
    // The peer sends before it reads. On a closed connection this would cost it the data that it
    // has not read.
    tokio::time::sleep(Duration::from_secs(3)).await;
    subscriber
        .0
        .send(Message::Ping(Vec::new().into()))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (events, code) = subscriber.rest().await;
    assert_eq!((events.len(), code), (8, Some(1000)));
}

on_every_store!(
    a_websocket_starts_with_an_array_and_continues_with_objects,
    a_websocket_sends_a_long_history_as_one_array,
    a_websocket_ignores_unknown_messages_of_a_subscriber,
);

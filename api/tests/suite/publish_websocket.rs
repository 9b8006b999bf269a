//! Publishing over a WebSocket.

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::common::{Broker, assert_contiguous, broker::API_KEY, within, ws::Ws};

async fn producer(broker: &Broker, key: &str) -> Result<Ws, (u16, Value)> {
    let url = format!(
        "{}/api/event/add/ws-stream?key={key}",
        broker.url.replacen("http", "ws", 1)
    );
    Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await
}

async fn every_message_of_a_producer_is_answered_in_order(broker: Broker) {
    broker.create("chat").await;
    let mut socket = producer(&broker, "chat").await.unwrap();
    for n in 0..300 {
        let message = match n % 10 {
            3 => Message::text("nonsense"),
            5 => Message::text("{\"event\":\"cancel\"}"),
            7 => Message::binary(format!("{{\"event\":\"n\",\"data\":\"{n}\"}}").into_bytes()),
            _ => Message::text(format!("{{\"event\":\"n\",\"data\":\"{n}\"}}")),
        };
        socket.0.feed(message).await.unwrap();
    }
    socket.0.flush().await.unwrap();
    let mut ids = Vec::new();
    for n in 0..300 {
        let answer = socket.next().await.unwrap();
        match n % 10 {
            3 => assert_eq!(
                (&answer["type"], &answer["code"]),
                (&json!("error"), &json!("invalid-event"))
            ),
            5 => assert_eq!(
                (&answer["type"], &answer["code"]),
                (&json!("error"), &json!("reserved-event"))
            ),
            _ => {
                assert_eq!(answer["type"], "success", "{answer}");
                ids.push(answer["id"].as_str().unwrap().to_owned());
            }
        }
    }
    assert_contiguous(ids.iter().map(String::as_str), 1);
    let (_, events) = broker.get("/api/stream/events?key=chat").await;
    let data: Vec<u64> = events.as_array().unwrap()[1..]
        .iter()
        .map(|event| event["data"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(
        data,
        (0..300)
            .filter(|n| ![3, 5].contains(&(n % 10)))
            .collect::<Vec<_>>()
    );
    socket.0.close(None).await.unwrap();
}

async fn a_producers_long_message_is_refused_and_the_next_is_accepted(broker: Broker) {
    broker.create("chat").await;
    let mut socket = producer(&broker, "chat").await.unwrap();
    socket
        .send(json!({"event": "x", "data": "y".repeat(1 << 20)}).to_string())
        .await;
    socket.send("{\"event\":\"x\"}").await;
    assert_eq!(socket.next().await.unwrap()["code"], "too-large");
    assert_eq!(socket.next().await.unwrap()["type"], "success");
    // The broker does not read the rest of a message that is far beyond the limit.
    let _ = socket.0.send(Message::text("y".repeat(5 << 20))).await;
    let closed = socket.next().await.unwrap_err();
    assert!(closed.is_none_or(|frame| u16::from(frame.code) == 1009));
}

async fn a_producer_of_an_ended_stream_receives_an_error_and_is_closed(broker: Broker) {
    let refused = producer(&broker, "chat").await.err().unwrap();
    assert_eq!(
        (refused.0, &refused.1["code"]),
        (404, &json!("no-active-stream"))
    );
    broker.create("chat").await;
    let mut socket = producer(&broker, "chat").await.unwrap();
    socket.send("{\"event\":\"x\"}").await;
    assert_eq!(socket.next().await.unwrap()["type"], "success");
    broker.end("chat").await;
    socket.send("{\"event\":\"y\"}").await;
    // The notification may come before the event. It brings the same error.
    let (answers, close_code) = socket.rest().await;
    let refusals = answers
        .iter()
        .filter(|answer| answer["code"] == "no-active-stream");
    assert_eq!(refusals.count(), answers.len(), "{answers:?}");
    assert!(!answers.is_empty());
    assert_eq!(close_code, Some(1011));
    let refused = producer(&broker, "chat").await.err().unwrap();
    assert_eq!(refused.0, 404);
}

async fn pings_of_a_producer_are_answered(broker: Broker) {
    broker.create("chat").await;
    let mut socket = producer(&broker, "chat").await.unwrap();
    socket
        .0
        .send(Message::Ping(b"hello".to_vec().into()))
        .await
        .unwrap();
    loop {
        match within(socket.0.next()).await.unwrap().unwrap() {
            Message::Pong(payload) => break assert_eq!(payload.as_ref(), b"hello"),
            Message::Ping(_) => {}
            other => panic!("a pong, not {other:?}"),
        }
    }
}

on_every_store!(
    every_message_of_a_producer_is_answered_in_order,
    a_producers_long_message_is_refused_and_the_next_is_accepted,
    a_producer_of_an_ended_stream_receives_an_error_and_is_closed,
    pings_of_a_producer_are_answered,
);

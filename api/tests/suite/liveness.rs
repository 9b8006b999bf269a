//! Heartbeats, pings and timeouts of a connection.

use std::time::Duration;

use futures::StreamExt;
use tokio_tungstenite::tungstenite::Message;

use crate::common::{Kind, broker, within};

#[tokio::test]
async fn an_idle_websocket_is_pinged_before_it_counts_as_dead() {
    // The broker ends a connection after three unanswered heartbeats or ten seconds.
    let broker = broker(Kind::Memory).set("HEARTBEAT", 1).start().await;
    let token = broker.create("chat").await;
    let mut subscriber = broker.ws("chat", &token, None).await;
    subscriber.next().await.unwrap();
    for n in 0..44 {
        broker.add_events("chat", n, 1).await;
        assert!(subscriber.next().await.is_ok());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    // The first silence, and so the first ping.
    let silence = tokio::time::timeout(Duration::from_secs(3), subscriber.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    broker.add_events("chat", 44, 1).await;
    assert_eq!(subscriber.next().await.unwrap()["data"], "44");
}

async fn heartbeats_interrupt_silence_and_the_timeout_ends_it(kind: Kind) {
    let broker = broker(kind)
        .set("HEARTBEAT", 1)
        .set("CLIENT_TIMEOUT", 3)
        .start()
        .await;
    let token = broker.create("chat").await;
    let url = broker.subscribe_url("sse", "chat", &token, None);
    let text = within(async {
        broker
            .http
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    })
    .await;
    let (_, silence) = text.split_once("\n\n").unwrap();
    assert!(
        silence.len() >= 3 && silence.replace(":\n\n", "").is_empty(),
        "comments and nothing else: {silence:?}"
    );

    let mut socket = broker.ws("chat", &token, None).await;
    socket.next().await.unwrap();
    let mut pings = 0;
    let code = loop {
        match within(socket.0.next()).await.unwrap().unwrap() {
            Message::Ping(_) => pings += 1,
            Message::Close(frame) => break u16::from(frame.unwrap().code),
            other => panic!("{other:?}"),
        }
    };
    assert!(pings >= 1 && code == 1001, "{pings} pings, then {code}");
}

#[tokio::test]
async fn heartbeats_interrupt_silence_and_the_timeout_ends_it_in_memory() {
    heartbeats_interrupt_silence_and_the_timeout_ends_it(Kind::Memory).await;
}

#[tokio::test]
async fn heartbeats_interrupt_silence_and_the_timeout_ends_it_in_exclusive() {
    heartbeats_interrupt_silence_and_the_timeout_ends_it(Kind::Exclusive).await;
}

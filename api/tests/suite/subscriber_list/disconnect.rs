//! An operator disconnects subscribers.

use serde_json::json;

use super::{disconnect, number, sse_with, subscribers};
use crate::common::{Broker, Kind, broker, raw::UPGRADE, sse::Sse, until};

async fn one_subscriber_is_disconnected_and_the_others_stay(broker: Broker) {
    let token = broker.create("chat").await;
    let mut names = Vec::new();
    for name in ["goes", "stays"] {
        let mut sse =
            Sse::new(sse_with(&broker, "chat", &token, &format!("client_name={name}")).await);
        sse.take(1).await;
        names.push(sse);
    }
    let mut stays = names.pop().unwrap();
    let goes = names.pop().unwrap();
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let mut ws = broker.ws("chat", &token, None).await;
        ws.next().await.unwrap();
        sockets.push(ws);
    }
    let list = subscribers(&broker, "").await;
    let id = |index: usize| list[index]["id"].as_str().unwrap();
    assert_eq!(
        disconnect(&broker, id(0)).await,
        (200, json!({"status": "disconnected"}))
    );
    assert!(goes.rest().await.is_empty());
    assert_eq!(
        disconnect(&broker, id(2)).await,
        (200, json!({"status": "disconnected"}))
    );
    let frame = sockets[0].next().await.unwrap_err().unwrap();
    assert_eq!(
        (u16::from(frame.code), frame.reason.as_str()),
        (1008, "Disconnected by an operator")
    );
    for unknown in [id(0), id(2), "0123456789abcdef", "0", "x", "%00"] {
        let (status, error) = disconnect(&broker, unknown).await;
        assert_eq!(
            (status, &error["code"]),
            (404, &json!("client-not-found")),
            "{unknown}"
        );
    }

    let left: Vec<_> = subscribers(&broker, "")
        .await
        .iter()
        .map(|row| row["id"].clone())
        .collect();
    assert_eq!(left, [id(1), id(3)]);
    broker.add_events("chat", 0, 1).await;
    stays.take(1).await;
    sockets[1].next().await.unwrap();
    let measured = broker.metrics().await;
    for transport in ["sse", "ws"] {
        assert_eq!(
            measured.get(&format!(
                "clients_left_total{{reason=\"disconnected\",transport=\"{transport}\"}}"
            )),
            1
        );
        assert_eq!(
            measured.get(&format!("clients{{transport=\"{transport}\"}}")),
            1
        );
    }
    // Its token is still valid.
    broker.sse("chat", &token, None).await.take(2).await;
}

on_every_store!(one_subscriber_is_disconnected_and_the_others_stay,);

/// A subscriber that reads nothing may be the one that keeps others out.
async fn an_operator_disconnects_a_subscriber_that_reads_nothing(kind: Kind, transport: &str) {
    let broker = broker(kind).set("MAX_CLIENTS", 1).start().await;
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 1000}))
        .await;
    let stalled = tokio::net::TcpStream::connect(broker.url.strip_prefix("http://").unwrap())
        .await
        .unwrap();
    let path = format!("/api/client/{transport}?key=chat&token={token}");
    let upgrade = if transport == "ws" { UPGRADE } else { "" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n");
    stalled.writable().await.unwrap();
    assert_eq!(
        stalled.try_write(request.as_bytes()).unwrap(),
        request.len()
    );
    until("it is admitted", || async {
        subscribers(&broker, "").await.len() == 1
    })
    .await;
    if kind == Kind::Exclusive {
        until("it has its connection", || async {
            broker.metrics().await.get("redis_pool_connections_in_use") == 1
        })
        .await;
    }
    let data = "x".repeat(100_000);
    for _ in 0..15 {
        let events: Vec<_> = (0..20)
            .map(|_| json!({"event": "big", "data": data}))
            .collect();
        broker.add("chat", json!(events)).await;
    }
    let row = || async { subscribers(&broker, "").await.remove(0) };
    until("it reads nothing more", || async {
        number(&row().await, "lag") > 0
    })
    .await;
    assert_eq!(
        disconnect(&broker, row().await["id"].as_str().unwrap())
            .await
            .0,
        200
    );
    let mut next = broker.sse("chat", &token, None).await;
    next.take(301).await;
    broker.add_events("chat", 0, 1).await;
    next.take(1).await;
    assert_eq!(subscribers(&broker, "").await.len(), 1);
    drop(stalled);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_disconnects_a_subscriber_that_reads_nothing_in_memory() {
    an_operator_disconnects_a_subscriber_that_reads_nothing(Kind::Memory, "sse").await;
    an_operator_disconnects_a_subscriber_that_reads_nothing(Kind::Memory, "ws").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_disconnects_a_subscriber_that_reads_nothing_in_exclusive() {
    an_operator_disconnects_a_subscriber_that_reads_nothing(Kind::Exclusive, "sse").await;
    an_operator_disconnects_a_subscriber_that_reads_nothing(Kind::Exclusive, "ws").await;
}

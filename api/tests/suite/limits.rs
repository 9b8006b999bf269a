//! Limits of one request or event: the error names each limit, and the broker counts each refusal.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::common::{
    Broker, Kind, broker,
    broker::{API_KEY, answer},
    within,
    ws::Ws,
};

/// An event of this many bytes, name and data together.
fn event_of(bytes: usize) -> Value {
    json!({"event": "big", "data": "x".repeat(bytes - "big".len())})
}

async fn stored(broker: &Broker) -> usize {
    let (_, events) = broker.get("/api/stream/events?key=chat").await;
    // All but `start`.
    events.as_array().unwrap().len() - 1
}

#[tokio::test]
async fn a_batch_with_an_event_that_is_too_large_writes_nothing() {
    let broker = broker(Kind::Memory).set("MAX_EVENT", 1000).start().await;
    broker.create("chat").await;
    let batch =
        json!({"key": "chat", "events": [event_of(1000), {"event": "small"}, event_of(1001)]});
    let (status, error) = broker.post("/api/event/add", batch).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (413, &json!("too-large"))
    );
    let message = error["message"].as_str().unwrap();
    assert!(
        ["events[2]", "1000", "1001"]
            .iter()
            .all(|error_line| message.contains(error_line)),
        "{message}"
    );
    assert_eq!(stored(&broker).await, 0);
    assert_eq!(
        broker
            .metrics()
            .await
            .get(r#"refused_events_total{code="too-large",way="batch"}"#),
        1
    );
    broker
        .add("chat", json!([event_of(1000), {"event": "small"}]))
        .await;
    assert_eq!(stored(&broker).await, 2);
}

#[tokio::test]
async fn an_upload_reports_an_event_that_is_too_large_and_continues() {
    let broker = broker(Kind::Memory).set("MAX_EVENT", 1000).start().await;
    broker.create("chat").await;
    let lines = [event_of(1000), event_of(1001), json!({"event": "after"})]
        .map(|event| event.to_string())
        .join("\n");
    let (status, summary) = answer(
        broker
            .request(Method::POST, "/api/event/add/json-stream?key=chat")
            .body(lines),
    )
    .await;
    assert_eq!(
        (
            status.as_u16(),
            &summary["num_events"],
            &summary["num_errors"]
        ),
        (200, &json!(2), &json!(1))
    );
    let error_line = summary["errors"][0].as_str().unwrap();
    assert!(
        error_line.starts_with("line 2: ") && error_line.contains("1000"),
        "{error_line}"
    );
    assert_eq!(stored(&broker).await, 2);
    assert_eq!(
        broker
            .metrics()
            .await
            .get(r#"refused_events_total{code="too-large",way="ndjson"}"#),
        1
    );
}

#[tokio::test]
async fn a_message_whose_event_is_too_large_is_refused_and_the_next_is_accepted() {
    let broker = broker(Kind::Memory).set("MAX_EVENT", 1000).start().await;
    broker.create("chat").await;
    let url = format!(
        "{}/api/event/add/ws-stream?key=chat",
        broker.url.replacen("http", "ws", 1)
    );
    let mut socket = Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap();
    for event in [event_of(1001), event_of(1000)] {
        socket.send(event.to_string()).await;
    }
    let refused = socket.next().await.unwrap();
    assert_eq!(
        (&refused["type"], &refused["code"]),
        (&json!("error"), &json!("too-large"))
    );
    assert!(
        refused["message"].as_str().unwrap().contains("1000"),
        "{refused}"
    );
    assert_eq!(socket.next().await.unwrap()["type"], "success");
    assert_eq!(stored(&broker).await, 1);
    assert_eq!(
        broker
            .metrics()
            .await
            .get(r#"refused_events_total{code="too-large",way="websocket"}"#),
        1
    );
}

/// A connection on which only this text was sent.
async fn sent(broker: &Broker, text: &str) -> TcpStream {
    let mut socket = TcpStream::connect(broker.url.trim_start_matches("http://"))
        .await
        .unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    socket
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_refused_and_its_connection_closed() {
    let broker = broker(Kind::Memory).set("BODY_TIMEOUT", 1).start().await;
    broker.create("chat").await;
    for path in [
        "/api/stream",
        "/api/stream/token",
        "/api/stream/end",
        "/api/stream/cancel",
        "/api/event/add",
    ] {
        let half = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nX-API-KEY: {API_KEY}\r\n\
             Content-Length: 1000\r\n\r\n{{\"key\":\"chat\",\"events\":["
        );
        let mut answer = String::new();
        within(sent(&broker, &half).await.read_to_string(&mut answer))
            .await
            .unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 408 ")
                && head.to_ascii_lowercase().contains("\r\nconnection: close"),
            "{path}: {head}"
        );
        let error: Value = serde_json::from_str(body).unwrap();
        assert_eq!(error["code"], "request-timeout");
        assert!(
            error["message"].as_str().unwrap().contains("1 second"),
            "{error}"
        );
    }
    let series = r#"http_requests_total{method="POST",route="/api/event/add",status="408"}"#;
    assert_eq!(broker.metrics().await.get(series), 1);
}

#[tokio::test]
async fn an_upload_may_pause_for_longer_than_a_body_may_take() {
    let broker = broker(Kind::Memory).set("BODY_TIMEOUT", 1).start().await;
    broker.create("chat").await;
    let head = format!(
        "POST /api/event/add/json-stream?key=chat HTTP/1.1\r\nHost: x\r\n\
         X-API-KEY: {API_KEY}\r\nConnection: close\r\nContent-Length: 32\r\n\r\n"
    );
    let mut upload = sent(&broker, &(head + "{\"event\":\"a\"}\n")).await;
    // A body that started later and took too long has timed out by now.
    let mut body = String::new();
    let half = format!(
        "POST /api/event/add HTTP/1.1\r\nHost: x\r\nX-API-KEY: {API_KEY}\r\n\
         Content-Length: 1000\r\n\r\n{{\"key\":\"chat\",\"events\""
    );
    within(sent(&broker, &half).await.read_to_string(&mut body))
        .await
        .unwrap();
    upload.write_all(b"{\"event\":\"after\"}\n").await.unwrap();
    let mut answer = String::new();
    within(upload.read_to_string(&mut answer)).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"num_events\":2"),
        "{answer}"
    );
}

#[tokio::test]
async fn keys_beyond_the_limit_are_not_validated() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("chat").await;
    let keys = (0..33)
        .map(|n| format!("key=k{n}&key=k0&"))
        .collect::<Vec<_>>()
        .concat();
    for last in ["", "key=%00", "key=%FF"] {
        let (status, error) = answer(broker.http.get(format!(
            "{}/api/client/poll?token={token}&{keys}{last}",
            broker.url
        )))
        .await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (400, &json!("too-many-keys")),
            "{error}"
        );
    }
}

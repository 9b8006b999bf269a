//! Limits of one request, event or subscriber: the error names each limit, and the broker counts
//! each refusal.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::common::{
    Broker, Kind, broker,
    broker::{API_KEY, answer},
    until, within,
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

/// Follows a stream over SSE, as a proxy that forwards a subscriber's address.
async fn follow_for(
    broker: &Broker,
    key: &str,
    token: &str,
    address: Option<&str>,
) -> reqwest::Response {
    let request = broker
        .http
        .get(broker.subscribe_url("sse", key, token, None));
    let request = if let Some(address) = address {
        request.header("X-Real-IP", address)
    } else {
        request
    };
    within(request.send()).await.unwrap()
}

async fn refused(response: reqwest::Response) -> String {
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("retry-after"));
    let error: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(error["code"], "too-many-clients");
    error["message"].as_str().unwrap().to_owned()
}

async fn a_stream_refuses_subscribers_beyond_its_limit(kind: Kind) {
    let broker = broker(kind)
        .set("MAX_CLIENTS_PER_STREAM", 2)
        .set("HEARTBEAT", 3600)
        .start()
        .await;
    let (token, other) = (broker.create("chat").await, broker.create("other").await);
    let first = follow_for(&broker, "chat", &token, None).await;
    let mut second = broker.ws("chat", &token, None).await;
    second.next().await.unwrap();
    let message = refused(follow_for(&broker, "chat", &token, None).await).await;
    assert!(
        message.contains("2 connections") && message.contains("stream"),
        "{message}"
    );
    let (status, error) = Ws::connect(&broker.subscribe_url("ws", "chat", &token, None), &[])
        .await
        .err()
        .unwrap();
    assert_eq!((status, &error["code"]), (429, &json!("too-many-clients")));
    for transport in ["sse", "ws"] {
        let series =
            format!("clients_refused_total{{reason=\"stream\",transport=\"{transport}\"}}");
        assert_eq!(broker.metrics().await.get(&series), 1);
    }
    assert_eq!(
        follow_for(&broker, "other", &other, None).await.status(),
        200,
        "another stream"
    );
    // No heartbeat is due for an hour. Only the admission of a new subscriber detects that another
    // has left.
    drop((first, second));
    let again = [
        follow_for(&broker, "chat", &token, None).await,
        follow_for(&broker, "chat", &token, None).await,
    ];
    assert!(again.iter().all(|response| response.status() == 200));
}

async fn an_address_opens_no_more_connections_than_its_limit(kind: Kind) {
    let setup = broker(kind)
        .set("MAX_CLIENTS_PER_ADDRESS", 2)
        .set("CLIENT_IP_HEADER", "X-Real-IP")
        .set("HEARTBEAT", 3600);
    let broker = setup.start().await;
    let (token, other) = (broker.create("chat").await, broker.create("other").await);
    let subscribers = [
        follow_for(&broker, "chat", &token, Some("192.0.2.1")).await,
        follow_for(&broker, "other", &other, Some("192.0.2.1")).await,
        follow_for(&broker, "chat", &token, Some("2001:db8::1")).await,
        follow_for(&broker, "chat", &token, Some("2001:db8::ffff:0:0:2")).await,
        follow_for(&broker, "chat", &token, Some("192.0.2.2")).await,
    ];
    assert!(subscribers.iter().all(|response| response.status() == 200));
    for address in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::3"] {
        let message = refused(follow_for(&broker, "chat", &token, Some(address)).await).await;
        assert!(
            message.contains("2 connections") && message.contains("address"),
            "{message}"
        );
    }
    assert_eq!(
        broker
            .metrics()
            .await
            .get(r#"clients_refused_total{reason="address",transport="sse"}"#),
        3
    );
    assert_eq!(
        follow_for(&broker, "chat", &token, Some("2001:db8:0:1::1"))
            .await
            .status(),
        200,
        "another network"
    );
    drop(subscribers);
    assert_eq!(
        follow_for(&broker, "chat", &token, Some("192.0.2.1"))
            .await
            .status(),
        200
    );
}

async fn a_stream_keeps_its_limit_when_many_subscribe_at_once(kind: Kind) {
    let broker = broker(kind).set("MAX_CLIENTS_PER_STREAM", 5).start().await;
    let token = broker.create("chat").await;
    let answers =
        futures::future::join_all((0..40).map(|_| follow_for(&broker, "chat", &token, None))).await;
    assert_eq!(
        answers
            .iter()
            .filter(|response| response.status() == 200)
            .count(),
        5
    );
    assert_eq!(broker.permits_in_use().await, 5);
}

over_each_kind!(
    a_stream_refuses_subscribers_beyond_its_limit,
    an_address_opens_no_more_connections_than_its_limit,
    a_stream_keeps_its_limit_when_many_subscribe_at_once,
);

#[tokio::test]
async fn a_forged_address_header_is_ignored() {
    let broker = broker(Kind::Memory)
        .set("MAX_CLIENTS_PER_ADDRESS", 1)
        .start()
        .await;
    let token = broker.create("chat").await;
    let first = follow_for(&broker, "chat", &token, Some("192.0.2.1")).await;
    assert_eq!(first.status(), 200);
    refused(follow_for(&broker, "chat", &token, Some("192.0.2.2")).await).await;
    drop(first);
}

/// The response to a WebSocket handshake from a page of this origin: 101, or the status and code of
/// the refusal.
async fn upgraded_for(url: &str, origin: Option<&str>) -> (u16, String) {
    let headers: Vec<_> = origin
        .map(|origin| ("Origin", origin))
        .into_iter()
        .chain([("X-API-KEY", API_KEY)])
        .collect();
    match Ws::connect(url, &headers).await {
        Ok(_) => (101, String::new()),
        Err((status, error)) => (status, error["code"].as_str().unwrap().to_owned()),
    }
}

#[tokio::test]
async fn a_page_opens_websockets_only_from_allowed_origins_and_the_brokers_own() {
    let setup = broker(Kind::Memory).set("ALLOWED_ORIGINS", "https://app.example.com");
    let broker = setup
        .set("SERVER_ADDRESS", "https://stream.example.com:8443/broker")
        .start()
        .await;
    let token = broker.create("chat").await;
    let producer = format!(
        "{}/api/event/add/ws-stream?key=chat",
        broker.url.replacen("http", "ws", 1)
    );
    let forbidden = (403, "forbidden".to_owned());
    for url in [broker.subscribe_url("ws", "chat", &token, None), producer] {
        let console = broker.url.clone();
        for good in [
            None,
            Some("https://app.example.com"),
            Some("HTTPS://stream.example.com:8443"),
            Some(&*console),
        ] {
            assert_eq!(upgraded_for(&url, good).await.0, 101, "{good:?}");
        }
        let of_a_longer_name = format!("{console}.example.com");
        for bad in [
            "https://evil.example",
            "null",
            "https://stream.example.com",
            "http://app.example.com",
            "",
            &of_a_longer_name,
        ] {
            assert_eq!(upgraded_for(&url, Some(bad)).await, forbidden, "{bad}");
        }
    }
    // A subscriber without access to the stream receives that error first.
    assert_eq!(
        upgraded_for(
            &broker.subscribe_url("ws", "chat", "forged", None),
            Some("https://evil.example")
        )
        .await
        .0,
        401
    );
}

#[tokio::test]
async fn a_page_of_any_origin_opens_websockets_by_default() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("chat").await;
    let url = broker.subscribe_url("ws", "chat", &token, None);
    assert_eq!(upgraded_for(&url, Some("https://any.example")).await.0, 101);
}

async fn an_api_key_creates_no_more_active_streams_than_its_quota(kind: Kind) {
    let other = "other-key-0123456789";
    let broker = broker(kind)
        .set("API_KEY", format!("{API_KEY},{other}"))
        .set("MAX_STREAMS_PER_KEY", 2)
        .start()
        .await;
    let elsewhere = broker.another_node().await;
    let create = async |key: &str| broker.post("/api/stream", json!({"key": key})).await;
    assert_eq!(
        (create("a").await.0, create("b").await.0),
        (StatusCode::OK, StatusCode::OK)
    );
    assert_eq!(
        create("a").await.1["code"],
        "existing-stream",
        "it is not an additional one"
    );
    let (status, error) = create("c").await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("too-many-streams")),
        "{error}"
    );
    let of_another = broker
        .http
        .post(format!("{}/api/stream", broker.url))
        .header("X-API-KEY", other)
        .json(&json!({"key": "d"}));
    assert_eq!(
        of_another.send().await.unwrap().status(),
        StatusCode::OK,
        "each key has its own"
    );

    // A stream that ends stops counting. The broker checks this once a second.
    let there = if kind == Kind::Memory {
        &broker
    } else {
        &elsewhere
    };
    there.end("a").await;
    until("there is room again", async || {
        create("c").await.0 == StatusCode::OK
    })
    .await;
    assert_eq!(create("e").await.0, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        broker.post("/api/stream/end", json!({"key": "c"})).await.0,
        StatusCode::OK
    );
    assert_eq!(
        create("c").await.0,
        StatusCode::OK,
        "a stream that replaces its own finished one takes no further quota"
    );
    assert!(broker.metrics().await.get("streams_refused_total") >= 2);
}

#[tokio::test]
async fn an_api_key_creates_no_more_active_streams_than_its_quota_in_memory() {
    an_api_key_creates_no_more_active_streams_than_its_quota(Kind::Memory).await;
}

#[tokio::test]
async fn an_api_key_creates_no_more_active_streams_than_its_quota_in_redis() {
    an_api_key_creates_no_more_active_streams_than_its_quota(Kind::Exclusive).await;
}

#[tokio::test]
async fn a_failed_create_with_another_api_key_frees_no_quota() {
    let other = "other-key-0123456789";
    let broker = broker(Kind::Memory)
        .set("API_KEY", format!("{API_KEY},{other}"))
        .set("MAX_STREAMS_PER_KEY", 1)
        .start()
        .await;
    broker.create("a").await;
    let of_another = broker
        .http
        .post(format!("{}/api/stream", broker.url))
        .header("X-API-KEY", other)
        .json(&json!({"key": "a"}));
    assert_eq!(
        of_another.send().await.unwrap().status(),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        broker.post("/api/stream", json!({"key": "b"})).await.0,
        StatusCode::TOO_MANY_REQUESTS
    );
}

#[tokio::test]
async fn every_inactive_stream_frees_its_quota() {
    let broker = broker(Kind::Memory)
        .set("MAX_STREAMS_PER_KEY", 300)
        .start()
        .await;
    for n in 0..300 {
        broker.create(&format!("s{n}")).await;
    }
    // The active streams are among the inactive ones in the index.
    for n in (0..300).filter(|n| n % 3 != 0) {
        broker.end(&format!("s{n}")).await;
    }
    for n in 0..200 {
        broker.create(&format!("t{n}")).await;
    }
    assert_eq!(
        broker.post("/api/stream", json!({"key": "u"})).await.0,
        StatusCode::TOO_MANY_REQUESTS
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

//! The content and the format of the log.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{
    Broker, Kind, broker,
    broker::{API_KEY, answer},
    redis::Redis,
    until, within,
    ws::Ws,
};

/// The lines that a broker has logged. Each is a JSON object.
async fn lines(broker: Broker) -> Vec<Value> {
    let (code, log) = broker.stop("-TERM").await;
    assert_eq!(code, Some(0));
    log.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("JSON, not {line}")))
        .collect()
}

fn with_message<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    lines
        .iter()
        .filter(|line| line["message"] == message)
        .collect()
}

#[tokio::test]
async fn each_line_is_an_object_with_time_level_and_message() {
    let broker = broker(Kind::Memory).set("LOG", "debug").start().await;
    broker.create("chat").await;
    assert_eq!(broker.get("/api/nope?token=hush").await.0, 404);
    let lines = lines(broker).await;
    for line in &lines {
        let time =
            chrono::DateTime::parse_from_rfc3339(line["timestamp"].as_str().unwrap()).unwrap();
        assert_eq!(time.offset().local_minus_utc(), 0, "{line}");
        assert!(
            ["ERROR", "WARN", "INFO", "DEBUG"].contains(&line["level"].as_str().unwrap())
                && line["message"].is_string(),
            "{line}"
        );
    }
    let answers = with_message(&lines, "answered");
    let fields = |n: usize| ["level", "status"].map(|field| answers[n][field].clone());
    assert_eq!(
        (fields(0), fields(1)),
        ([json!("DEBUG"), json!(200)], [json!("INFO"), json!(404)])
    );
    assert!(answers[1]["ms"].is_u64());
    let span = &answers[1]["span"];
    assert_eq!(
        (&span["method"], &span["path"]),
        (&json!("GET"), &json!("/api/nope"))
    );
    assert_eq!(
        with_message(&lines, "stopping; a second signal ends it at once").len(),
        1
    );
}

#[tokio::test]
async fn every_line_about_a_request_has_its_id() {
    let mut redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .set("LOG", "debug")
        .start()
        .await;
    let token = broker.create("chat").await;
    // Three requests that go on for long after the response began.
    let url = broker.subscribe_url("sse", "chat", &token, None);
    let sse = broker
        .http
        .get(url)
        .header("X-Request-Id", "the-sse")
        .send()
        .await
        .unwrap();
    let mut ws = Ws::connect(
        &broker.subscribe_url("ws", "chat", &token, None),
        &[("X-Request-Id", "the-ws")],
    )
    .await
    .unwrap();
    ws.next().await.unwrap();
    let url = format!(
        "{}/api/event/add/ws-stream?key=chat",
        broker.url.replacen("http", "ws", 1)
    );
    let mut producer = Ws::connect(
        &url,
        &[("X-API-KEY", API_KEY), ("X-Request-Id", "the-producer")],
    )
    .await
    .unwrap();
    until("both wait", || async { redis.blocked_connections() == 2 }).await;
    redis.kill();
    let (status, _) = answer(
        broker
            .request(Method::GET, "/api/stream/info?key=chat")
            .header("X-Request-Id", "the-info"),
    )
    .await;
    assert_eq!(status, 503);
    producer.send(r#"{"event": "n"}"#).await;
    assert_eq!(producer.next().await.unwrap()["code"], "store-unavailable");
    // After their waits have failed. The broker logs that.
    until("both waits have failed", || async {
        broker
            .metrics()
            .await
            .get(r#"redis_errors_total{operation="follow"}"#)
            >= 2
    })
    .await;
    drop((sse, ws, producer));

    let lines = lines(broker).await;
    let ids = |message| -> Vec<&Value> {
        with_message(&lines, message)
            .iter()
            .map(|line| &line["span"]["id"])
            .collect()
    };
    for id in ["the-sse", "the-ws"] {
        assert!(
            ids("the store failed a session").contains(&&json!(id)),
            "{id}"
        );
    }
    assert_eq!(
        ids("the store is unavailable"),
        ["the-info", "the-producer"]
    );
    assert!(ids("answered").contains(&&json!("the-info")));
    let warned: Vec<_> = lines
        .iter()
        .filter(|line| line["span"]["id"] == "the-info")
        .map(|line| line["level"].clone())
        .collect();
    assert_eq!(warned, ["WARN", "WARN"], "the request, and its answer");
}

async fn subscribers_that_leave_cause_no_warning(broker: Broker) {
    let token = broker.create("chat").await;
    let mut sse = broker.sse("chat", &token, None).await;
    let mut ws = broker.ws("chat", &token, None).await;
    sse.next().await.unwrap();
    ws.next().await.unwrap();
    drop((sse, ws));
    // Its upload breaks off in the middle of a line.
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let body = futures::stream::unfold(
        receiver,
        |mut receiver: tokio::sync::mpsc::Receiver<&'static str>| async move {
            receiver
                .recv()
                .await
                .map(|text| (Ok::<_, std::io::Error>(text), receiver))
        },
    );
    let request = broker
        .request(Method::POST, "/api/event/add/json-stream?key=chat")
        .body(reqwest::Body::wrap_stream(body));
    let upload = tokio::spawn(request.send());
    sender.send("{\"event\": \"n\"}\n{\"eve").await.unwrap();
    until("a line is written", || async {
        broker.get("/api/stream/info?key=chat").await.1["length"] == 2
    })
    .await;
    upload.abort();
    until("the subscribers have left", || async {
        // Only a failed write shows that a subscriber over server-sent events has left.
        broker.add_events("chat", 0, 1).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        broker.permits_in_use().await == 0
    })
    .await;
    let lines = lines(broker).await;
    // The broker answers 400 to an upload that broke off, in case the caller still reads.
    let grave: Vec<_> = lines
        .iter()
        .filter(|line| ["ERROR", "WARN"].contains(&line["level"].as_str().unwrap()))
        .collect();
    assert_eq!(grave, Vec::<&Value>::new());
}

on_every_store!(subscribers_that_leave_cause_no_warning);

#[tokio::test]
async fn lines_are_text_if_configured() {
    let broker = broker(Kind::Memory).set("LOG_FORMAT", "text").start().await;
    let response = broker
        .http
        .get(format!("{}/api/nope", broker.url))
        .header("X-Request-Id", "mine")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["x-request-id"], "mine");
    let (_, log) = broker.stop("-TERM").await;
    let line = log.lines().next().unwrap();
    assert!(
        line.contains("INFO request{id=mine method=GET path=/api/nope}: answered status=404 ms="),
        "{line}"
    );
    assert!(!log.contains('\u{1b}'), "colours only on a terminal");
}

#[tokio::test]
async fn an_unread_log_blocks_no_request() {
    let broker = broker(Kind::Memory).set("LOG", "debug").start().await;
    // Several times as much as a pipe holds.
    for _ in 0..3_000 {
        assert_eq!(
            within(broker.http.get(format!("{}/api/health", broker.url)).send())
                .await
                .unwrap()
                .status(),
            200
        );
    }
    assert_eq!(broker.stop("-TERM").await.0, Some(0));
}

#[tokio::test]
async fn a_request_cannot_forge_log_lines() {
    let misleading = [
        '\u{85}', '\u{9b}', '\u{2028}', '\u{2029}', '\u{200f}', '\u{202e}', '\u{2066}', '\u{61c}',
    ];
    let path = misleading.map(|c| format!("/{c}a")).concat();
    for format in ["text", "json"] {
        let broker = broker(Kind::Memory).set("LOG_FORMAT", format).start().await;
        let mut socket = tokio::net::TcpStream::connect(broker.url.trim_start_matches("http://"))
            .await
            .unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        within(socket.read_to_end(&mut Vec::new())).await.unwrap();
        let long = format!("{}/{}", broker.url, "x".repeat(20_000));
        assert_eq!(broker.http.get(long).send().await.unwrap().status(), 404);
        let (_, log) = broker.stop("-TERM").await;
        assert!(
            log.contains("\\u2028a") && !log.contains(misleading),
            "{format}: {log:?}"
        );
        assert!(
            log.lines().all(|line| line.len() < 2_000) && log.contains("bytes in all"),
            "{format}"
        );
        if format == "json" {
            let line: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
            assert_eq!(line["span"]["path"], json!(path));
        }
    }
}

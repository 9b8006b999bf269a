//! The broker stops on a signal: in order, in time, with exit code 0.

use std::time::Instant;

use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::common::{
    Broker, Kind, assert_contiguous, broker,
    broker::{API_KEY, answer},
    http_client,
    sse::ids,
    until, within,
};

async fn subscribers_receive_all_stored_events_before_they_are_closed(kind: Kind) {
    let broker = broker(kind).set("SHUTDOWN_GRACE", 5).start().await;
    let token = broker.create("chat").await;
    let mut sockets = Vec::new();
    let mut texts = Vec::new();
    for _ in 0..5 {
        let mut socket = broker.ws("chat", &token, None).await;
        socket.next().await.unwrap();
        sockets.push(socket);
        let response = broker
            .http
            .get(broker.subscribe_url("sse", "chat", &token, None))
            .send()
            .await
            .unwrap();
        texts.push(tokio::spawn(response.text()));
    }
    until("all are admitted", || async {
        broker.permits_in_use().await == 10
    })
    .await;
    broker.add_events("chat", 0, 3).await;
    broker.signal("-TERM").await;
    for mut socket in sockets {
        for n in 0..3 {
            assert_eq!(socket.next().await.unwrap()["data"], n.to_string());
        }
        assert_eq!(socket.close_code().await, Some(1012));
    }
    for text in texts {
        let text = within(text).await.unwrap().unwrap();
        assert!(
            text.contains("data: 2\nid: ") && text.contains("\nretry: "),
            "{text}"
        );
        let retry = text
            .lines()
            .rfind(|line| line.starts_with("retry: "))
            .unwrap();
        assert!(
            text.ends_with(&format!("{retry}\n\n")),
            "the last block: {text}"
        );
    }
    let mut broker = broker;
    assert_eq!(within(broker.process.wait()).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn subscribers_receive_all_stored_events_before_they_are_closed_in_memory() {
    subscribers_receive_all_stored_events_before_they_are_closed(Kind::Memory).await;
}

#[tokio::test]
async fn subscribers_receive_all_stored_events_before_they_are_closed_in_exclusive() {
    subscribers_receive_all_stored_events_before_they_are_closed(Kind::Exclusive).await;
}

#[tokio::test]
async fn an_idle_broker_stops_without_waiting_for_the_grace_period() {
    for signal in ["-TERM", "-INT"] {
        let broker = broker(Kind::Exclusive)
            .set("SHUTDOWN_GRACE", 600)
            .start()
            .await;
        broker.create("chat").await;
        assert_eq!(broker.stop(signal).await.0, Some(0));
    }
}

/// A subscriber that reads nothing of a stream that exceeds all buffers between it and the broker.
async fn stalled_subscriber(broker: &Broker) -> reqwest::Response {
    let token = broker
        .create_with(json!({"key": "stalled", "max_events": 100_000}))
        .await;
    let stalled = broker
        .http
        .get(broker.subscribe_url("sse", "stalled", &token, None))
        .send()
        .await
        .unwrap();
    let data = "x".repeat(100_000);
    for _ in 0..20 {
        let events: Vec<_> = (0..20)
            .map(|_| json!({"event": "big", "data": data}))
            .collect();
        broker.add("stalled", json!(events)).await;
    }
    stalled
}

#[tokio::test]
async fn a_subscriber_that_reads_nothing_does_not_delay_the_shutdown() {
    let broker = broker(Kind::Memory).set("SHUTDOWN_GRACE", 2).start().await;
    let stalled = stalled_subscriber(&broker).await;
    assert_eq!(broker.stop("-TERM").await.0, Some(0));
    drop(stalled);
}

#[tokio::test]
async fn a_second_signal_stops_the_broker_at_once() {
    let broker = broker(Kind::Memory)
        .set("SHUTDOWN_GRACE", 3600)
        .start()
        .await;
    let token = broker.create("chat").await;
    // A request whose body never arrives delays the shutdown until a second signal.
    let mut socket = tokio::net::TcpStream::connect(broker.url.trim_start_matches("http://"))
        .await
        .unwrap();
    let head = format!(
        "POST /api/event/add HTTP/1.1\r\nHost: x\r\n\
         X-API-KEY: {API_KEY}\r\nContent-Length: 1000\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut subscriber = broker.sse("chat", &token, None).await;
    subscriber.next().await.unwrap();
    broker.signal("-TERM").await;
    assert_eq!(subscriber.next().await, None, "stopping");
    assert_eq!(broker.stop("-TERM").await.0, Some(0));
}

#[tokio::test]
async fn the_broker_is_not_ready_before_it_stops_listening() {
    let broker = broker(Kind::Memory)
        .set("SHUTDOWN_GRACE", 300)
        .start()
        .await;
    // Shutdown has to wait as long as this subscriber reads nothing.
    let stalled = stalled_subscriber(&broker).await;
    broker.signal("-TERM").await;
    until("it is not ready", || async {
        // On a new connection, as probes do.
        let answer = http_client()
            .get(format!("{}/api/ready", broker.url))
            .send()
            .await
            .unwrap();
        answer.status() == 503 && answer.text().await.unwrap().contains("shutting-down")
    })
    .await;
    assert_eq!(broker.stop("-TERM").await.0, Some(0));
    drop(stalled);
}

#[tokio::test]
async fn the_received_part_of_an_upload_is_written_and_reported() {
    let node = broker(Kind::Exclusive)
        .set("SHUTDOWN_GRACE", 5)
        .start()
        .await;
    let other = node.another_node().await;
    node.create("chat").await;
    let (lines, body) = tokio::sync::mpsc::unbounded_channel::<Result<String, std::io::Error>>();
    let body = futures::stream::unfold(body, |mut body| async {
        body.recv().await.map(|line| (line, body))
    });
    let request = node
        .request(reqwest::Method::POST, "/api/event/add/json-stream?key=chat")
        .body(reqwest::Body::wrap_stream(body));
    let upload = tokio::spawn(answer(request));
    lines
        .send(Ok("{\"event\":\"a\"}\n{\"event\":\"b\"}\n".to_owned()))
        .unwrap();
    until("both are written", || async {
        other.get("/api/stream/info?key=chat").await.1["length"] == 3
    })
    .await;
    let stopped = tokio::spawn(node.stop("-TERM"));
    let (status, error) = within(upload).await.unwrap();
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (503, &json!("shutting-down"))
    );
    assert!(
        error["message"].as_str().unwrap().contains("2 events"),
        "{error}"
    );
    assert_eq!(within(stopped).await.unwrap().0, Some(0));
}

#[tokio::test]
async fn a_subscriber_of_a_stopped_node_resumes_at_another() {
    let one = broker(Kind::Exclusive)
        .set("SHUTDOWN_GRACE", 3)
        .start()
        .await;
    let two = one.another_node().await;
    let token = one.create("chat").await;
    let mut subscriber = one.sse("chat", &token, None).await;
    two.add_events("chat", 0, 100).await;
    let mut seen = subscriber.take(50).await;
    let begun = Instant::now();
    one.signal("-TERM").await;
    two.add_events("chat", 100, 100).await;
    seen.extend(subscriber.rest().await);
    assert!(begun.elapsed().as_secs() < 20);
    two.end("chat").await;
    let after = seen.last().unwrap().id.clone();
    seen.extend(two.sse("chat", &token, Some(&after)).await.rest().await);
    assert_contiguous(ids(&seen), 0);
    assert_eq!(seen.len(), 202);
}

/// `EventSource` does not retry after any status other than 200.
#[tokio::test]
async fn a_subscriber_that_connects_during_shutdown_is_asked_to_retry() {
    let redis = crate::common::redis::Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .set("SHUTDOWN_GRACE", 10)
        .start()
        .await;
    let token = broker.create("chat").await;
    redis.cli(&["client", "pause", "1500", "all"]);
    let request = broker
        .http
        .get(broker.subscribe_url("sse", "chat", &token, None));
    let late = tokio::spawn(async move { request.send().await.unwrap() });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    broker.signal("-TERM").await;
    let response = within(late).await.unwrap();
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    assert!(
        text.starts_with("retry: ") && text.ends_with("\n\n") && !text.contains("data"),
        "{text}"
    );
}

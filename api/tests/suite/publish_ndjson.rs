//! Publishing an upload of NDJSON.

use std::time::Duration;

use reqwest::{Body, Method};
use serde_json::json;
use tokio::sync::mpsc;

use crate::common::{
    Broker, Kind, assert_contiguous, broker,
    broker::{API_KEY, answer},
    number, until, within,
};

async fn an_upload_reports_the_result_of_every_line(broker: Broker) {
    broker.create("chat").await;
    let long = json!({"event": "long", "data": "x".repeat(1 << 20)});
    let lines = [
        "{\"event\":\"a\"}",
        "",
        "  \t",
        "nonsense",
        "{\"event\":\"b\",\"data\":\"2\"}\r",
        "{\"event\":\"end\"}",
        &long.to_string(),
        "\u{0}",
        "{\"event\":\"c\"}",
    ];
    let request = broker
        .request(Method::POST, "/api/event/add/json-stream?key=chat")
        .header("content-type", "image/png")
        .body(lines.join("\n"));
    let (status, summary) = answer(request).await;
    assert_eq!(status, 200, "{summary}");
    assert_eq!(
        (&summary["num_events"], &summary["num_errors"]),
        (&json!(3), &json!(4))
    );
    let ids: Vec<String> = serde_json::from_value(summary["ids"].clone()).unwrap();
    assert_contiguous(ids.iter().map(String::as_str), 1);
    assert_eq!(summary["last_id"], json!(ids[2]));
    let reported: Vec<&str> = summary["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error.as_str().unwrap().split(':').next().unwrap())
        .collect();
    assert_eq!(reported, ["line 4", "line 6", "line 7", "line 8"]);
}

async fn every_line_is_forwarded_as_it_arrives(broker: Broker) {
    let token = broker.create("chat").await;
    let mut subscriber = broker.sse("chat", &token, None).await;
    assert_eq!(subscriber.next().await.unwrap().event, "start");
    let (lines, body) = mpsc::unbounded_channel::<String>();
    let body = Body::wrap_stream(tokio_stream(body));
    let upload = tokio::spawn(answer(
        broker
            .request(Method::POST, "/api/event/add/json-stream?key=chat")
            .body(body),
    ));
    for n in 0..20 {
        // Cut within a line: half a line does not count.
        let (head, tail) = (
            "{\"event\":\"n\",\"da".to_owned(),
            format!("ta\":\"{n}\"}}\n"),
        );
        lines.send(head).unwrap();
        tokio::task::yield_now().await;
        lines.send(tail).unwrap();
        assert_eq!(subscriber.next().await.unwrap().data, n.to_string());
    }
    drop(lines);
    let (status, summary) = within(upload).await.unwrap();
    assert_eq!((status.as_u16(), &summary["num_events"]), (200, &json!(20)));
}

fn tokio_stream(
    receiver: mpsc::UnboundedReceiver<String>,
) -> impl futures::Stream<Item = Result<String, std::io::Error>> {
    futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|line| (Ok(line), receiver))
    })
}

async fn the_report_of_a_long_upload_is_bounded(broker: Broker) {
    broker
        .create_with(json!({"key": "chat", "max_events": 100_000}))
        .await;
    let lines = (0..15_000)
        .map(|n| format!("{{\"event\":\"n\",\"data\":\"{n}\"}}\n"))
        .chain((0..150).map(|_| "bad\n".to_owned()));
    let body = Body::wrap_stream(futures::stream::iter(lines.map(Ok::<_, std::io::Error>)));
    let (status, summary) = answer(
        broker
            .request(Method::POST, "/api/event/add/json-stream?key=chat")
            .body(body),
    )
    .await;
    assert_eq!(status, 200);
    assert_eq!(
        (&summary["num_events"], &summary["num_errors"]),
        (&json!(15_000), &json!(150))
    );
    assert_eq!(
        (
            summary["ids"].as_array().unwrap().len(),
            summary["errors"].as_array().unwrap().len()
        ),
        (10_000, 100)
    );
    assert_eq!(number(summary["last_id"].as_str().unwrap()), 15_000);
    let (_, events) = broker.get("/api/stream/events?key=chat").await;
    assert!(
        (1..=15_000).all(|n| events[n]["data"].as_str() == Some(format!("{}", n - 1).as_str())),
        "in order"
    );
}

async fn an_upload_receives_the_end_of_its_stream(broker: Broker) {
    broker.create("chat").await;
    let (lines, body) = mpsc::unbounded_channel::<String>();
    let body = Body::wrap_stream(tokio_stream(body));
    let upload = tokio::spawn(answer(
        broker
            .request(Method::POST, "/api/event/add/json-stream?key=chat")
            .body(body),
    ));
    lines
        .send("{\"event\":\"a\"}\n{\"event\":\"b\"}\n".to_owned())
        .unwrap();
    until("both are written", || async {
        broker.get("/api/stream/info?key=chat").await.1["length"] == 3
    })
    .await;
    broker.end("chat").await;
    lines.send("{\"event\":\"c\"}\n".to_owned()).unwrap();
    let (status, error) = within(upload).await.unwrap();
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (404, &json!("no-active-stream"))
    );
    assert!(
        error["message"].as_str().unwrap().contains("2 events"),
        "{error}"
    );
}

async fn an_upload_for_a_missing_stream_is_refused_before_its_body(broker: Broker) {
    // The body never ends, and the response does not wait for it. Rocket reads its first 14 bytes
    // before anything else. No line with an event is shorter.
    let (lines, body) = mpsc::unbounded_channel::<String>();
    lines.send("{\"event\":\"a\"}\n".to_owned()).unwrap();
    let request = broker
        .request(Method::POST, "/api/event/add/json-stream?key=nobody")
        .body(Body::wrap_stream(tokio_stream(body)));
    let (status, error) = answer(request).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (404, &json!("no-active-stream"))
    );
    let (status, error) = answer(
        broker
            .request(Method::POST, "/api/event/add/json-stream")
            .body(""),
    )
    .await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (400, &json!("missing-parameter"))
    );
}

async fn an_incomplete_line_of_a_broken_upload_is_not_an_event(broker: Broker) {
    use tokio::io::AsyncWriteExt;
    broker.create("chat").await;
    let mut socket = tokio::net::TcpStream::connect(broker.url.trim_start_matches("http://"))
        .await
        .unwrap();
    let body = "{\"event\":\"whole\"}\n{\"event\":\"half\"}";
    let head = format!(
        "POST /api/event/add/json-stream?key=chat HTTP/1.1\r\nHost: x\r\n\
         X-API-KEY: {API_KEY}\r\nContent-Length: 1000\r\n\r\n{body}"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    until("the whole line is written", || async {
        broker.get("/api/stream/info?key=chat").await.1["length"] == 2
    })
    .await;
    drop(socket);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(broker.get("/api/stream/info?key=chat").await.1["length"], 2);
}

on_every_store!(
    an_upload_reports_the_result_of_every_line,
    every_line_is_forwarded_as_it_arrives,
    the_report_of_a_long_upload_is_bounded,
    an_upload_receives_the_end_of_its_stream,
    an_upload_for_a_missing_stream_is_refused_before_its_body,
    an_incomplete_line_of_a_broken_upload_is_not_an_event,
);

#[tokio::test]
async fn memory_does_not_grow_with_an_upload() {
    let broker = broker(Kind::Exclusive).start().await;
    broker
        .create_with(json!({"key": "chat", "max_events": 10}))
        .await;
    let line = format!("{}\n", json!({"event": "x", "data": "y".repeat(10_000)}));
    let before = broker.resident_kb();
    let body = Body::wrap_stream(futures::stream::iter(
        std::iter::repeat_n(line, 20_000).map(Ok::<_, std::io::Error>),
    ));
    let (status, summary) = answer(
        broker
            .request(Method::POST, "/api/event/add/json-stream?key=chat")
            .body(body),
    )
    .await;
    assert_eq!(
        (status.as_u16(), &summary["num_events"]),
        (200, &json!(20_000))
    );
    let grown = broker.resident_kb().saturating_sub(before);
    assert!(
        grown < 40_000,
        "200 MB were uploaded, and {grown} kB remained"
    );
}

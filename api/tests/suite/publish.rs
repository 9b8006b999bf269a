//! Publishing in three ways: a batch, NDJSON, WebSocket.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::common::{
    Broker, Kind, assert_contiguous, broker,
    broker::{API_KEY, answer},
    number, until, within,
    ws::Ws,
};

async fn a_batch_is_written_whole_with_ids_in_order(broker: Broker) {
    broker.create("chat").await;
    let events = json!([
        {"event": "a"},
        {"event": "b", "data": "x"},
        {"event": "c", "data": {"k": [1, 2]}},
    ]);
    let ids = broker.add("chat", events).await;
    assert_contiguous(ids.iter().map(String::as_str), 1);
    let (_, events) = broker.get("/api/stream/events?key=chat").await;
    assert_eq!(
        (
            events[1].get("data"),
            &events[2]["data"],
            &events[3]["data"]
        ),
        (None, &json!("x"), &json!("{\"k\":[1,2]}"))
    );
    assert_eq!(broker.add("chat", json!([])).await, Vec::<String>::new());
    let more = broker.add_events("chat", 0, 1).await;
    assert_eq!(number(&more[0]), 4);
}

async fn a_batch_with_a_bad_event_writes_nothing(broker: Broker) {
    broker.create("chat").await;
    let good = json!({"event": "good"});
    let cases = [
        (json!({"event": "end"}), "reserved-event"),
        (json!({"event": "missedevents"}), "reserved-event"),
        (json!({"event": ""}), "invalid-event"),
        (json!({"event": "x".repeat(129)}), "invalid-event"),
        (json!({"event": "a\u{0}"}), "invalid-event"),
        (json!({"event": 7}), "invalid-request"),
        (json!({"data": "x"}), "invalid-request"),
    ];
    for (bad, code) in cases {
        let (status, error) = broker
            .post(
                "/api/event/add",
                json!({"key": "chat", "events": [good, bad, good]}),
            )
            .await;
        assert_eq!(
            (status.as_u16(), error["code"].as_str()),
            (400, Some(code)),
            "{bad}"
        );
        assert!(
            error["message"].as_str().unwrap().contains("events[1]"),
            "it says which: {error}"
        );
    }
    let (_, info) = broker.get("/api/stream/info?key=chat").await;
    assert_eq!(info["length"], 1);
}

async fn subscribers_do_not_notice_an_empty_batch(broker: Broker) {
    let token = broker.create("chat").await;
    let mut live = broker.sse("chat", &token, None).await;
    live.next().await.unwrap();
    broker.add_events("chat", 0, 1).await;
    // By a later clock than that of the last event.
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(broker.add("chat", json!([])).await, Vec::<String>::new());
    let resumed = live.next().await.unwrap().id;
    let mut late = broker.sse("chat", &token, Some(&resumed)).await;
    broker.end("chat").await;
    for subscriber in [&mut live, &mut late] {
        assert_eq!(subscriber.next().await.unwrap().event, "end");
        assert_eq!(subscriber.next().await, None);
    }
}

async fn a_batch_for_a_missing_stream_is_refused(broker: Broker) {
    for events in [json!([{"event": "x"}]), json!([])] {
        let (status, error) = broker
            .post("/api/event/add", json!({"key": "nobody", "events": events}))
            .await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (404, &json!("no-active-stream"))
        );
        assert!(
            error["message"].as_str().unwrap().contains("nobody"),
            "it names the key: {error}"
        );
    }
}

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
    assert_eq!(socket.next().await.unwrap()["code"], "no-active-stream");
    assert_eq!(socket.close_code().await, Some(1011));
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
    a_batch_is_written_whole_with_ids_in_order,
    a_batch_with_a_bad_event_writes_nothing,
    subscribers_do_not_notice_an_empty_batch,
    a_batch_for_a_missing_stream_is_refused,
    an_upload_reports_the_result_of_every_line,
    every_line_is_forwarded_as_it_arrives,
    the_report_of_a_long_upload_is_bounded,
    an_upload_receives_the_end_of_its_stream,
    an_upload_for_a_missing_stream_is_refused_before_its_body,
    an_incomplete_line_of_a_broken_upload_is_not_an_event,
    every_message_of_a_producer_is_answered_in_order,
    a_producers_long_message_is_refused_and_the_next_is_accepted,
    a_producer_of_an_ended_stream_receives_an_error_and_is_closed,
    pings_of_a_producer_are_answered,
);

#[tokio::test]
async fn a_silent_producer_of_an_ended_stream_is_closed_at_the_next_heartbeat() {
    let broker = broker(Kind::Exclusive).set("HEARTBEAT", 1).start().await;
    broker.create("chat").await;
    let mut socket = producer(&broker, "chat").await.unwrap();
    broker.end("chat").await;
    assert_eq!(socket.close_code().await, Some(1011));
}

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
    assert!(grown < 40_000, "200 MB went through and {grown} kB stayed");
}

#[tokio::test]
async fn the_error_names_the_limit_of_a_batch_and_a_body() {
    let broker = broker(Kind::Memory)
        .set("MAX_BATCH", 5)
        .set("MAX_BODY", 2000)
        .start()
        .await;
    broker.create("chat").await;
    broker.add_events("chat", 0, 5).await;
    let events: Vec<_> = (0..6).map(|_| json!({"event": "x"})).collect();
    let (status, error) = broker
        .post("/api/event/add", json!({"key": "chat", "events": events}))
        .await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (413, &json!("too-many-events"))
    );
    assert!(error["message"].as_str().unwrap().contains('5'));
    let (status, error) = broker
        .post(
            "/api/event/add",
            json!({"key": "chat", "events": [{"event": "x", "data": "y".repeat(3000)}]}),
        )
        .await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (413, &json!("too-large"))
    );
    assert!(error["message"].as_str().unwrap().contains("2000"));
}

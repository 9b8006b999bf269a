//! Input beyond each limit is sent while a stream is active.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    common::{
        Broker, Kind,
        broker::{API_KEY, answer},
        within,
        ws::Ws,
    },
    fleet::{Fleet, fleet, node},
};

const MAX_LINE: usize = 1000;

async fn limited(kind: Kind) -> (Broker, Fleet) {
    let broker = node(kind)
        .set("MAX_BODY", 10_000)
        .set("MAX_LINE", MAX_LINE)
        .set("MAX_BATCH", 10)
        .start()
        .await;
    let fleet = fleet(&[&broker.url]).start().await;
    (broker, fleet)
}

fn good(data: &str) -> Value {
    json!({"event": "good", "data": data})
}

/// Checks that the fleet received all of its own events, and these.
async fn end_with(fleet: Fleet, good: &[&str]) {
    fleet.flows().await;
    for record in fleet.end_whole().await {
        let seen: Vec<&str> = record.streams[0]
            .events
            .iter()
            .filter(|seen| seen.event == "good")
            .map(|seen| seen.data.as_str())
            .collect();
        assert_eq!(seen, good);
    }
}

async fn a_body_and_a_batch_beyond_their_limits_are_refused_as_a_whole(kind: Kind) {
    let (broker, fleet) = limited(kind).await;
    let add = async |events: Vec<Value>| {
        broker
            .post("/api/event/add", json!({"key": "chat", "events": events}))
            .await
    };
    let code = |(status, error): (StatusCode, Value)| {
        (
            status.as_u16(),
            error["code"].as_str().unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(add(vec![good("1")]).await.0, 200);
    assert_eq!(
        code(add(vec![good(&"x".repeat(20_000))]).await),
        (413, "too-large".to_owned())
    );
    assert_eq!(
        code(add((0..11).map(|_| good("x")).collect()).await),
        (413, "too-many-events".to_owned())
    );
    assert_eq!(add(vec![good("2")]).await.0, 200);
    end_with(fleet, &["1", "2"]).await;
}

async fn a_line_beyond_its_limit_is_reported_and_the_others_are_written(kind: Kind) {
    let (broker, fleet) = limited(kind).await;
    let lines = [
        good("1"),
        good(&"x".repeat(MAX_LINE)),
        good("2"),
        good(&"x".repeat(2_000_000)),
        good("3"),
    ];
    let body: String = lines
        .iter()
        .flat_map(|line| [line.to_string(), "\n".to_owned()])
        .collect();
    let upload = broker
        .request(Method::POST, "/api/event/add/json-stream?key=chat")
        .body(body);
    let (status, summary) = answer(upload).await;
    assert_eq!(
        (
            status.as_u16(),
            &summary["num_events"],
            &summary["num_errors"]
        ),
        (200, &json!(3), &json!(2)),
        "{summary}"
    );
    let errors = summary["errors"].as_array().unwrap();
    assert!(
        errors[0].as_str().unwrap().starts_with("line 2")
            && errors[1].as_str().unwrap().starts_with("line 4"),
        "{summary}"
    );
    end_with(fleet, &["1", "2", "3"]).await;
}

async fn a_message_beyond_its_limit_is_answered_or_closes_the_socket(kind: Kind) {
    let (broker, fleet) = limited(kind).await;
    let url = format!(
        "{}/api/event/add/ws-stream?key=chat",
        broker.url.replacen("http", "ws", 1)
    );
    let mut socket = Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap();
    socket.send(good("1").to_string()).await;
    assert_eq!(socket.next().await.unwrap()["type"], "success");
    socket.send(good(&"x".repeat(MAX_LINE)).to_string()).await;
    assert_eq!(socket.next().await.unwrap()["code"], "too-large");
    socket.send(good("2").to_string()).await;
    assert_eq!(socket.next().await.unwrap()["type"], "success");
    socket
        .send(good(&"x".repeat(4 * MAX_LINE)).to_string())
        .await;
    assert_eq!(socket.close_code().await, Some(1009));
    end_with(fleet, &["1", "2"]).await;
}

async fn a_subscriber_that_sends_too_much_loses_only_its_connection(kind: Kind) {
    let (broker, fleet) = limited(kind).await;
    let (_, access) = broker
        .post("/api/stream/token", json!({"key": "chat"}))
        .await;
    let token = access["token"].as_str().unwrap();
    let mut socket = broker.ws("chat", token, None).await;
    socket.next().await.unwrap();
    socket.send("x".repeat(100_000)).await;
    while socket.next().await.is_ok() {}
    let mut again = broker.ws("chat", token, None).await;
    assert!(again.next().await.unwrap().is_array());
    end_with(fleet, &[]).await;
}

async fn a_header_block_beyond_its_limit_is_refused(kind: Kind) {
    let (broker, fleet) = limited(kind).await;
    let address = broker.url.trim_start_matches("http://");
    for header in [
        format!("X-Long: {}\r\n", "x".repeat(2_000_000)),
        "X-Many: 1\r\n".repeat(1000),
    ] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let (mut answer, mut request) = socket.split();
        let head = format!("GET /api/health HTTP/1.1\r\nHost: x\r\n{header}\r\n");
        let mut status = [0; 12];
        // The broker need not read it all.
        let (_, read) = within(async {
            tokio::join!(
                request.write_all(head.as_bytes()),
                answer.read_exact(&mut status)
            )
        })
        .await;
        read.unwrap();
        assert_eq!(String::from_utf8_lossy(&status), "HTTP/1.1 431");
    }
    end_with(fleet, &[]).await;
}

over_kinds!(memory: Memory, shared: Shared; (
    a_body_and_a_batch_beyond_their_limits_are_refused_as_a_whole,
    a_line_beyond_its_limit_is_reported_and_the_others_are_written,
    a_message_beyond_its_limit_is_answered_or_closes_the_socket,
    a_subscriber_that_sends_too_much_loses_only_its_connection,
    a_header_block_beyond_its_limit_is_refused,
));

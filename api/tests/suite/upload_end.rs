//! Open uploads of a stream that somebody else finishes or replaces.

use std::time::Duration;

use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use crate::common::{
    Broker, Kind, broker,
    broker::{API_KEY, answer},
    redis::Redis,
    until, within,
    ws::Ws,
};

type Lines = futures::channel::mpsc::UnboundedSender<Result<String, std::io::Error>>;

/// An upload that has written one event, and goes on.
async fn upload(broker: &Broker, key: &str) -> (Lines, JoinHandle<(StatusCode, Value)>) {
    let (lines, receiver) = futures::channel::mpsc::unbounded();
    let path = format!("/api/event/add/json-stream?key={key}");
    let request = broker.request(Method::POST, &path);
    let upload = tokio::spawn(answer(request.body(Body::wrap_stream(receiver))));
    let line = "{\"event\":\"word\"}\n".to_owned();
    lines.unbounded_send(Ok(line)).unwrap();
    let info = format!("/api/stream/info?key={key}");
    until("the first line is written", || async {
        broker.get(&info).await.1["length"] == 2
    })
    .await;
    (lines, upload)
}

async fn socket(broker: &Broker, key: &str) -> Ws {
    let url = broker.url.replacen("http", "ws", 1) + "/api/event/add/ws-stream?key=" + key;
    Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap()
}

/// Checks that the upload was answered without a further line.
fn check(answered: (StatusCode, Value), stream_status: Option<&str>) {
    let (status, error) = answered;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (404, &json!("no-active-stream"))
    );
    assert_eq!(error["stream_status"], json!(stream_status), "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("1 events of this upload"), "{error}");
}

async fn a_silent_upload_learns_how_its_stream_was_finished(broker: Broker) {
    for (finish, status) in [
        ("end", "ended"),
        ("cancel", "cancelled"),
        ("fail", "failed"),
    ] {
        broker.create(finish).await;
        let (_lines, upload) = upload(&broker, finish).await;
        let path = format!("/api/stream/{finish}");
        assert_eq!(broker.post(&path, json!({"key": finish})).await.0, 200);
        check(within(upload).await.unwrap(), Some(status));
    }
}

async fn a_silent_upload_learns_that_its_stream_was_replaced(broker: Broker) {
    broker.create("chat").await;
    let (_lines, upload) = upload(&broker, "chat").await;
    let replace = json!({"key": "chat", "if_exists": "replace"});
    broker.create_with(replace).await;
    check(within(upload).await.unwrap(), None);
}

async fn a_silent_upload_learns_that_its_stream_expired(broker: Broker) {
    broker.create_with(json!({"key": "chat", "ttl": 1})).await;
    let (_lines, upload) = upload(&broker, "chat").await;
    check(within(upload).await.unwrap(), None);
}

async fn a_silent_websocket_is_closed_when_its_stream_is_finished(broker: Broker) {
    // The broker does not find it by its own pings: they are further apart than the test waits.
    broker.create("chat").await;
    let mut socket = socket(&broker, "chat").await;
    socket.send("{\"event\":\"word\"}").await;
    assert_eq!(socket.next().await.unwrap()["type"], "success");
    broker.end("chat").await;
    assert_eq!(socket.ended().await, Some(1011));
}

on_every_store!(
    a_silent_upload_learns_how_its_stream_was_finished,
    a_silent_upload_learns_that_its_stream_was_replaced,
    a_silent_upload_learns_that_its_stream_expired,
    a_silent_websocket_is_closed_when_its_stream_is_finished,
);

async fn an_upload_learns_what_another_node_did(kind: Kind) {
    let one = broker(kind).start().await;
    let two = one.another_node().await;
    one.create("chat").await;
    let (_lines, upload) = upload(&one, "chat").await;
    two.post("/api/stream/fail", json!({"key": "chat"})).await;
    check(within(upload).await.unwrap(), Some("failed"));
}

/// Redis has no connection that receives the node's notifications.
async fn until_unsubscribed(redis: &Redis) {
    until("nobody is subscribed", || async {
        redis.cli(&["pubsub", "channels", "*:notify:*"]).is_empty()
    })
    .await;
}

async fn until_subscribed(redis: &Redis) {
    until("the node is subscribed", || async {
        !redis.cli(&["pubsub", "channels", "*:notify:*"]).is_empty()
    })
    .await;
}

async fn an_upload_learns_an_end_of_which_the_notification_was_lost(kind: Kind) {
    let redis = Redis::start(&[]);
    let broker = broker(kind).set("REDIS_URL", redis.url()).start().await;
    broker.create("chat").await;
    let (_lines, upload) = upload(&broker, "chat").await;
    until_subscribed(&redis).await;
    // The status is written as `finish` writes it, but without a notification.
    let keys = redis.cli(&["keys", "*:meta:chat"]);
    redis.cli(&["client", "kill", "type", "pubsub"]);
    redis.cli(&["hset", &keys, "status", "ended"]);
    check(within(upload).await.unwrap(), Some("ended"));
}

async fn watches_end_with_their_uploads_and_short_uploads_have_none(kind: Kind) {
    let redis = Redis::start(&[]);
    let broker = broker(kind).set("REDIS_URL", redis.url()).start().await;
    for n in 0..20 {
        broker.create(&format!("chat-{n}")).await;
    }
    let path = "/api/event/add/json-stream?key=chat-0";
    let whole = broker
        .request(Method::POST, path)
        .body("{\"event\":\"word\"}\n");
    assert_eq!(answer(whole).await.0, 200);
    assert_eq!(redis.cli(&["pubsub", "channels", "*:notify:*"]), "");

    let mut uploads = Vec::new();
    for n in 1..20 {
        uploads.push(upload(&broker, &format!("chat-{n}")).await);
    }
    until("all are watched", || async {
        let channels = redis.cli(&["pubsub", "channels", "*:notify:*"]);
        channels.lines().count() == 19
    })
    .await;
    let connected = redis.cli(&["client", "list", "type", "pubsub"]);
    let watching = connected.lines().filter(|line| line.contains(" sub=19 "));
    assert_eq!(watching.count(), 1, "one connection for all: {connected}");
    for (lines, upload) in uploads {
        drop(lines);
        assert_eq!(within(upload).await.unwrap().0, 200);
    }
    until_unsubscribed(&redis).await;
}

over_kinds!(
    exclusive_nodes: Exclusive,
    shared_nodes: Shared;
    (
        an_upload_learns_what_another_node_did,
        an_upload_learns_an_end_of_which_the_notification_was_lost,
        watches_end_with_their_uploads_and_short_uploads_have_none,
    )
);

/// Begins an upload by hand, which sends more than its answer needs.
async fn begin(broker: &Broker) -> TcpStream {
    let address = broker.url.trim_start_matches("http://");
    let mut upload = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/event/add/json-stream?key=chat HTTP/1.1\r\nHost: x\r\nX-API-KEY: {API_KEY}\r\n\
         Content-Length: 1000000000\r\n\r\n{{\"event\":\"word\"}}\n"
    );
    upload.write_all(head.as_bytes()).await.unwrap();
    upload
}

/// Sends 3 MB more, and only then reads the answer. A broker that had closed the connection would
/// reset it.
async fn go_on(upload: &mut TcpStream) -> String {
    let line = format!(
        "{{\"event\":\"word\",\"data\":\"{}\"}}\n",
        "x".repeat(10_000)
    );
    for _ in 0..300 {
        upload.write_all(line.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut answer = vec![0; 4096];
    let length = within(upload.read(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_arrives_although_an_upload_to_no_stream_goes_on() {
    let broker = broker(Kind::Memory).start().await;
    let answer = go_on(&mut begin(&broker).await).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("no-active-stream"), "{answer}");
    assert!(answer.ends_with('}'), "the whole answer: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_arrives_although_the_upload_goes_on() {
    let broker = broker(Kind::Memory).start().await;
    broker.create("chat").await;
    let mut upload = begin(&broker).await;
    until("the first line is written", || async {
        broker.get("/api/stream/info?key=chat").await.1["length"] == 2
    })
    .await;
    broker.end("chat").await;
    let answer = go_on(&mut upload).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("\"stream_status\":\"ended\""), "{answer}");
    assert!(answer.ends_with('}'), "the whole answer: {answer}");
    assert_eq!(broker.get("/api/stream/info?key=chat").await.1["length"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_never_stops_is_cut_off() {
    let broker = broker(Kind::Memory).start().await;
    broker.create("chat").await;
    let mut upload = begin(&broker).await;
    broker.end("chat").await;
    let endless = async {
        while upload.write_all(&[b'\n'; 1000]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(endless).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upload_does_not_delay_the_shutdown() {
    let broker = broker(Kind::Memory).start().await;
    broker.create("chat").await;
    let (lines, upload) = upload(&broker, "chat").await;
    broker.end("chat").await;
    check(within(upload).await.unwrap(), Some("ended"));
    let (code, log) = broker.stop("-TERM").await;
    assert_eq!(code, Some(0), "{log}");
    drop(lines);
}

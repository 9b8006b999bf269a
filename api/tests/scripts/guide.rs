//! The scripts of the guide run as printed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use crate::{
    common::{
        Kind, broker,
        subscriber::{Subscriber, Transport, token},
        until,
        ws::Ws,
    },
    harness::Scripted,
};

/// The Lua block under this heading of the guide.
fn block(heading: &str) -> String {
    let path = format!("{}/../docs/guides/scripts.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(path).unwrap();
    let section = page.split(heading).nth(1).unwrap();
    let code = section
        .split("```lua\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    assert!(
        code.lines().count() < 30,
        "{heading}: a script of less than 30 lines"
    );
    code.to_owned()
}

/// A broker with the script under this heading, as printed.
async fn example(heading: &str) -> Scripted {
    example_with(heading, &[]).await
}

/// The same with these settings.
async fn example_with(heading: &str, set: &[(&str, &str)]) -> Scripted {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("hooks.lua");
    std::fs::write(&script, block(heading)).unwrap();
    let setup = broker(Kind::Memory)
        .set("SCRIPT", script.display())
        .set("SCRIPT_TIMEOUT", 30);
    let setup = set
        .iter()
        .fold(setup, |setup, (name, value)| setup.set(name, value));
    Scripted::of(setup.start().await, script, folder)
}

#[tokio::test]
async fn the_first_script_shouts() {
    let node = example("called hooks").await;
    node.create("chat").await;
    node.add(
        "chat",
        json!([{"event": "t", "data": "quiet"}, {"event": "t"}]),
    )
    .await;
    let events = node.events("chat").await;
    assert_eq!(events[0].1, "QUIET");
    assert!(events[1].1.is_null());
}

#[tokio::test]
async fn channels() {
    let node = example("### Channels").await;
    let open = node.create("all").await;
    let events = json!([
        {"event": "news/x", "data": "1"},
        {"event": "sport/x", "data": "2"},
        {"event": "plain", "data": "3"},
    ]);
    node.add("all", events).await;
    node.end("all").await;
    let data = async |tags: &str| {
        let subscriber = Subscriber::new(&node.broker, Transport::Sse, ["all"], &open);
        let updates = subscriber.with(tags).rest().await;
        let data = updates.into_iter().map(|update| update.data);
        data.filter(|data| !data.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(data("&tags=news").await, ["1", "3"]);
    assert_eq!(data("&tags=news,sport").await, ["1", "2", "3"]);
    let nobody = Subscriber::new(&node.broker, Transport::Sse, ["all"], &open)
        .refused()
        .await;
    assert_eq!(nobody.1, "refused-by-script");
}

/// An HTTP server that knows two sessions. Returns its address, and counts its requests.
async fn session_service() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/session", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let mut socket = BufReader::new(socket);
            let (mut head, mut line) = (String::new(), String::new());
            while socket
                .read_line(&mut line)
                .await
                .is_ok_and(|bytes| bytes > 2)
            {
                head.push_str(&std::mem::take(&mut line));
            }
            assert!(head.starts_with("GET /session HTTP/1.1"), "{head}");
            count.fetch_add(1, Relaxed);
            let (status, body) = match () {
                () if head.contains("session=abc123") => ("200 OK", r#"{"user": "ann"}"#),
                () if head.contains("session=def456") => ("200 OK", r#"{"user": "bob"}"#),
                () if head.contains("session=empty") => ("200 OK", "{}"),
                () if head.contains("session=broken") => ("200 OK", "{"),
                () => ("401 Unauthorized", "{}"),
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, requests)
}

#[tokio::test]
async fn authorisation_by_cookie() {
    let (address, requests) = session_service().await;
    let set = [("SCRIPT_DATA", &*address), ("SCRIPT_HTTP", "on")];
    let node = example_with("### Authorisation by cookie", &set).await;
    for key in ["ann/inbox", "inbox"] {
        node.create(key).await;
    }
    let open = token(&node, json!({"prefix": "ann/"})).await;
    for (cookie, status) in [
        ("theme=dark; session=abc123", None),
        ("session=def456", Some(403)),
        ("session=nobody", Some(403)),
        ("session=empty", Some(403)),
        ("session=broken", Some(503)),
        ("", Some(403)),
    ] {
        let url = node.subscribe_url("ws", "ann/inbox", &open, None);
        let connected = Ws::connect(&url, &[("Cookie", cookie)]).await;
        assert_eq!(
            connected.err().map(|(status, _)| status),
            status,
            "{cookie}"
        );
    }
    // A key without an owner is nobody's.
    let open = token(&node, json!({"key": "inbox"})).await;
    for cookie in ["session=abc123", "session=empty"] {
        let url = node.subscribe_url("ws", "inbox", &open, None);
        let refused = Ws::connect(&url, &[("Cookie", cookie)]).await;
        assert_eq!(refused.err().map(|(status, _)| status), Some(403));
    }
    assert_eq!(requests.load(Relaxed), 8);
}

#[tokio::test]
async fn redaction_per_user() {
    let node = example("### Redaction per user").await;
    node.create("shop").await;
    let payment = json!([{"event": "payment", "data": "ann paid with 1234 5678"}]);
    node.add("shop", payment).await;
    node.end("shop").await;
    for (user, seen) in [
        ("ann", "ann paid with 1234 5678"),
        ("bob", "ann paid with **** ****"),
    ] {
        let open = token(&node, json!({"key": "shop", "subject": user})).await;
        let mut subscriber = Subscriber::new(&node.broker, Transport::Ndjson, ["shop"], &open);
        assert_eq!(subscriber.rest().await[1].data, seen);
    }
}

#[tokio::test]
async fn occupancy() {
    let node = example("### Occupancy").await;
    let open = node.create("room").await;
    let mut subscribers = Vec::new();
    for _ in 0..3 {
        let mut subscriber = node.ws("room", &open, None).await;
        assert!(subscriber.next().await.unwrap().is_array());
        subscribers.push(subscriber);
    }
    let count = async || {
        node.add("room", json!([{"event": "occupancy"}])).await;
        node.events("room").await.last().unwrap().1.clone()
    };
    assert_eq!(count().await, "3");
    subscribers.truncate(1);
    until("two have left", || async { count().await == "1" }).await;
}

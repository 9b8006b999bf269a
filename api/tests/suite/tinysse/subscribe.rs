//! Subscribing.

use serde_json::json;

use super::server::{Server, Subscriber};
use crate::common::{until, within};

#[tokio::test]
async fn a_subscriber_has_what_is_published_from_now_on() {
    let server = Server::start(&[]).await;
    server.publish(&json!({"id": "1", "data": "before"})).await;
    let response = server.get("/sse").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let caching = response.headers()["cache-control"].to_str().unwrap();
    assert!(caching.contains("no-cache"), "{caching}");
    let mut subscriber = Subscriber::new(response);
    assert_eq!(subscriber.next().await.unwrap(), ": ok");
    // Without a script there is no catch-up.
    let request = server
        .http
        .get(format!("{}/sse?last_event_id=1", server.url));
    let resumed = within(request.header("Last-Event-ID", "0").send()).await;
    let mut resumed = Subscriber::new(resumed.unwrap());
    assert_eq!(resumed.next().await.unwrap(), ": ok");
    for n in 0..50 {
        server.publish(&json!({"data": n.to_string()})).await;
    }
    for n in 0..50 {
        let frame = format!("data: {n}");
        assert_eq!(subscriber.next().await.unwrap(), frame);
        assert_eq!(resumed.next().await.unwrap(), frame);
    }
}

#[tokio::test]
async fn silence_is_broken_by_the_keep_alive_comment() {
    let arguments = ["--keep-alive", "300ms", "--keep-alive-text", "still here"];
    let server = Server::start(&arguments).await;
    let mut subscriber = server.subscribe().await;
    assert_eq!(subscriber.next().await.unwrap(), ": still here");
    assert_eq!(subscriber.next().await.unwrap(), ": still here");
    server.publish(&json!({"data": "x"})).await;
    while subscriber.next().await.unwrap() != "data: x" {}
    assert_eq!(subscriber.next().await.unwrap(), ": still here");
}

#[tokio::test]
async fn a_connection_ends_at_its_age_also_while_messages_come() {
    let arguments = [
        "--timeout",
        "2s",
        "--timeout-retry",
        "1500ms",
        "--keep-alive",
        "0s",
    ];
    let server = Server::start(&arguments).await;
    let (idle, busy) = (server.subscribe().await, server.subscribe().await);
    let publishing = async {
        loop {
            server.publish(&json!({"data": "x"})).await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let reading = async { tokio::join!(idle.rest(), busy.rest()) };
    let (idle, busy) = tokio::select! {
        () = publishing => unreachable!("it publishes for ever"),
        blocks = reading => blocks,
    };
    for mut blocks in [idle, busy] {
        assert_eq!(blocks.pop().unwrap(), ": timeout\nretry: 1500");
        assert!(blocks.iter().all(|block| block == "data: x"), "{blocks:?}");
        assert!(!blocks.is_empty());
    }
    until("nobody counts any more", || async {
        server.publish(&json!({"data": "x"})).await == (0, 0)
    })
    .await;
}

#[tokio::test]
async fn without_a_timeout_option_the_retry_is_0() {
    let server = Server::start(&["-t", "200ms"]).await;
    let blocks = server.subscribe().await.rest().await;
    assert_eq!(blocks, [": timeout\nretry: 0"]);
}

#[tokio::test]
async fn a_subscriber_that_left_is_noticed_without_a_message() {
    let environment = [("STREAMER_METRICS", "on")];
    let server = Server::start_in(&["--keep-alive", "1h"], &environment).await;
    let subscriber = server.subscribe().await;
    let clients = || async {
        let text = server.get("/metrics").await.text().await.unwrap();
        let line = text.lines().find(|line| {
            line.contains("_clients{") && line.contains("sse") && !line.starts_with('#')
        });
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    assert_eq!(clients().await, Some(1));
    drop(subscriber);
    until("it has left", || async { clients().await == Some(0) }).await;
}

#[tokio::test]
async fn a_slow_subscriber_misses_messages_and_its_connection_says_how_many() {
    let server = Server::start(&["--capacity", "16"]).await;
    // It is admitted, and reads nothing.
    let response = server.get("/sse").await;
    // More than the buffers of the socket hold.
    let data = "x".repeat(60_000);
    let (mut published, mut full) = (0, 0);
    while full < 100 {
        let message = json!({"id": published.to_string(), "data": data});
        let (queued, subscribers) = server.publish(&message).await;
        assert!(queued <= 16, "{queued}");
        assert_eq!(subscribers, 1);
        full = if queued == 16 { full + 1 } else { 0 };
        published += 1;
        assert!(published < 10_000, "the queue never fills");
    }
    let mut subscriber = Subscriber::new(response);
    let (mut next, mut missed) = (0, 0);
    while next < published {
        let block = subscriber.next().await.unwrap();
        if let Some(id) = block.strip_prefix("id: ") {
            let id: u64 = id.split_once('\n').unwrap().0.parse().unwrap();
            assert_eq!(id, next, "no message is missing in silence");
            next += 1;
        } else if let Some(count) = block.strip_prefix(": missed ") {
            let count: u64 = count.strip_suffix(" messages").unwrap().parse().unwrap();
            next += count;
            missed += count;
        }
    }
    assert!(missed > 0);
    let (code, log) = server.stop("-TERM").await;
    assert_eq!(code, Some(0));
    assert!(log.contains("slower than the capacity"), "{log}");
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_given_up_at_its_age() {
    let server = Server::start(&["--timeout", "3s"]).await;
    let response = server.get("/sse").await;
    let message = json!({"data": "x".repeat(60_000)});
    until("it does not count any more", || async {
        server.publish(&message).await == (0, 0)
    })
    .await;
    drop(response);
}

#[tokio::test]
async fn a_server_that_stops_sends_its_subscribers_a_delay() {
    let server = Server::start(&[]).await;
    let subscriber = server.subscribe().await;
    server.publish(&json!({"data": "x"})).await;
    let (rest, (code, _)) = tokio::join!(subscriber.rest(), server.stop("-TERM"));
    assert_eq!(code, Some(0));
    let [message, retry] = &rest[..] else {
        panic!("{rest:?}");
    };
    assert_eq!(message, "data: x");
    let delay: u64 = retry.strip_prefix("retry: ").unwrap().parse().unwrap();
    assert!((1..=3_000).contains(&delay), "{delay}");
}

#[tokio::test]
async fn a_peer_that_does_not_read_does_not_keep_a_server_that_stops() {
    let environment = [("STREAMER_SHUTDOWN_GRACE", "1")];
    let server = Server::start_in(&[], &environment).await;
    let response = server.get("/sse").await;
    let message = json!({"data": "x".repeat(60_000)});
    until("its buffers are full", || async {
        server.publish(&message).await.0 > 100
    })
    .await;
    let (code, log) = server.stop("-TERM").await;
    assert_eq!(code, Some(0), "{log}");
    drop(response);
}

#[tokio::test]
async fn a_node_has_a_limit_of_subscribers() {
    let server = Server::start_in(&[], &[("STREAMER_MAX_CLIENTS", "1")]).await;
    let _subscriber = server.subscribe().await;
    let response = server.get("/sse").await;
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("retry-after"));
    let error: serde_json::Value = response.json().await.unwrap();
    assert!(error["error"].is_string(), "{error}");
}

//! Adding streams to a running subscription, and dropping them.

use futures::{FutureExt, StreamExt};
use tinistreamer_client::{Event, Handle, ManySubscription, subscribe_many};

use crate::common::{Response, Script, within};

/// Polls the subscription until the change is made.
async fn make<T>(events: &mut ManySubscription, change: impl Future<Output = T>) -> T {
    let made = async {
        tokio::select! {
            outcome = change => outcome,
            event = events.next() => panic!("{event:?} came first"),
        }
    };
    within(made).await
}

async fn next(events: &mut ManySubscription) -> Event {
    within(events.next())
        .await
        .expect("an event")
        .expect("no error")
}

fn start(cursor: &str) -> String {
    format!("retry: 1\nid: {cursor}\nevent: start\ndata:\n\n")
}

#[tokio::test]
async fn over_http_another_connection_continues_with_the_changed_streams() {
    let script = Script::start([
        Response::events_then_silence(&(start("a:5-0") + &start("b:5-0,~x"))),
        Response::events_then_silence(""),
        Response::error(404, "stream-not-found", ""),
        Response::events_then_silence(""),
        Response::events_then_silence(""),
        Response::events("id: b:5-1,~y\nevent: token\ndata:\n\n"),
        Response::status(204),
    ])
    .await;
    let mut events = subscribe_many(script.client_url("sse"), ["a", "b"], "t")
        .start()
        .unwrap();
    let handle = events.handle();
    next(&mut events).await;
    next(&mut events).await;
    assert_eq!(
        make(&mut events, handle.add("c").after("5-7").into_future())
            .await
            .unwrap()
            .as_deref(),
        Some("5-7")
    );
    assert_eq!(
        make(&mut events, handle.add("d").wait(true).into_future())
            .await
            .unwrap_err()
            .code(),
        "stream-not-found"
    );
    assert_eq!(
        make(&mut events, handle.add("a").into_future())
            .await
            .unwrap_err()
            .code(),
        "already-subscribed"
    );
    assert_eq!(
        make(&mut events, handle.drop("d"))
            .await
            .unwrap_err()
            .code(),
        "not-subscribed"
    );
    make(&mut events, handle.add("e").from("now").into_future())
        .await
        .unwrap();
    assert_eq!(make(&mut events, handle.drop("a")).await.unwrap(), None);
    assert_eq!(next(&mut events).await.key, "b");
    assert!(within(events.next()).await.is_none());

    let cursor = |cursor: &str| Some(cursor.to_owned());
    let queries = [
        ("key=a&key=b".to_owned(), None),
        ("key=a&key=b&key=c".to_owned(), cursor("b:5-0,c:5-7,~x")),
        (
            "key=a&key=b&key=c&key=d&wait=true".to_owned(),
            cursor("b:5-0,c:5-7,~x"),
        ),
        ("key=a&key=b&key=c".to_owned(), cursor("b:5-0,c:5-7,~x")),
        (
            "key=a&key=b&key=c&key=e&from=now".to_owned(),
            cursor("b:5-0,c:5-7,~x"),
        ),
        (
            "key=b&key=c&key=e&from=now".to_owned(),
            cursor("b:5-0,c:5-7,~x"),
        ),
        ("key=b&key=c&key=e&from=now".to_owned(), cursor("b:5-1,~y")),
    ];
    assert_eq!(script.queries(), queries);
}

#[tokio::test]
async fn a_stream_that_is_added_again_starts_again() {
    let script = Script::start([
        Response::events_then_silence(&(start("b:5-0") + &start("a:5-0,~x"))),
        Response::events_then_silence(""),
        Response::events(&start("b:5-0,~y")),
        Response::status(204),
    ])
    .await;
    let mut events = subscribe_many(script.client_url("sse"), ["a", "b"], "t")
        .start()
        .unwrap();
    let handle = events.handle();
    next(&mut events).await;
    next(&mut events).await;
    make(&mut events, handle.drop("b")).await.unwrap();
    let (added, again) =
        within(async { tokio::join!(handle.add("b").into_future(), events.next()) }).await;
    assert_eq!(
        (added.unwrap(), again.unwrap().unwrap().key),
        (None, "b".to_owned())
    );
    // The broker's compact form still holds the stream's earlier position.
    assert_eq!(
        script.queries()[2],
        ("key=a&key=b".to_owned(), Some("a:5-0,b:,~x".to_owned()))
    );
}

#[tokio::test]
async fn a_subscription_without_streams_waits_for_one() {
    let script = Script::start([Response::events_then_silence("")]).await;
    let mut events = subscribe_many(script.client_url("sse"), [""; 0], "t")
        .start()
        .unwrap();
    assert!(events.next().now_or_never().is_none());
    let handle = events.handle();
    assert_eq!(
        make(&mut events, handle.add("a").into_future())
            .await
            .unwrap(),
        None
    );
    assert_eq!(script.queries(), [("key=a".to_owned(), None)]);
    make(&mut events, handle.drop("a")).await.unwrap();
    assert!(events.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_subscription_that_is_over_adds_no_streams() {
    let script = Script::start([Response::status(204)]).await;
    let mut events = subscribe_many(script.client_url("sse"), ["a"], "t")
        .start()
        .unwrap();
    let handle: Handle = events.handle();
    assert!(within(events.next()).await.is_none());
    assert_eq!(
        within(handle.add("b").into_future())
            .await
            .unwrap_err()
            .code(),
        "over"
    );
    assert_eq!(within(handle.drop("a")).await.unwrap_err().code(), "over");
}

#[cfg(feature = "websocket")]
mod over_websocket {
    use serde_json::json;

    use super::*;
    use crate::common::WebSocketServer;

    /// Runs a subscription, which returns the keys and names of its events to the test.
    fn run(
        server: &WebSocketServer,
        keys: &[&str],
    ) -> (
        Handle,
        tokio::task::JoinHandle<(Vec<String>, ManySubscription)>,
    ) {
        let mut events = subscribe_many(
            format!("ws://{}/api/client/ws", server.address()),
            keys.iter().copied(),
            "t",
        )
        .start()
        .unwrap();
        let handle = events.handle();
        let task = tokio::spawn(async move {
            let mut read = Vec::new();
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => read.push(format!("{} {}", event.key, event.event)),
                    Err(error) => read.push(error.code().to_owned()),
                }
            }
            (read, events)
        });
        (handle, task)
    }

    #[tokio::test]
    async fn each_change_is_a_message_with_a_reply() {
        let server = WebSocketServer::start().await;
        let (handle, task) = run(&server, &["a"]);
        let mut first = server.accept().await;
        first.send(r#"[{"id": "5-0", "event": "start"}]"#).await;
        let add = tokio::spawn(handle.add("b").after("5-3").wait(true).into_future());
        assert_eq!(
            first.json().await,
            json!({"op": "subscribe", "key": "b", "after": "5-3", "wait": true})
        );
        first
            .send(r#"{"op": "subscribed", "key": "b", "after": "5-3"}"#)
            .await;
        assert_eq!(within(add).await.unwrap().unwrap().as_deref(), Some("5-3"));
        first
            .send(r#"{"key": "b", "id": "6-4", "event": "token", "data": "x"}"#)
            .await;
        first.send(r#"{"key": "b", "id": "6-4"}"#).await;

        let add = tokio::spawn(handle.add("c").from("now").into_future());
        assert_eq!(
            first.json().await,
            json!({"op": "subscribe", "key": "c", "from": "now", "wait": false})
        );
        first
            .send(r#"{"op": "error", "key": "c", "code": "forbidden", "message": "Not yours"}"#)
            .await;
        assert_eq!(within(add).await.unwrap().unwrap_err().code(), "forbidden");

        let dropped = handle.clone();
        let dropping = tokio::spawn(async move { dropped.drop("a").await });
        assert_eq!(first.json().await, json!({"op": "unsubscribe", "key": "a"}));
        first
            .send(r#"{"key": "a", "id": "5-1", "event": "token"}"#)
            .await;
        first
            .send(r#"{"op": "unsubscribed", "key": "a", "after": "5-1"}"#)
            .await;
        assert_eq!(
            within(dropping).await.unwrap().unwrap().as_deref(),
            Some("5-1")
        );
        first
            .send(r#"{"key": "b", "id": "6-5", "event": "end"}"#)
            .await;
        assert_eq!(
            within(task).await.unwrap().0,
            ["a start", "b token", "a token", "b end"]
        );
    }

    #[tokio::test]
    async fn another_connection_has_the_changed_streams_and_repeats_unanswered_changes() {
        let server = WebSocketServer::start().await;
        let (handle, task) = run(&server, &["a", "b"]);
        let mut first = server.accept().await;
        first
            .send(
                r#"[{"key": "a", "id": "5-0", "event": "start"},
                    {"key": "b", "id": "5-0", "event": "start"}]"#,
            )
            .await;
        let other = handle.clone();
        let dropping = tokio::spawn(async move { other.drop("a").await });
        first.json().await;
        first
            .send(r#"{"op": "unsubscribed", "key": "a", "after": "5-0"}"#)
            .await;
        within(dropping).await.unwrap().unwrap();
        let add = tokio::spawn(handle.add("c").into_future());
        first.json().await;
        first.close(1012).await;

        let mut second = server.accept().await;
        assert_eq!(
            (
                second.request.uri().query(),
                &second.request.headers()["last-event-id"]
            ),
            (Some("key=b"), &"b:5-0".parse().unwrap())
        );
        assert_eq!(
            second.json().await,
            json!({"op": "subscribe", "key": "c", "wait": false})
        );
        second.send("[]").await;
        second
            .send(r#"{"op": "subscribed", "key": "c", "after": null}"#)
            .await;
        assert_eq!(within(add).await.unwrap().unwrap(), None);
        second
            .send(r#"{"key": "c", "id": "5-0", "event": "start"}"#)
            .await;
        second
            .send(r#"{"key": "b", "id": "5-1", "event": "end"}"#)
            .await;
        second.close(1008).await;
        let (read, events) = within(task).await.unwrap();
        assert_eq!(
            read,
            [
                "a start",
                "b start",
                "c start",
                "b end",
                "disconnected-by-operator"
            ]
        );
        assert_eq!(events.cursor().as_deref(), Some("b:5-1!,c:5-0"));
    }

    #[tokio::test]
    async fn a_stream_that_was_added_before_the_others_ended_is_followed() {
        let server = WebSocketServer::start().await;
        let (handle, task) = run(&server, &["a"]);
        let mut first = server.accept().await;
        let add = tokio::spawn(handle.add("b").into_future());
        first.json().await;
        first
            .send(r#"[{"id": "5-0", "event": "start"}, {"id": "5-1", "event": "end"}]"#)
            .await;

        let mut second = server.accept().await;
        assert_eq!(second.request.uri().query(), Some("key=b"));
        within(add).await.unwrap().unwrap();
        second
            .send(r#"[{"id": "5-0", "event": "start"}, {"id": "5-1", "event": "cancel"}]"#)
            .await;
        assert_eq!(
            within(task).await.unwrap().0,
            ["a start", "a end", "b start", "b cancel"]
        );
    }

    #[tokio::test]
    async fn a_connection_without_streams_waits_for_one() {
        let server = WebSocketServer::start().await;
        let (handle, task) = run(&server, &["a"]);
        let mut connection = server.accept().await;
        connection.send("[]").await;
        let other = handle.clone();
        let dropping = tokio::spawn(async move { other.drop("a").await });
        connection.json().await;
        connection
            .send(r#"{"op": "unsubscribed", "key": "a", "after": null}"#)
            .await;
        within(dropping).await.unwrap().unwrap();
        let add = tokio::spawn(handle.add("b").into_future());
        connection.json().await;
        connection
            .send(r#"{"op": "subscribed", "key": "b", "after": null}"#)
            .await;
        within(add).await.unwrap().unwrap();
        connection
            .send(r#"{"key": "b", "id": "5-0", "event": "start"}"#)
            .await;
        connection
            .send(r#"{"key": "b", "id": "5-1", "event": "end"}"#)
            .await;
        assert_eq!(within(task).await.unwrap().0, ["b start", "b end"]);
    }
}

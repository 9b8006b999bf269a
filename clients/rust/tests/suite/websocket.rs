//! A writer and a subscription over WebSocket, with a server that does not act like a healthy
//! broker.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use tinistreamer_client::{Client, Transport, Writer, subscribe};

use crate::common::{API_KEY, ServerConnection, WebSocketServer, within};

/// The name of the next event.
async fn event_name(connection: &mut ServerConnection) -> String {
    connection.json().await["event"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn writer(server: &WebSocketServer) -> Writer {
    let client = Client::new(format!("http://{}", server.address()), API_KEY).unwrap();
    client
        .publish("k")
        .transport(Transport::WebSocket)
        .lease(Duration::ZERO)
        .start()
        .unwrap()
}

#[tokio::test]
async fn unconfirmed_events_are_sent_again_in_order() {
    let server = WebSocketServer::start().await;
    let mut writer = writer(&server);
    for name in ["a", "b", "c"] {
        writer.write(name, ()).await.unwrap();
    }
    let mut first = server.accept().await;
    assert_eq!(
        (
            first.query("sequence"),
            event_name(&mut first).await,
            event_name(&mut first).await
        ),
        ("0".into(), "a".into(), "b".into())
    );
    first.send(r#"{"type": "success", "id": "5-1"}"#).await;
    first
        .send(r#"{"type": "error", "code": "store-unavailable", "message": "No store"}"#)
        .await;

    let mut second = server.accept().await;
    assert_eq!(
        (second.query("sequence"), second.query("producer")),
        ("1".into(), first.query("producer"))
    );
    assert_eq!(
        (event_name(&mut second).await, event_name(&mut second).await),
        ("b".into(), "c".into())
    );
    second
        .send(r#"{"type": "success", "id": null, "duplicate": true}"#)
        .await;
    second.send(r#"{"type": "success", "id": "5-3"}"#).await;
    within(writer.flush()).await.unwrap();
    assert_eq!(writer.acknowledged(), 3);
    within(writer.close()).await.unwrap();
}

#[tokio::test]
async fn a_broken_idle_connection_is_opened_again_for_the_next_event() {
    let server = WebSocketServer::start().await;
    let mut writer = writer(&server);
    writer.write("a", ()).await.unwrap();
    let mut first = server.accept().await;
    event_name(&mut first).await;
    first.send(r#"{"type": "success", "id": "5-1"}"#).await;
    within(writer.flush()).await.unwrap();
    first.close(1012).await;

    writer.write("b", ()).await.unwrap();
    let mut second = server.accept().await;
    assert_eq!(
        (second.query("sequence"), event_name(&mut second).await),
        ("1".into(), "b".into())
    );
}

#[tokio::test]
async fn the_timeout_of_calls_does_not_end_a_connection() {
    let server = WebSocketServer::start().await;
    let timeout = Duration::from_millis(300);
    let client = Client::builder(format!("http://{}", server.address()), API_KEY)
        .timeout(timeout)
        .build()
        .unwrap();
    let publish = client.publish("k").lease(Duration::ZERO);
    let mut writer = publish.transport(Transport::WebSocket).start().unwrap();
    writer.write("a", ()).await.unwrap();
    let mut connection = server.accept().await;
    event_name(&mut connection).await;
    connection.send(r#"{"type": "success", "id": "5-1"}"#).await;
    tokio::time::sleep(2 * timeout).await;
    writer.write("b", ()).await.unwrap();
    assert_eq!(event_name(&mut connection).await, "b");
}

#[tokio::test]
async fn a_permanent_error_reply_fails_the_writer() {
    for (answer, code) in [
        (
            r#"{"type": "error", "code": "sequence-gap", "message": "Events are missing"}"#,
            "sequence-gap",
        ),
        ("nonsense", "invalid-answer"),
    ] {
        let server = WebSocketServer::start().await;
        let mut writer = writer(&server);
        writer.write("a", ()).await.unwrap();
        let mut connection = server.accept().await;
        event_name(&mut connection).await;
        connection.send(answer).await;
        assert_eq!(within(writer.flush()).await.unwrap_err().code(), code);
    }
}

#[tokio::test]
async fn more_confirmations_than_events_are_an_invalid_answer() {
    let server = WebSocketServer::start().await;
    let mut writer = writer(&server);
    writer.write("a", ()).await.unwrap();
    let mut connection = server.accept().await;
    event_name(&mut connection).await;
    for id in 1..3 {
        connection
            .send(&format!(r#"{{"type": "success", "id": "5-{id}"}}"#))
            .await;
    }
    // The writer closes its connection.
    assert!(!matches!(
        within(connection.socket.next()).await,
        Some(Ok(_))
    ));
    writer.write("b", ()).await.unwrap_err();
    assert_eq!(
        within(writer.finish()).await.unwrap_err().code(),
        "invalid-answer"
    );
}

#[tokio::test]
async fn a_subscription_resumes_after_an_abnormal_close() {
    let server = WebSocketServer::start().await;
    let mut events = subscribe(
        format!("ws://{}/api/client/ws?key=k", server.address()),
        "secret",
    )
    .start()
    .unwrap();
    let reading = tokio::spawn(async move {
        let read: Result<Vec<_>, _> = events
            .by_ref()
            .map_ok(|event| event.event)
            .try_collect()
            .await;
        (read, events)
    });
    let mut first = server.accept().await;
    assert_eq!(first.request.headers()["authorization"], "Bearer secret");
    first
        .send(r#"[{"id": "5-0", "event": "start"}, {"id": "5-1", "event": "token", "data": "a"}]"#)
        .await;
    first.close(1012).await;

    let mut second = server.accept().await;
    assert_eq!(second.request.headers()["last-event-id"], "5-1");
    second.send("[]").await;
    second
        .send(r#"{"id": "6-2", "event": "token", "data": "b"}"#)
        .await;
    second.close(1000).await;
    let (read, events) = within(reading).await.unwrap();
    assert_eq!(read.unwrap(), ["start", "token", "token"]);
    assert_eq!((events.status(), events.last_id()), (None, Some("6-2")));
}

#[tokio::test]
async fn missed_events_are_reported_in_the_first_message() {
    let server = WebSocketServer::start().await;
    let mut events = subscribe(
        format!("ws://{}/api/client/ws?key=k", server.address()),
        "t",
    )
    .after("5-3")
    .start()
    .unwrap();
    let reading = tokio::spawn(async move { events.try_next().await });
    let mut connection = server.accept().await;
    let missed = r#"{\"after\":\"5-3\",\"first\":\"6-9\",\"missed\":5}"#;
    connection
        .send(&format!(
            r#"[{{"event": "missedevents", "data": "{missed}"}}]"#
        ))
        .await;
    let missed = within(reading)
        .await
        .unwrap()
        .unwrap()
        .unwrap()
        .missed
        .unwrap();
    assert_eq!(
        (
            missed.after.as_deref(),
            missed.first.as_deref(),
            missed.missed
        ),
        (Some("5-3"), Some("6-9"), Some(5))
    );
}

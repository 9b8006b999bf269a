//! A writer and a subscription over WebSocket, with a server that answers as no healthy broker
//! does.

use futures::{StreamExt, TryStreamExt};
use tinistreamer_client::{Client, Transport, Writer, subscribe};

use crate::common::{API_KEY, Connection, Server, within};

/// The name of the next event.
async fn event_name(connection: &mut Connection) -> String {
    connection.json().await["event"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn writer(server: &Server) -> Writer {
    let client = Client::new(format!("http://{}", server.address()), API_KEY).unwrap();
    client
        .publish("k")
        .transport(Transport::WebSocket)
        .start()
        .unwrap()
}

#[tokio::test]
async fn what_was_not_confirmed_is_sent_again_from_the_first_on() {
    let server = Server::start().await;
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
    first.send(r#"{"type": "error", "code": "store-unavailable", "message": "The store does not answer"}"#).await;

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
async fn a_connection_that_breaks_while_nothing_is_to_be_sent_is_made_anew_when_something_is() {
    let server = Server::start().await;
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
async fn an_answer_that_can_not_be_put_right_fails_the_writer() {
    for (answer, code) in [
        (
            r#"{"type": "error", "code": "sequence-gap", "message": "Events are missing"}"#,
            "sequence-gap",
        ),
        ("nonsense", "invalid-answer"),
    ] {
        let server = Server::start().await;
        let mut writer = writer(&server);
        writer.write("a", ()).await.unwrap();
        let mut connection = server.accept().await;
        event_name(&mut connection).await;
        connection.send(answer).await;
        assert_eq!(within(writer.flush()).await.unwrap_err().code(), code);
    }
}

#[tokio::test]
async fn more_confirmations_than_events_are_not_the_brokers() {
    let server = Server::start().await;
    let mut writer = writer(&server);
    writer.write("a", ()).await.unwrap();
    let mut connection = server.accept().await;
    event_name(&mut connection).await;
    for id in 1..3 {
        connection
            .send(&format!(r#"{{"type": "success", "id": "5-{id}"}}"#))
            .await;
    }
    // The writer leaves.
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
async fn a_close_other_than_the_normal_one_is_followed_by_a_connection_that_goes_on() {
    let server = Server::start().await;
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
async fn what_was_missed_is_told_in_the_first_message() {
    let server = Server::start().await;
    let mut events = subscribe(
        format!("ws://{}/api/client/ws?key=k", server.address()),
        "t",
    )
    .after("5-3")
    .start()
    .unwrap();
    let reading = tokio::spawn(async move { events.try_next().await });
    let mut connection = server.accept().await;
    connection.send(r#"[{"event": "missedevents", "data": "{\"after\":\"5-3\",\"first\":\"6-9\",\"missed\":5}"}]"#).await;
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

//! Subscriptions whose connections break.

use std::time::Duration;

use futures::StreamExt;
use tinistreamer_client::{Error, subscribe};

use crate::common::{END, Response, START, Script, TOKEN, all, failure, names, within};

#[tokio::test]
async fn a_subscription_resumes_after_an_early_end() {
    let script = Script::start([
        Response::events(&[START, "id: 5-1\nevent: cut"].concat()),
        Response::status(503),
        Response::error(429, "too-many-clients", "retry-after: 0\r\n"),
        Response::events(&[TOKEN, END].concat()),
    ])
    .await;
    let mut events = subscribe(script.sse_url(), "secret").start().unwrap();
    assert_eq!(
        names(&all(&mut events).await.unwrap()),
        ["start", "token", "end"]
    );
    let requests = script.requests();
    assert!(
        !requests[0].contains("last-event-id") && requests[3].contains("last-event-id: 5-0\r\n"),
        "{requests:?}"
    );
    // The token is in the header, and nowhere else.
    assert!(requests.iter().all(
        |request| request.contains("authorization: Bearer secret\r\n")
            && request.matches("secret").count() == 1
    ));
}

#[tokio::test]
async fn after_the_last_event_no_event_follows() {
    let script = Script::start([Response::status(204)]).await;
    let mut events = subscribe(script.sse_url(), "t")
        .after("6-2")
        .start()
        .unwrap();
    assert_eq!(all(&mut events).await.unwrap(), []);
    assert_eq!((events.status(), events.last_id()), (None, Some("6-2")));
}

#[tokio::test]
async fn a_silent_connection_counts_as_broken() {
    let script = Script::start([
        Response::events_then_silence(START),
        Response::events(&[TOKEN, END].concat()),
    ])
    .await;
    let mut events = subscribe(script.sse_url(), "t")
        .silence(Duration::from_millis(100))
        .start()
        .unwrap();
    assert_eq!(
        names(&all(&mut events).await.unwrap()),
        ["start", "token", "end"]
    );
}

#[tokio::test]
async fn a_retry_without_an_event_sets_the_retry_delay() {
    let script = Script::start([
        Response::events("retry: 1\n\n:\n\n"),
        Response::status(503),
        Response::status(204),
    ])
    .await;
    // With the default delay the subscription would give up first.
    let mut events = subscribe(script.sse_url(), "t")
        .give_up_after(Duration::from_millis(400))
        .start()
        .unwrap();
    assert_eq!(all(&mut events).await.unwrap(), []);
}

#[tokio::test]
async fn a_subscription_gives_up_when_the_broker_stays_unreachable() {
    let script = Script::start([Response::events(START)]).await;
    let mut events = subscribe(script.sse_url(), "t")
        .give_up_after(Duration::from_millis(300))
        .start()
        .unwrap();
    let error = failure(&mut events).await;
    assert!(
        matches!(&error, Error::Disconnected { source, .. } if source.code() == "unreachable"),
        "{error:?}"
    );
    assert_eq!(
        (error.code(), events.last_id()),
        ("disconnected", Some("5-0"))
    );
}

#[tokio::test]
async fn another_content_type_is_an_error() {
    let page =
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<h1>It works!</h1>";
    let script = Script::start([Response::Bytes(page.to_owned())]).await;
    assert_eq!(
        failure(&mut subscribe(script.sse_url(), "t").start().unwrap())
            .await
            .code(),
        "invalid-answer"
    );
}

#[tokio::test]
async fn a_dropped_subscription_closes_its_connection() {
    let mut script = Script::start([Response::events_then_silence(START)]).await;
    let mut events = subscribe(script.sse_url(), "t").start().unwrap();
    assert_eq!(within(events.next()).await.unwrap().unwrap().event, "start");
    drop(events);
    script.closed().await;
}

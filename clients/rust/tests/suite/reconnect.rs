//! Subscriptions whose connections break.

use std::time::Duration;

use futures::StreamExt;
use tinistreamer_client::{Error, subscribe};

use crate::common::{Answer, END, START, Script, TOKEN, all, failure, names, within};

#[tokio::test]
async fn an_early_end_is_followed_by_a_connection_that_goes_on() {
    let script = Script::start([
        Answer::events(&[START, "id: 5-1\nevent: cut"].concat()),
        Answer::status(503),
        Answer::error(429, "too-many-clients", "retry-after: 0\r\n"),
        Answer::events(&[TOKEN, END].concat()),
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
    // In the header, and nowhere else.
    assert!(requests.iter().all(
        |request| request.contains("authorization: Bearer secret\r\n")
            && request.matches("secret").count() == 1
    ));
}

#[tokio::test]
async fn nothing_follows_the_last_event() {
    let script = Script::start([Answer::status(204)]).await;
    let mut events = subscribe(script.sse_url(), "t")
        .after("6-2")
        .start()
        .unwrap();
    assert_eq!(all(&mut events).await.unwrap(), []);
    assert_eq!((events.status(), events.last_id()), (None, Some("6-2")));
}

#[tokio::test]
async fn silence_is_a_broken_connection() {
    let script = Script::start([
        Answer::events_and_silence(START),
        Answer::events(&[TOKEN, END].concat()),
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
async fn a_retry_without_an_event_sets_the_delay() {
    let script = Script::start([
        Answer::events("retry: 1\n\n:\n\n"),
        Answer::status(503),
        Answer::status(204),
    ])
    .await;
    // With the delay that is set otherwise it would give up first.
    let mut events = subscribe(script.sse_url(), "t")
        .give_up_after(Duration::from_millis(400))
        .start()
        .unwrap();
    assert_eq!(all(&mut events).await.unwrap(), []);
}

#[tokio::test]
async fn a_broker_that_stays_away_is_given_up() {
    let script = Script::start([Answer::events(START)]).await;
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
async fn what_is_not_an_event_stream_is_an_error() {
    let page =
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<h1>It works!</h1>";
    let script = Script::start([Answer::Bytes(page.to_owned())]).await;
    assert_eq!(
        failure(&mut subscribe(script.sse_url(), "t").start().unwrap())
            .await
            .code(),
        "invalid-answer"
    );
}

#[tokio::test]
async fn a_subscription_that_is_dropped_closes_its_connection() {
    let mut script = Script::start([Answer::events_and_silence(START)]).await;
    let mut events = subscribe(script.sse_url(), "t").start().unwrap();
    assert_eq!(within(events.next()).await.unwrap().unwrap().event, "start");
    drop(events);
    script.closed().await;
}

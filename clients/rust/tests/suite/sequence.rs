//! The order of a stream's events, and the positions that a subscription keeps.

use std::time::Duration;

use futures::StreamExt;
use tinistreamer_client::subscribe;

use crate::common::{END, Response, START, Script, TOKEN, all, failure, names, within};

#[tokio::test]
async fn an_event_that_does_not_follow_is_a_gap() {
    for events in [[START, END], [START, START], [TOKEN, END]] {
        let script = Script::start([Response::events(&events.concat())]).await;
        assert_eq!(
            failure(&mut subscribe(script.sse_url(), "t").start().unwrap())
                .await
                .code(),
            "gap"
        );
    }
    let missed = "event: missedevents\ndata: {\"after\":null,\"first\":\"6-2\",\"missed\":2}\n\n";
    let script = Script::start([Response::events(&[missed, TOKEN].concat())]).await;
    assert_eq!(
        failure(&mut subscribe(script.sse_url(), "t").start().unwrap())
            .await
            .code(),
        "gap"
    );
}

#[tokio::test]
async fn missed_events_are_announced_for_one_connection_only() {
    let missed =
        "event: missedevents\ndata: {\"after\":\"5-0\",\"first\":\"6-2\",\"missed\":1}\n\n";
    let script = Script::start([
        Response::events(&[START, missed].concat()),
        Response::events(&[TOKEN, END].concat()),
    ])
    .await;
    let mut events = subscribe(script.sse_url(), "t").start().unwrap();
    assert_eq!(
        names(&all(&mut events).await.unwrap()),
        ["start", "missedevents", "token", "end"]
    );
}

#[tokio::test]
async fn with_a_filter_numbers_only_increase_and_positions_count() {
    let script = Script::start([
        Response::events("retry: 1\n\nid: 5-3\nevent: token\ndata: a\n\nid: 5-7\n\n"),
        Response::events("id: 5-9\nevent: token\ndata: b\n\nid: 5-8\nevent: token\ndata: c\n\n"),
    ])
    .await;
    let mut events = subscribe(script.sse_url(), "t")
        .events(["token"])
        .start()
        .unwrap();
    let mut read = Vec::new();
    let error = loop {
        match within(events.next()).await.unwrap() {
            Ok(event) => read.push(event.data),
            Err(error) => break error,
        }
    };
    assert_eq!(
        (read, error.code()),
        (vec!["a".to_owned(), "b".to_owned()], "gap")
    );
    assert_eq!(script.queries()[1].1.as_deref(), Some("5-7"));
    assert_eq!(events.last_id(), Some("5-9"));
}

#[tokio::test]
async fn a_stream_that_starts_later_continues_at_the_position_of_the_broker() {
    let script = Script::start([
        Response::events("retry: 1\nid: 5-7\n\n"),
        Response::events("id: 5-8\nevent: token\ndata: b\n\nid: 5-10\nevent: token\ndata: c\n\n"),
    ])
    .await;
    let mut events = subscribe(script.sse_url(), "t")
        .from("now")
        .start()
        .unwrap();
    assert_eq!(within(events.next()).await.unwrap().unwrap().data, "b");
    assert_eq!(script.queries()[1].1.as_deref(), Some("5-7"));
    assert_eq!(failure(&mut events).await.code(), "gap");
}

#[tokio::test]
async fn an_awaited_stream_starts_with_its_first_event_also_after_a_broken_connection() {
    let script = Script::start([
        Response::events_then_silence(":\n\n"),
        Response::events(&[START, TOKEN, END].concat()),
    ])
    .await;
    let waiting = subscribe(script.sse_url(), "t")
        .from("now")
        .wait(true)
        .silence(Duration::from_millis(100));
    assert_eq!(
        names(&all(&mut waiting.start().unwrap()).await.unwrap()),
        ["start", "token", "end"]
    );
    assert_eq!(script.queries()[1].1.as_deref(), Some("k:"));
}

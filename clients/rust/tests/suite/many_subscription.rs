//! Subscriptions to several streams, over server-sent events.

use futures::{StreamExt, TryStreamExt};
use tinistreamer_client::{Cursor, Error, Event, ManySubscription, Status, subscribe_many};

use crate::common::{Response, Script, within};

/// A frame of a connection with several streams. Its id starts with the position in its own stream.
fn frame(cursor: &str, event: &str, data: &str) -> String {
    format!("id: {cursor}\nevent: {event}\ndata: {data}\n\n")
}

async fn all(events: &mut ManySubscription) -> Result<Vec<Event>, Error> {
    within(events.try_collect()).await
}

/// A short form: the key, and the number of the event or its name.
fn short(events: &[Event]) -> Vec<String> {
    let number = |id: &String| id.split_once('-').unwrap().1.to_owned();
    events
        .iter()
        .map(|event| {
            format!(
                "{} {}",
                event.key,
                event.id.as_ref().map_or(event.event.clone(), number)
            )
        })
        .collect()
}

fn statuses(events: &ManySubscription) -> Vec<(String, Option<Status>)> {
    events.statuses().into_iter().collect()
}

/// A script whose first connection sends these frames.
async fn frames(frames: &[String]) -> Script {
    Script::start([
        Response::events(&format!("retry: 1\n\n{}", frames.concat())),
        Response::status(204),
    ])
    .await
}

#[tokio::test]
async fn all_streams_are_followed_to_their_ends_and_resumed_together() {
    let script = Script::start([
        Response::events(
            &[
                "retry: 1\n\n",
                &frame("a%20b:5-0", "start", ""),
                &frame("c:6-0,~x", "start", ""),
                &frame("d:5-0,~y", "start", ""),
            ]
            .concat(),
        ),
        Response::events(
            &[
                frame("c:6-1!,~z", "cancel", ""),
                "id: a%20b:5-0,~z2\n\n".to_owned(),
            ]
            .concat(),
        ),
        Response::events(
            &[
                frame("d:5-1!,~w", "end", ""),
                frame("a%20b:5-1!,d:5-1!", "end", ""),
            ]
            .concat(),
        ),
    ])
    .await;
    let mut events = subscribe_many(
        script.client_url("sse?key=other"),
        ["c", "a b", "d", "c"],
        "t",
    )
    .start()
    .unwrap();
    assert_eq!(events.cursor(), None);
    assert_eq!(
        short(&all(&mut events).await.unwrap()),
        ["a b 0", "c 0", "d 0", "c 1", "d 1", "a b 1"]
    );
    assert_eq!(
        script.queries(),
        [
            ("key=a+b&key=c&key=d".to_owned(), None),
            (
                "key=a+b&key=c&key=d".to_owned(),
                Some("d:5-0,~y".to_owned())
            ),
            // A finished stream is not requested again, but its position stays in the cursor.
            (
                "key=a+b&key=d".to_owned(),
                Some("a%20b:5-0,c:6-1!,~z2".to_owned())
            ),
        ]
    );
    let [ended, cancelled] = [Some(Status::Ended), Some(Status::Cancelled)];
    assert_eq!(
        statuses(&events),
        [
            ("a b".to_owned(), ended),
            ("c".to_owned(), cancelled),
            ("d".to_owned(), ended)
        ]
    );
    assert_eq!(
        (events.status("c"), events.cursor().as_deref()),
        (cancelled, Some("a%20b:5-1!,c:6-1!,d:5-1!"))
    );
}

#[tokio::test]
async fn the_sequence_of_each_stream_is_checked_separately() {
    let script = frames(&[
        frame("a:5-0", "start", ""),
        frame("b:5-0,~x", "start", ""),
        frame("b:5-2,~x", "token", ""),
    ])
    .await;
    let mut events = subscribe_many(script.client_url("sse"), ["a", "b"], "t")
        .start()
        .unwrap();
    assert_eq!(all(&mut events).await.unwrap_err().code(), "gap");
}

#[tokio::test]
async fn an_event_after_the_last_of_a_stream_is_an_error() {
    let script = frames(&[
        frame("a:5-0", "start", ""),
        frame("a:5-1!", "end", ""),
        frame("a:5-2", "token", ""),
    ])
    .await;
    let mut events = subscribe_many(script.client_url("sse"), ["a", "b"], "t")
        .start()
        .unwrap();
    assert_eq!(all(&mut events).await.unwrap_err().code(), "invalid-answer");
}

#[tokio::test]
async fn a_deleted_stream_is_reported_and_the_others_continue() {
    let gone = "id: b:5-0\nevent: missedevents\n\
        data: {\"after\":\"5-0\",\"first\":null,\"missed\":null}\n\n"
        .to_owned();
    let script = frames(&[
        frame("a:5-0", "start", ""),
        frame("b:5-0,~x", "start", ""),
        gone,
        frame("a:5-1,~x", "token", ""),
    ])
    .await;
    let mut events = subscribe_many(script.client_url("sse"), ["a", "b"], "t")
        .start()
        .unwrap();
    let read = all(&mut events).await.unwrap();
    assert_eq!(short(&read), ["a 0", "b 0", "b missedevents", "a 1"]);
    let missed = read[2].missed.as_ref().unwrap();
    assert_eq!(
        (missed.after.as_deref(), &missed.first, missed.missed),
        (Some("5-0"), &None, None)
    );
    // With one stream left, ids are those of events again. 204 means that no event follows.
    assert_eq!(script.queries()[1].0, "key=a");
    assert_eq!(
        statuses(&events),
        [("a".to_owned(), None), ("b".to_owned(), Some(Status::Gone))]
    );
}

#[tokio::test]
async fn missed_events_have_the_key_of_their_stream() {
    let missed =
        "id: b:\nevent: missedevents\ndata: {\"after\":null,\"first\":\"5-4\",\"missed\":4}\n\n"
            .to_owned();
    let script = frames(&[
        missed,
        frame("a:5-0", "start", ""),
        frame("b:5-4,~x", "token", ""),
    ])
    .await;
    let mut events = subscribe_many(script.client_url("sse"), ["a", "b"], "t")
        .start()
        .unwrap();
    assert_eq!(
        short(&all(&mut events).await.unwrap()),
        ["b missedevents", "a 0", "b 4"]
    );
}

#[tokio::test]
async fn each_stream_starts_after_its_position_in_the_cursor() {
    let cursors: [(Cursor, &str); 3] = [
        ([("a", "5-1"), ("b,c", "5-3")].into(), "a:5-1,b%2Cc:5-3"),
        ("~x".into(), "~x"),
        // A known position is newer than the compact form, which only the broker can read.
        ("~x,a:5-1".into(), "a:5-1,~x"),
    ];
    for (cursor, sent) in cursors {
        let script = frames(&[frame("a:5-2,~y", "token", "")]).await;
        let mut events = subscribe_many(script.client_url("sse"), ["a", "b,c"], "t")
            .after(cursor)
            .start()
            .unwrap();
        assert_eq!(events.cursor().as_deref(), Some(sent));
        assert_eq!(short(&all(&mut events).await.unwrap()), ["a 2"]);
        assert_eq!(script.queries()[0].1.as_deref(), Some(sent));
    }
    let bare = subscribe_many("http://host/api/client/sse", ["a"], "t")
        .after("5-1")
        .start()
        .unwrap();
    assert_eq!(bare.cursor().as_deref(), Some("a:5-1"));
    let nonsense = subscribe_many("http://host/api/client/sse", ["a", "b"], "t")
        .after("nonsense")
        .start();
    assert_eq!(nonsense.unwrap_err().code(), "invalid-event-id");
}

#[tokio::test]
async fn a_stream_whose_last_event_is_in_the_cursor_is_not_requested() {
    let script = frames(&[frame("5-2", "end", "")]).await;
    let mut events = subscribe_many(script.client_url("sse"), ["a", "b"], "t")
        .after("a:5-1,b:5-9!")
        .start()
        .unwrap();
    assert_eq!(short(&all(&mut events).await.unwrap()), ["a 2"]);
    assert_eq!(script.queries()[0].0, "key=a");
    assert_eq!(
        (events.status("b"), events.cursor().as_deref()),
        (None, Some("a:5-2!,b:5-9!"))
    );
}

#[tokio::test]
async fn a_frame_of_another_stream_is_an_invalid_answer() {
    for wrong in [
        vec![frame("c:5-0", "start", "")],
        vec![frame("5-0", "start", "")],
        vec!["event: start\ndata:\n\n".to_owned()],
    ] {
        let script = frames(&wrong).await;
        let mut events = subscribe_many(script.client_url("sse"), ["a", "b"], "t")
            .start()
            .unwrap();
        assert_eq!(
            within(events.next()).await.unwrap().unwrap_err().code(),
            "invalid-answer"
        );
    }
}

//! Subscriptions over NDJSON and by polling.

use std::{convert::Infallible, time::Duration};

use futures::{StreamExt, TryStreamExt};
use serde_json::json;
use tinistreamer_client::{Status, Token, subscribe, subscribe_many};

use crate::common::{Answer, Script, within};

#[tokio::test]
async fn lines_are_events_heartbeats_and_positions() {
    let script = Script::start([
        Answer::error(429, "too-many-clients", "retry-after: 0\r\n"),
        Answer::lines(
            r#"
{"key":"a","id":"5-0","event":"start"}

{"key":"b","id":"6-0","event":"start"}
{"key":"b","id":"6-4"}
{"key":"a","event":"missedevents","data":"{\"after\":\"5-0\",\"first\":\"5-3\",\"missed\":2}"}
{"key":"a","id":"5-3","event":"end"}
{"key":"b","id":"6-5","ev"#,
        ),
        Answer::lines("{\"key\":\"b\",\"id\":\"6-5\",\"event\":\"cancel\"}\n"),
    ])
    .await;
    let mut events = subscribe_many(script.client_url("ndjson"), ["a", "b"], "t")
        .events(["x"])
        .start()
        .unwrap();
    let read: Vec<_> = within(
        events
            .by_ref()
            .map_ok(|event| (event.key, event.event))
            .try_collect(),
    )
    .await
    .unwrap();
    let expected = [
        ("a", "start"),
        ("b", "start"),
        ("a", "missedevents"),
        ("a", "end"),
        ("b", "cancel"),
    ];
    assert_eq!(
        read,
        expected.map(|(key, name)| (key.to_owned(), name.to_owned()))
    );
    let both = ("events=x&key=a&key=b".to_owned(), None);
    assert_eq!(
        script.asked(),
        [
            both.clone(),
            both,
            ("events=x&key=b".to_owned(), Some("a:5-3!,b:6-4".to_owned()))
        ]
    );
    assert_eq!(
        (events.status("a"), events.status("b")),
        (Some(Status::Ended), Some(Status::Cancelled))
    );
}

#[tokio::test]
async fn a_compact_cursor_is_kept_until_all_positions_are_known() {
    let script = Script::start([
        Answer::lines("{\"key\":\"a\",\"id\":\"5-7\",\"event\":\"token\"}\n{\"key\":\"b\",\"id\":\"5-3\",\"event\":\"token\"}\n"),
        Answer::status(204),
    ])
    .await;
    let mut events = subscribe_many(script.client_url("ndjson"), ["a", "b"], "t")
        .after("~x")
        .start()
        .unwrap();
    for cursor in ["a:5-7,~x", "a:5-7,b:5-3"] {
        within(events.next()).await.unwrap().unwrap();
        assert_eq!(events.cursor().as_deref(), Some(cursor));
    }
}

#[tokio::test]
async fn of_streams_that_are_waited_for_those_without_a_position_at_a_heartbeat_begin_with_their_first_event()
 {
    let script = Script::start([
        Answer::lines("{\"key\":\"a\",\"id\":\"5-7\"}\n\n"),
        Answer::status(204),
    ])
    .await;
    let mut events = subscribe_many(script.client_url("ndjson"), ["a", "b"], "t")
        .from("now")
        .wait(true)
        .start()
        .unwrap();
    assert!(within(events.next()).await.is_none());
    assert_eq!(script.asked()[1].1.as_deref(), Some("a:5-7,b:"));
}

#[tokio::test]
async fn one_stream_is_followed_by_lines() {
    let script = Script::start([
        Answer::lines("{\"key\":\"k\",\"id\":\"5-0\",\"event\":\"start\"}\n"),
        Answer::lines("{\"key\":\"k\",\"id\":\"5-1\",\"event\":\"end\"}\n"),
    ])
    .await;
    let mut events = subscribe(script.client_url("ndjson?key=k"), "t")
        .start()
        .unwrap();
    let read: Vec<_> = within(events.by_ref().map_ok(|event| event.event).try_collect())
        .await
        .unwrap();
    assert_eq!(
        (read, events.status()),
        (
            vec!["start".to_owned(), "end".to_owned()],
            Some(Status::Ended)
        )
    );
    assert_eq!(script.asked()[1].1.as_deref(), Some("5-0"));
}

#[tokio::test]
async fn nothing_follows_the_last_line() {
    let script = Script::start([Answer::status(204)]).await;
    let mut events = subscribe(script.client_url("ndjson?key=k"), "t")
        .after("5-1")
        .start()
        .unwrap();
    assert!(within(events.next()).await.is_none());
}

#[tokio::test]
async fn each_request_of_a_poll_goes_on_where_the_answer_before_ended() {
    let start = |key| json!({"key": key, "id": "5-0", "event": "start"});
    let end = |key| json!({"key": key, "id": "5-9", "event": "end"});
    let script = Script::start([
        Answer::json(
            &json!({"events": [start("a"), start("b")], "cursor": "~x", "status": "active"}),
        ),
        Answer::json(&json!({"events": [], "cursor": "~y", "status": "active"})),
        Answer::status(503),
        Answer::json(&json!({"events": [end("b")], "cursor": "a:5-7,b:5-9!", "status": "active"})),
        Answer::json(&json!({"events": [end("a")], "cursor": "5-9", "status": "ended"})),
    ])
    .await;
    let mut events = subscribe_many(script.client_url("poll"), ["a", "b"], "t")
        .events(["x"])
        .wait(true)
        .start()
        .unwrap();
    within(events.next()).await.unwrap().unwrap();
    // In the midst of an answer it is where its caller is.
    assert_eq!(events.cursor().as_deref(), Some("a:5-0"));
    let read: Vec<_> = within(
        events
            .by_ref()
            .map_ok(|event| event.key + " " + &event.event)
            .try_collect(),
    )
    .await
    .unwrap();
    assert_eq!(read, ["b start", "b end", "a end"]);
    let asked: Vec<_> = script.asked().into_iter().map(|(query, _)| query).collect();
    assert_eq!(
        asked,
        [
            "events=x&key=a&key=b&wait=true&wait=0",
            "events=x&key=a&key=b&wait=true&wait=25&after=%7Ex",
            "events=x&key=a&key=b&wait=true&wait=25&after=%7Ey",
            "events=x&key=a&key=b&wait=true&wait=0&after=%7Ey",
            "events=x&key=a&wait=true&wait=0&after=a%3A5-7%2Cb%3A5-9%21",
        ]
    );
    assert_eq!(events.cursor().as_deref(), Some("a:5-9!,b:5-9!"));
}

#[tokio::test]
async fn one_stream_is_polled_to_its_end() {
    let script = Script::start([
        Answer::json(&json!({"events": [], "cursor": null, "status": "active"})),
        Answer::json(&json!({"events": [{"key": "k", "id": "5-0", "event": "start"}], "cursor": "5-0", "status": "active"})),
        Answer::error(401, "token-expired", ""),
        Answer::error(401, "token-expired", ""),
        Answer::json(&json!({"events": [{"key": "k", "id": "5-1", "event": "cancel"}], "cursor": "5-1", "status": "cancelled"})),
    ])
    .await;
    let token = Token::from_fn(|| async { Ok::<_, Infallible>("t".to_owned()) });
    let mut events = subscribe(script.client_url("poll?key=k"), token)
        .start()
        .unwrap();
    let read: Vec<_> = within(events.by_ref().map_ok(|event| event.event).try_collect())
        .await
        .unwrap();
    assert_eq!(
        (read, events.status()),
        (
            vec!["start".to_owned(), "cancel".to_owned()],
            Some(Status::Cancelled)
        )
    );
    let asked: Vec<_> = script.asked().into_iter().map(|(query, _)| query).collect();
    let after = "key=k&wait=0&after=5-0";
    assert_eq!(
        asked,
        [
            "key=k&wait=0",
            "key=k&wait=25",
            "key=k&wait=25&after=5-0",
            after,
            after
        ]
    );
}

#[tokio::test]
async fn an_answer_without_events_can_be_the_last() {
    let script = Script::start([Answer::json(
        &json!({"events": [], "cursor": "5-1", "status": "ended"}),
    )])
    .await;
    let mut events = subscribe(script.client_url("poll?key=k"), "t")
        .after("5-1")
        .start()
        .unwrap();
    assert!(within(events.next()).await.is_none());
    assert_eq!((events.status(), events.last_id()), (None, Some("5-1")));
}

#[tokio::test]
async fn the_time_for_which_the_broker_waits_is_no_silence_and_more_is() {
    let nothing = json!({"events": [], "cursor": null, "status": "active"});
    let all = json!({"events": [{"key": "k", "id": "5-0", "event": "end"}], "cursor": "5-0", "status": "ended"});
    let silence = Duration::from_millis(200);
    for (second, requests) in [
        (Answer::json_later(2 * silence, &all), 2),
        (Answer::AndSilence(String::new()), 3),
    ] {
        let script = Script::start([Answer::json(&nothing), second, Answer::json(&all)]).await;
        let mut events = subscribe(script.client_url("poll?key=k"), "t")
            .silence(silence)
            .start()
            .unwrap();
        assert_eq!(within(events.next()).await.unwrap().unwrap().event, "end");
        let asked = script.asked();
        assert_eq!((asked.len(), &*asked[1].0), (requests, "key=k&wait=1"));
    }
}

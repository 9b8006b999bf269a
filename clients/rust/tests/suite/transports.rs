//! Subscriptions over NDJSON and by polling.

use std::{convert::Infallible, time::Duration};

use futures::{StreamExt, TryStreamExt};
use serde_json::json;
use tinistreamer_client::{Status, Token, subscribe, subscribe_many};

use crate::common::{Response, Script, within};

#[tokio::test]
async fn lines_are_events_heartbeats_and_positions() {
    let script = Script::start([
        Response::error(429, "too-many-clients", "retry-after: 0\r\n"),
        Response::lines(
            r#"
{"key":"a","id":"5-0","event":"start"}

{"key":"b","id":"6-0","event":"start"}
{"key":"b","id":"6-4"}
{"key":"a","event":"missedevents","data":"{\"after\":\"5-0\",\"first\":\"5-3\",\"missed\":2}"}
{"key":"a","id":"5-3","event":"end"}
{"key":"b","id":"6-5","ev"#,
        ),
        Response::lines("{\"key\":\"b\",\"id\":\"6-5\",\"event\":\"cancel\"}\n"),
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
        script.queries(),
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
        Response::lines(concat!(
            "{\"key\":\"a\",\"id\":\"5-7\",\"event\":\"token\"}\n",
            "{\"key\":\"b\",\"id\":\"5-3\",\"event\":\"token\"}\n"
        )),
        Response::status(204),
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
async fn awaited_streams_without_a_position_at_a_heartbeat_start_with_their_first_event() {
    let script = Script::start([
        Response::lines("{\"key\":\"a\",\"id\":\"5-7\"}\n\n"),
        Response::status(204),
    ])
    .await;
    let mut events = subscribe_many(script.client_url("ndjson"), ["a", "b"], "t")
        .from("now")
        .wait(true)
        .start()
        .unwrap();
    assert!(within(events.next()).await.is_none());
    assert_eq!(script.queries()[1].1.as_deref(), Some("a:5-7,b:"));
}

#[tokio::test]
async fn one_stream_is_followed_over_ndjson() {
    let script = Script::start([
        Response::lines("{\"key\":\"k\",\"id\":\"5-0\",\"event\":\"start\"}\n"),
        Response::lines("{\"key\":\"k\",\"id\":\"5-1\",\"event\":\"end\"}\n"),
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
    assert_eq!(script.queries()[1].1.as_deref(), Some("5-0"));
}

#[tokio::test]
async fn after_the_last_line_no_event_follows() {
    let script = Script::start([Response::status(204)]).await;
    let mut events = subscribe(script.client_url("ndjson?key=k"), "t")
        .after("5-1")
        .start()
        .unwrap();
    assert!(within(events.next()).await.is_none());
}

#[tokio::test]
async fn each_request_of_a_poll_continues_at_the_cursor_of_the_last_response() {
    let start = |key| json!({"key": key, "id": "5-0", "event": "start"});
    let end = |key| json!({"key": key, "id": "5-9", "event": "end"});
    let script = Script::start([
        Response::json(
            &json!({"events": [start("a"), start("b")], "cursor": "~x", "status": "active"}),
        ),
        Response::json(&json!({"events": [], "cursor": "~y", "status": "active"})),
        Response::status(503),
        Response::json(
            &json!({"events": [end("b")], "cursor": "a:5-7,b:5-9!", "status": "active"}),
        ),
        Response::json(&json!({"events": [end("a")], "cursor": "5-9", "status": "ended"})),
    ])
    .await;
    let mut events = subscribe_many(script.client_url("poll"), ["a", "b"], "t")
        .events(["x"])
        .wait(true)
        .start()
        .unwrap();
    within(events.next()).await.unwrap().unwrap();
    // Within a response, the cursor is the position of the last delivered event.
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
    let queries: Vec<_> = script
        .queries()
        .into_iter()
        .map(|(query, _)| query)
        .collect();
    assert_eq!(
        queries,
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
    let start = json!({"key": "k", "id": "5-0", "event": "start"});
    let cancel = json!({"key": "k", "id": "5-1", "event": "cancel"});
    let script = Script::start([
        Response::json(&json!({"events": [], "cursor": null, "status": "active"})),
        Response::json(&json!({"events": [start], "cursor": "5-0", "status": "active"})),
        Response::error(401, "token-expired", ""),
        Response::error(401, "token-expired", ""),
        Response::json(&json!({"events": [cancel], "cursor": "5-1", "status": "cancelled"})),
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
    let queries: Vec<_> = script
        .queries()
        .into_iter()
        .map(|(query, _)| query)
        .collect();
    let after = "key=k&wait=0&after=5-0";
    assert_eq!(
        queries,
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
async fn a_response_without_events_can_be_the_last() {
    let script = Script::start([Response::json(
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
async fn a_poll_is_silent_only_after_the_time_for_which_the_broker_waits() {
    let nothing = json!({"events": [], "cursor": null, "status": "active"});
    let end = json!({"key": "k", "id": "5-0", "event": "end"});
    let all = json!({"events": [end], "cursor": "5-0", "status": "ended"});
    let silence = Duration::from_millis(200);
    for (second, requests) in [
        (Response::json_later(2 * silence, &all), 2),
        (Response::ThenSilence(String::new()), 3),
    ] {
        let script = Script::start([Response::json(&nothing), second, Response::json(&all)]).await;
        let mut events = subscribe(script.client_url("poll?key=k"), "t")
            .silence(silence)
            .start()
            .unwrap();
        assert_eq!(within(events.next()).await.unwrap().unwrap().event, "end");
        let queries = script.queries();
        assert_eq!((queries.len(), &*queries[1].0), (requests, "key=k&wait=1"));
    }
}

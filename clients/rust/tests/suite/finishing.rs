//! Streams that fail or are abandoned, and streams that are finished already.

use futures::{StreamExt, TryStreamExt};
use serde_json::json;
use tinistreamer_client::{
    Error, Event, Status, subscribe, subscribe_many,
    types::{CancelStream, CreateStream, EndStream, FailStream, IfTaken, IssueToken},
};

use crate::common::{Broker, Response, Script, all, failure, names, within};

const FAIL: &str = "id: 5-1\nevent: fail\ndata: {\"code\":\"x\",\"message\":\"y\"}\n\n";
const START: &str = "retry: 1\nid: 5-0\nevent: start\ndata:\n\n";

fn failed(key: &str) -> FailStream {
    FailStream {
        key: key.to_owned(),
        code: Some("model-overloaded".to_owned()),
        message: Some("Too much".to_owned()),
        generation: None,
    }
}

#[tokio::test]
async fn a_failed_stream_ends_a_subscription_over_each_transport() {
    let broker = Broker::start().await;
    let client = broker.client();
    let access = broker.create("k").await;
    let finished = client.fail_stream(failed("k")).await.unwrap();
    assert_eq!(finished.status, "failed");
    for url in [
        access.sse_url.clone(),
        access.sse_url.replace("/sse", "/ndjson"),
        access.sse_url.replace("/sse", "/poll"),
        #[cfg(feature = "websocket")]
        access.ws_url.clone(),
    ] {
        let mut events = subscribe(&url, &*access.token).start().unwrap();
        let read = within(all(&mut events)).await.unwrap();
        assert_eq!(names(&read), ["start", "fail"], "{url}");
        let data: serde_json::Value = read[1].json().unwrap();
        assert_eq!(
            data,
            json!({"code": "model-overloaded", "message": "Too much"})
        );
        assert_eq!(events.status(), Some(Status::Failed), "{url}");

        let mut events = subscribe(&url, &*access.token).start().unwrap();
        let error = within(events.collect_all().text("token"))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "stream-failed");
        assert!(matches!(error, Error::Incomplete { data, .. } if data == read[1].data));
    }
}

#[tokio::test]
async fn over_sse_a_fail_is_the_last_event_if_the_broker_then_has_no_more() {
    for (name, status, code) in [
        ("fail", Status::Failed, "stream-failed"),
        ("abandon", Status::Abandoned, "stream-abandoned"),
    ] {
        let last = FAIL.replace("event: fail", &format!("event: {name}"));
        // The connection breaks, and so does the next one, before the broker says that it is over.
        let script = Script::start([
            Response::events(&[START, &last].concat()),
            Response::error(503, "store-unavailable", "retry-after: 0\r\n"),
            Response::status(204),
        ])
        .await;
        let mut events = subscribe(script.sse_url(), "t").start().unwrap();
        let read = within(all(&mut events)).await.unwrap();
        assert_eq!(names(&read), ["start", name]);
        assert_eq!(events.status(), Some(status));
        assert_eq!(script.queries()[2].1.as_deref(), Some("5-1"));

        let script = Script::start([
            Response::events(&[START, &last].concat()),
            Response::status(204),
        ])
        .await;
        let mut events = subscribe(script.sse_url(), "t").start().unwrap();
        let error = within(events.collect_all().text("token"))
            .await
            .unwrap_err();
        assert_eq!(error.code(), code);
    }
}

#[tokio::test]
async fn an_event_named_fail_that_others_follow_is_an_ordinary_event() {
    let token = "id: 5-2\nevent: token\ndata: a\n\n";
    let end = "id: 5-3\nevent: end\ndata:\n\n";
    for answers in [
        vec![[START, FAIL, token, end].concat()],
        vec![[START, FAIL].concat(), [token, end].concat()],
    ] {
        let script = Script::start(answers.iter().map(|events| Response::events(events))).await;
        let mut events = subscribe(script.sse_url(), "t").start().unwrap();
        let read = within(all(&mut events)).await.unwrap();
        assert_eq!(names(&read), ["start", "fail", "token", "end"]);
        assert_eq!(events.status(), Some(Status::Ended));
    }
    let script = Script::start([Response::lines(concat!(
        "{\"key\":\"k\",\"id\":\"5-0\",\"event\":\"fail\"}\n",
        "{\"key\":\"k\",\"id\":\"5-1\",\"event\":\"abandon\"}\n",
        "{\"key\":\"k\",\"id\":\"5-2\",\"event\":\"x\",\"stream_status\":\"unknown\"}\n",
        "{\"key\":\"k\",\"id\":\"5-3\",\"event\":\"abandon\",\"stream_status\":\"abandoned\"}\n",
    ))])
    .await;
    let mut events = subscribe(script.client_url("ndjson?key=k"), "t")
        .start()
        .unwrap();
    let read = within(all(&mut events)).await.unwrap();
    assert_eq!(names(&read), ["fail", "abandon", "x", "abandon"]);
    assert_eq!(events.status(), Some(Status::Abandoned));
}

#[tokio::test]
async fn of_several_streams_each_has_its_own_status() {
    let broker = Broker::start().await;
    let client = broker.client();
    let access = broker.create("a").await;
    broker.create("b").await;
    let both = client.issue_token(IssueToken::for_keys(["a", "b"])).await;
    let token = both.unwrap().token;
    client.fail_stream(failed("a")).await.unwrap();
    client.end_stream("b").await.unwrap();
    for url in [
        access.sse_url.clone(),
        access.sse_url.replace("/sse", "/ndjson"),
        access.sse_url.replace("/sse", "/poll"),
        #[cfg(feature = "websocket")]
        access.ws_url.clone(),
    ] {
        let mut events = subscribe_many(&url, ["a", "b"], &*token).start().unwrap();
        let read: Vec<Event> = within(events.by_ref().try_collect()).await.unwrap();
        assert_eq!(read.len(), 4, "{url}");
        let statuses = [events.status("a"), events.status("b")];
        assert_eq!(
            statuses,
            [Some(Status::Failed), Some(Status::Ended)],
            "{url}"
        );
    }
}

#[tokio::test]
async fn finishing_a_stream_that_is_finished_succeeds_with_its_status() {
    let broker = Broker::start().await;
    let client = broker.client();
    let generation = broker.create("k").await.generation;
    let end = EndStream {
        key: "k".to_owned(),
        data: Some(json!({"tokens": 5})),
        generation: Some("0".repeat(32)),
    };
    let error = client.end_stream(end.clone()).await.unwrap_err();
    assert_eq!(error.code(), "stale-generation");
    let end = EndStream { generation, ..end };
    assert_eq!(client.end_stream(end).await.unwrap().status, "ended");
    let stored = client.stream_events("k").await.unwrap();
    assert_eq!(stored[1].data.as_deref(), Some("{\"tokens\":5}"));

    let cancel = CancelStream {
        key: "k".to_owned(),
        reason: Some("late".to_owned()),
        by: None,
        generation: None,
    };
    assert_eq!(client.cancel_stream(cancel).await.unwrap().status, "ended");
    assert_eq!(client.fail_stream("k").await.unwrap().status, "ended");
    assert_eq!(client.end_stream("k").await.unwrap().status, "ended");
    let error = client.fail_stream("none").await.unwrap_err();
    assert_eq!(
        (error.code(), error.stream_status()),
        ("no-active-stream", None)
    );
    let error = client.add_events(("k", Vec::new())).await.unwrap_err();
    assert_eq!(error.stream_status(), Some("ended"));
}

#[tokio::test]
async fn a_stream_is_attached_to_and_a_create_is_repeated() {
    let broker = Broker::start().await;
    let client = broker.client();
    let create = CreateStream {
        request_id: Some("one".to_owned()),
        ..CreateStream::from("k")
    };
    let first = client.create_stream(create.clone()).await.unwrap();
    let again = client.create_stream(create).await.unwrap();
    assert_eq!((first.created, again.created), (Some(true), Some(true)));
    let attach = CreateStream {
        if_exists: Some(IfTaken::Attach),
        ..CreateStream::from("k")
    };
    let attached = client.create_stream(attach).await.unwrap();
    assert_eq!(attached.created, Some(false));
    assert_eq!(attached.generation, first.generation);
    assert_eq!(again.generation, first.generation);
}

#[tokio::test]
async fn a_refusal_after_a_fail_is_an_error() {
    let script = Script::start([
        Response::events(&[START, FAIL].concat()),
        Response::error(403, "forbidden", ""),
    ])
    .await;
    let mut events = subscribe(script.sse_url(), "t").start().unwrap();
    assert_eq!(within(failure(&mut events)).await.code(), "forbidden");
    assert_eq!(events.status(), None);
}

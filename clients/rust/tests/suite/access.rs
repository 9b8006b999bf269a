//! Subscriptions that get their URL and their tokens from an access.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use futures::{StreamExt, TryStreamExt};
use tinistreamer_client::{
    AccessSource, StreamAccess, subscribe_many_with, subscribe_with, types::IssueToken,
};

use crate::common::{Broker, END, Response, START, Script, TOKEN, all, failure, names, within};

/// A function that returns these accesses, one after another. Each is a pair of URL and token.
fn accesses(accesses: &[(&str, &str)]) -> AccessSource {
    let accesses = accesses
        .iter()
        .map(|(url, token)| StreamAccess::new(*url, *token));
    let accesses: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(accesses.collect()));
    AccessSource::from_fn(move || {
        let access = accesses.lock().unwrap().pop_front();
        async move { access.ok_or("there is no other access") }
    })
}

fn token(request: &str) -> &str {
    let (_, rest) = request.split_once("Bearer ").unwrap();
    rest.lines().next().unwrap()
}

#[tokio::test]
async fn what_create_stream_returns_is_enough() {
    let broker = Broker::start().await;
    let access = broker.create_for_signals("k").await;
    let mut events = subscribe_with(&access).start().unwrap();
    let first = within(events.next()).await.unwrap().unwrap();
    assert_eq!((&*first.event, &*first.key), ("start", "k"));
    broker.client().end_stream("k").await.unwrap();
    assert_eq!(names(&all(&mut events).await.unwrap()), ["end"]);
    let after = first.id.unwrap();
    let mut rest = subscribe_with(access).after(after).start().unwrap();
    assert_eq!(names(&all(&mut rest).await.unwrap()), ["end"]);
}

#[tokio::test]
async fn the_json_of_a_backend_is_an_access() {
    let broker = Broker::start().await;
    let access = broker.create("k").await;
    broker.client().end_stream("k").await.unwrap();
    let json = serde_json::to_string(&access).unwrap();
    let access: StreamAccess = serde_json::from_str(&json).unwrap();
    assert!(!format!("{access:?}").contains(&json[20..60]));
    let mut events = subscribe_with(access).start().unwrap();
    assert_eq!(names(&all(&mut events).await.unwrap()), ["start", "end"]);
}

#[tokio::test]
async fn only_the_token_of_a_later_access_is_used() {
    let script = Script::start([
        Response::events(START),
        Response::error(401, "token-expired", ""),
        Response::events(&[TOKEN, END].concat()),
    ])
    .await;
    let elsewhere = "http://127.0.0.1:1/api/client/sse?key=other";
    let source = accesses(&[(&script.sse_url(), "first"), (elsewhere, "second")]);
    let mut events = subscribe_with(source).start().unwrap();
    assert_eq!(events.last_id(), None);
    let read = all(&mut events).await.unwrap();
    assert_eq!(names(&read), ["start", "token", "end"]);
    assert_eq!(read[0].key, "k");
    assert_eq!(events.last_id(), Some("6-2"));
    let requests = script.requests();
    let tokens: Vec<_> = requests.iter().map(|request| token(request)).collect();
    assert_eq!(tokens, ["first", "first", "second"]);
}

#[tokio::test]
async fn a_url_and_a_token_at_hand_are_used_first() {
    let script = Script::start([
        Response::events(START),
        Response::error(401, "token-expired", ""),
        Response::events(&[TOKEN, END].concat()),
    ])
    .await;
    let source = accesses(&[("http://127.0.0.1:1/", "second")]);
    let subscription = subscribe_with(source).url(script.sse_url()).token("first");
    let mut events = subscription.start().unwrap();
    assert_eq!(all(&mut events).await.unwrap().len(), 3);
    let requests = script.requests();
    let tokens: Vec<_> = requests.iter().map(|request| token(request)).collect();
    assert_eq!(tokens, ["first", "first", "second"]);
}

#[tokio::test]
async fn an_access_that_is_no_function_is_not_asked_again() {
    let script = Script::start([Response::error(401, "token-expired", "")]).await;
    let access = StreamAccess::new(script.sse_url(), "t");
    let mut events = subscribe_with(access).start().unwrap();
    assert_eq!(failure(&mut events).await.code(), "token-expired");
}

#[tokio::test]
async fn a_position_is_kept_until_the_url_is_known() {
    let script = Script::start([Response::events(END)]).await;
    let source = accesses(&[(&script.sse_url(), "t")]);
    let mut events = subscribe_with(source).after("5-1").start().unwrap();
    assert_eq!(events.last_id(), Some("5-1"));
    assert_eq!(names(&all(&mut events).await.unwrap()), ["end"]);
    assert_eq!(script.queries()[0].1.as_deref(), Some("5-1"));
}

#[tokio::test]
async fn several_streams_are_followed_with_an_access() {
    let broker = Broker::start().await;
    broker.create("a").await;
    broker.create("b").await;
    let token = IssueToken::for_keys(["a", "b"]);
    let access = broker.client().issue_token(token).await.unwrap();
    for key in ["a", "b"] {
        broker.client().end_stream(key).await.unwrap();
    }
    let source = AccessSource::from_fn(move || {
        let access = access.clone();
        async move { Ok::<_, std::convert::Infallible>(access) }
    });
    let mut events = subscribe_many_with(source, ["a", "b"]).start().unwrap();
    let read: Vec<_> = within(events.by_ref().try_collect()).await.unwrap();
    assert_eq!(read.len(), 4);
}

#[tokio::test]
async fn an_access_that_can_not_be_used_is_an_error() {
    let mut events = subscribe_with(accesses(&[])).start().unwrap();
    assert_eq!(failure(&mut events).await.code(), "token");
    for url in [
        "nonsense",
        "http://host/api/stream?key=k",
        "http://host/api/client/sse",
    ] {
        let mut events = subscribe_with(accesses(&[(url, "t")])).start().unwrap();
        assert_eq!(failure(&mut events).await.code(), "setup", "{url}");
        let known = subscribe_with(StreamAccess::new(url, "t")).start();
        assert_eq!(known.unwrap_err().code(), "setup", "{url}");
    }
}

#[tokio::test]
async fn a_signal_may_be_the_first_that_needs_the_access() {
    let broker = Broker::start().await;
    let access = broker.create_for_signals("k").await;
    let source = accesses(&[(&access.sse_url, &access.token)]);
    let mut events = subscribe_with(source).start().unwrap();
    assert_eq!(within(events.request_stop()).await.unwrap(), Some(1));
    // The subscription uses the same access.
    let first = within(events.next()).await.unwrap().unwrap();
    assert_eq!(first.event, "start");
}

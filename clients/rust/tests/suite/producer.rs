//! Signals that subscribers send to producers.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use serde_json::json;
use tinistreamer_client::{Error, Token, subscribe, subscribe_many, types::IssueToken};

use crate::common::{Broker, Proxy, Response, Routes, all, healthy, no_active_stream, within};

const SIGNAL: &str = "/api/client/signal";

/// A server whose route for signals answers like this, one request after another.
async fn answering(answers: Vec<fn() -> Response>) -> Routes {
    let count = AtomicUsize::new(0);
    Routes::start(move |request| {
        if request.contains(SIGNAL) {
            answers[count.fetch_add(1, Ordering::Relaxed)]()
        } else {
            healthy(request)
        }
    })
    .await
}

fn sent() -> Response {
    Response::json(&json!({"seq": 7}))
}

fn unavailable() -> Response {
    Response::error(503, "store-unavailable", "retry-after: 0\r\n")
}

fn expired() -> Response {
    Response::error(401, "token-expired", "")
}

fn sse_url(routes: &Routes) -> String {
    format!("{}/api/client/sse?key=a%26b&tags=x", routes.url)
}

/// A function that returns `token 1`, `token 2` and so on.
fn counted_tokens() -> Token {
    let count = Arc::new(AtomicUsize::new(1));
    Token::from_fn(move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, Infallible>(format!("token-{number}")) }
    })
}

#[tokio::test]
async fn signals_of_a_subscription_reach_the_producer_before_and_after_its_events() {
    let broker = Broker::start().await;
    let access = broker.create_for_signals("k").await;
    let urls = [
        access.sse_url.clone(),
        access.sse_url.replace("/sse", "/ndjson"),
        access.sse_url.replace("/sse", "/poll"),
        #[cfg(feature = "websocket")]
        access.ws_url.clone(),
    ];
    let mut subscriptions = Vec::new();
    for (number, url) in (1..).zip(&urls) {
        let events = subscribe(url, &*access.token).start().unwrap();
        let data = json!({"by": number});
        let seq = within(events.signal("steer", &data)).await.unwrap();
        assert_eq!(seq, number);
        subscriptions.push(events);
    }
    let mut events = subscriptions.remove(0);
    let producer = events.producer();
    // While the subscription is polled elsewhere.
    let reading = tokio::spawn(async move {
        let read = all(&mut events).await.unwrap();
        (read.len(), events)
    });
    let stop = within(producer.request_stop()).await.unwrap();
    assert_eq!(stop, Some(urls.len() as u64 + 1));
    assert_eq!(within(producer.request_stop()).await.unwrap(), stop);
    let signals = broker.client().read_signals("k", 0).await.unwrap().signals;
    assert_eq!(signals[0].data, Some(json!({"by": 1})));
    assert_eq!(
        (&*signals[0].name, signals[0].by.as_deref()),
        ("steer", Some("user-7"))
    );
    assert_eq!(signals.last().unwrap().data, None);
    broker.client().cancel_stream("k").await.unwrap();
    let (count, events) = within(reading).await.unwrap();
    assert_eq!(count, 2);
    assert_eq!(within(events.request_stop()).await.unwrap(), None);
    let error = within(events.signal("steer", ())).await.unwrap_err();
    assert_eq!(error.code(), "no-active-stream");
}

#[tokio::test]
async fn of_several_streams_the_key_says_whose_producer_is_asked() {
    let broker = Broker::start().await;
    broker.create("a").await;
    broker.create("b").await;
    let token = IssueToken {
        permissions: Some(vec![tinistreamer_client::types::Permission::Signal]),
        ..IssueToken::for_keys(["a", "b"])
    };
    let token = broker.client().issue_token(token).await.unwrap().token;
    let url = format!("{}/api/client/sse", broker.url);
    let events = subscribe_many(url, ["a", "b"], token).start().unwrap();
    assert_eq!(within(events.signal("a", "steer", 1)).await.unwrap(), 1);
    assert_eq!(within(events.request_stop("a")).await.unwrap(), Some(2));
    let producer = events.handle().producer("b");
    assert_eq!(within(producer.request_stop()).await.unwrap(), Some(1));
    assert_eq!(
        within(events.producer("b").signal("x", ())).await.unwrap(),
        2
    );
    let error = within(events.request_stop("other")).await.unwrap_err();
    assert_eq!(error.code(), "forbidden");
}

#[tokio::test]
async fn a_token_without_the_permission_is_refused_at_once() {
    let broker = Broker::start().await;
    let access = broker.create("k").await;
    let mut events = subscribe(access.sse_url, access.token).start().unwrap();
    let error = within(events.request_stop()).await.unwrap_err();
    assert_eq!(error.code(), "forbidden");
    let first = within(events.next()).await.unwrap().unwrap();
    assert_eq!(first.event, "start");
}

#[tokio::test]
async fn a_signal_is_sent_again_and_stored_once() {
    let broker = Broker::start().await;
    let access = broker.create_for_signals("k").await;
    let proxy = Proxy::losing(&broker.url, SIGNAL).await;
    let url = access.sse_url.replace(&broker.url, &proxy.url);
    let events = subscribe(url, access.token).start().unwrap();
    assert_eq!(within(events.signal("steer", ())).await.unwrap(), 1);
    assert_eq!(proxy.connections(), 2);
    let signals = broker.client().read_signals("k", 0).await.unwrap().signals;
    assert_eq!(signals.len(), 1);
}

#[tokio::test]
async fn a_signal_has_an_id_and_goes_to_the_stream_of_the_url() {
    let routes = answering(vec![unavailable, unavailable, sent]).await;
    let events = subscribe(sse_url(&routes), "secret").start().unwrap();
    assert_eq!(within(events.request_stop()).await.unwrap(), Some(7));
    let requests = routes.requests(SIGNAL);
    let first = requests[0].lines().next().unwrap();
    assert_eq!(first, "POST /api/client/signal?key=a%26b HTTP/1.1");
    assert!(requests[0].contains("authorization: Bearer secret\r\n"));
    let bodies = routes.bodies(SIGNAL);
    assert!(bodies.len() == 3 && bodies.iter().all(|body| *body == bodies[0]));
    let id = bodies[0]["id"].as_str().unwrap();
    assert_eq!(bodies[0], json!({"name": "stop", "id": id}));
    assert_eq!(id.len(), 20);
}

#[tokio::test]
async fn an_expired_token_is_replaced_once_and_shared_with_the_subscription() {
    let start = "retry: 1\nid: 5-0\nevent: start\ndata:\n\n";
    let end = "id: 5-1\nevent: end\ndata:\n\n";
    let connections = AtomicUsize::new(0);
    let signals = AtomicUsize::new(0);
    let routes = Routes::start(move |request| {
        if request.contains(SIGNAL) {
            return match signals.fetch_add(1, Ordering::Relaxed) {
                0 => expired(),
                _ => sent(),
            };
        }
        match connections.fetch_add(1, Ordering::Relaxed) {
            0 => Response::events(start),
            _ => Response::events(end),
        }
    })
    .await;
    let mut events = subscribe(sse_url(&routes), counted_tokens())
        .start()
        .unwrap();
    within(events.next()).await.unwrap().unwrap();
    assert_eq!(within(events.signal("steer", ())).await.unwrap(), 7);
    all(&mut events).await.unwrap();
    let tokens = |text| -> Vec<String> {
        let token = |request: &String| {
            let (_, rest) = request.split_once("Bearer ").unwrap();
            rest.lines().next().unwrap().to_owned()
        };
        routes.requests(text).iter().map(token).collect()
    };
    assert_eq!(tokens(SIGNAL), ["token-1", "token-2"]);
    assert_eq!(tokens("/api/client/sse"), ["token-1", "token-2"]);
}

#[tokio::test]
async fn a_token_that_is_refused_again_is_an_error() {
    let routes = answering(vec![expired, expired, expired]).await;
    let events = subscribe(sse_url(&routes), counted_tokens())
        .start()
        .unwrap();
    // The first token is new.
    let error = within(events.request_stop()).await.unwrap_err();
    assert_eq!(error.code(), "token-expired");
    let error = within(events.request_stop()).await.unwrap_err();
    assert_eq!(error.code(), "token-expired");
    assert_eq!(routes.requests(SIGNAL).len(), 3);

    let routes = answering(vec![expired]).await;
    let events = subscribe(sse_url(&routes), "no function").start().unwrap();
    let error = within(events.request_stop()).await.unwrap_err();
    assert_eq!(error.code(), "token-expired");
}

#[tokio::test]
async fn only_a_finished_stream_needs_no_stop() {
    let routes = answering(vec![
        || no_active_stream(Some("ended")),
        || no_active_stream(None),
        || Response::Bytes("HTTP/1.1 200 X\r\nconnection: close\r\n\r\nnonsense".to_owned()),
    ])
    .await;
    let events = subscribe(sse_url(&routes), "t").start().unwrap();
    assert_eq!(within(events.request_stop()).await.unwrap(), None);
    let error = within(events.request_stop()).await.unwrap_err();
    assert_eq!(error.code(), "no-active-stream");
    let error = within(events.request_stop()).await.unwrap_err();
    assert!(matches!(error, Error::InvalidAnswer(_)), "{error:?}");
}

#[tokio::test]
async fn a_broker_that_can_not_be_reached_is_an_error_after_the_retries() {
    let routes = answering(Vec::new()).await;
    let url = "http://127.0.0.1:1/api/client/sse?key=k";
    let events = subscribe(url, "t").start().unwrap();
    drop(routes);
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let error = within(events.request_stop()).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    assert!(begun.elapsed() >= Duration::from_secs(30));
}

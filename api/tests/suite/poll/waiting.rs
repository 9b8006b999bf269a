//! Polls that wait for events.

use serde_json::{Value, json};

use super::{ask, poll};
use crate::common::{
    Broker, Kind, broker,
    redis::Redis,
    subscriber::{Subscriber, Transport, token},
    until, within,
};

/// The end of the wait is not the end of a stream.
async fn a_poll_of_an_expired_stream_receives_its_deletion_next_time(broker: Broker) {
    broker.create_with(json!({"key": "a", "ttl": 1})).await;
    let bound = token(&broker, json!({"key": "a", "ttl": 60})).await;
    let start = poll(&broker, &["a"], &bound, "").await["cursor"].clone();
    let more = format!("&wait=60&after={}", start.as_str().unwrap());
    let answer = poll(&broker, &["a"], &bound, &more).await;
    assert_eq!(
        answer,
        json!({"events": [], "cursor": start, "status": "active"})
    );
    assert_eq!(ask(&broker, &["a"], &bound, &more).await.status(), 404);
}

async fn a_poll_that_disconnects_while_it_waits_frees_its_permit(kind: Kind) {
    let broker = broker(kind).set("MAX_CLIENTS", 1).start().await;
    let token = broker.create("a").await;
    let start = poll(&broker, &["a"], &token, "").await["cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    for _ in 0..3 {
        let waiting = ask(&broker, &["a"], &token, &format!("&after={start}&wait=60")).await;
        assert_eq!(
            (waiting.status().as_u16(), broker.permits_in_use().await),
            (200, 1)
        );
        drop(waiting);
    }
    broker.sse("a", &token, None).await;
}

#[tokio::test]
async fn a_poll_that_disconnects_while_it_waits_frees_its_permit_in_memory() {
    a_poll_that_disconnects_while_it_waits_frees_its_permit(Kind::Memory).await;
}

#[tokio::test]
async fn a_poll_that_disconnects_while_it_waits_frees_its_permit_in_exclusive() {
    a_poll_that_disconnects_while_it_waits_frees_its_permit(Kind::Exclusive).await;
}

on_every_store!(a_poll_of_an_expired_stream_receives_its_deletion_next_time,);

#[tokio::test]
async fn only_a_waiting_poll_takes_a_permit() {
    let broker = broker(Kind::Memory).set("MAX_CLIENTS", 1).start().await;
    let token = broker.create("a").await;
    let mut subscriber = broker.sse("a", &token, None).await;
    let start = subscriber.next().await.unwrap().id;
    assert_eq!(
        poll(&broker, &["a"], &token, "").await["events"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        poll(&broker, &["a"], &token, &format!("&after={start}&wait=0")).await["events"],
        json!([])
    );
    let refused = ask(&broker, &["a"], &token, &format!("&after={start}&wait=1")).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(
        refused.json::<Value>().await.unwrap()["code"],
        "too-many-clients"
    );
}

#[tokio::test]
async fn only_polls_accept_a_wait_time_and_only_a_valid_one() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("a").await;
    for (transport, wait) in [
        (Transport::Poll, "61"),
        (Transport::Poll, "-1"),
        (Transport::Poll, "x"),
        (Transport::Sse, "5"),
        (Transport::Ndjson, "0"),
        (Transport::Ws, "5"),
    ] {
        let refused = Subscriber::new(&broker, transport, ["a"], &token)
            .with(format!("&wait={wait}"))
            .refused()
            .await;
        assert_eq!(
            refused,
            (400, "invalid-parameter".to_owned()),
            "{transport:?}: {wait}"
        );
    }
}

/// A waiting subscriber receives a response when the node stops, and polls another node.
async fn a_waiting_poll_is_answered_when_the_node_stops(kind: Kind) {
    let node = broker(kind).set("SHUTDOWN_GRACE", 2).start().await;
    let token = node.create("a").await;
    let written = node.add_events("a", 0, 1).await;
    let more = format!("&after={}&wait=60", written[0]);
    let answer = tokio::join!(poll(&node, &["a"], &token, &more), async {
        until("it waits", || async { node.permits_in_use().await == 1 }).await;
        node.signal("-TERM").await;
    });
    assert_eq!(
        answer.0,
        json!({"events": [], "cursor": written[0], "status": "active"})
    );
    let mut node = node;
    assert_eq!(within(node.process.wait()).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_waiting_poll_is_answered_when_the_node_stops_in_memory() {
    a_waiting_poll_is_answered_when_the_node_stops(Kind::Memory).await;
}

#[tokio::test]
async fn a_waiting_poll_is_answered_when_the_node_stops_in_exclusive() {
    a_waiting_poll_is_answered_when_the_node_stops(Kind::Exclusive).await;
}

async fn an_unreachable_store_refuses_new_polls_and_ends_waiting_ones(kind: Kind) {
    let mut redis = Redis::start(&[]);
    let broker = broker(kind)
        .set("REDIS_URL", redis.url())
        .set("STORE_PATIENCE", 1)
        .start()
        .await;
    let token = broker.create("a").await;
    let start = poll(&broker, &["a"], &token, "").await["cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    let more = format!("&after={start}&wait=60");
    let (waiting, ()) = tokio::join!(ask(&broker, &["a"], &token, &more), async {
        until("it waits", || async { broker.permits_in_use().await == 1 }).await;
        redis.kill();
    });
    // The response to the waiting subscriber had begun.
    assert_eq!(
        waiting.json::<Value>().await.unwrap(),
        json!({"events": [], "cursor": start, "status": "active"})
    );
    let refused = ask(&broker, &["a"], &token, "&wait=0").await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(
        refused.json::<Value>().await.unwrap()["code"],
        "store-unavailable"
    );
}

#[tokio::test]
async fn an_unreachable_store_refuses_new_polls_and_ends_waiting_ones_in_exclusive() {
    an_unreachable_store_refuses_new_polls_and_ends_waiting_ones(Kind::Exclusive).await;
}

#[tokio::test]
async fn an_unreachable_store_refuses_new_polls_and_ends_waiting_ones_in_shared() {
    an_unreachable_store_refuses_new_polls_and_ends_waiting_ones(Kind::Shared).await;
}

//! One connection follows one or twenty streams. Each stream arrives whole, once and in order,
//! however often and wherever the connection breaks.

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use futures::future::join_all;
use serde_json::json;
use tokio::time::sleep;

use crate::common::{
    Broker, Kind, TIMEOUT,
    cutting_proxy::CuttingProxy,
    keys::bucket,
    seed::Seed,
    subscriber::{Outcome, Subscriber, Transport, Update, stored, token},
};

/// After this many cuts a connection holds, so that every subscriber reaches the end.
const CUTS: u32 = 20;

/// Subscribers of each set of streams.
const SUBSCRIBERS: usize = 2;

/// Keys with all characters that have a meaning in a query, a cursor or an address. They share one
/// Cluster slot where the delivery needs that.
fn keys(kind: Kind, count: usize, random: &mut Rng) -> Vec<String> {
    let mut any = || {
        let text: String = (0..random.usize(0..3))
            .map(|_| {
                random
                    .choice([":", ",", "~", "!", "%2C", " ", "&", "+", "é", "🙂", "/"])
                    .unwrap()
            })
            .collect();
        format!("{text}{:x}", random.u32(..))
    };
    let first = any();
    let fits = |key: &String| kind != Kind::ExclusiveCluster || bucket(key) == bucket(&first);
    let others: Vec<_> = std::iter::repeat_with(any)
        .filter(fits)
        .take(count - 1)
        .collect();
    [vec![first.clone()], others].concat()
}

/// Writes a stream to its end, or cancels it.
async fn write(broker: &Broker, key: &str, mut random: Rng) {
    let mut left = *random.choice(&[0, 1, 10, 40, 80]).unwrap();
    let pace = *random.choice(&[0, 20, 150]).unwrap();
    while left > 0 {
        let batch = random.usize(1..=12).min(left);
        left -= batch;
        let event = || {
            let length = *random.choice(&[0, 5, 60, 300, 3000]).unwrap();
            let data: String = (0..length)
                .map(|_| {
                    random
                        .choice(['a', '"', '\\', '\n', ' ', ':', 'é', '🙂'])
                        .unwrap()
                })
                .collect();
            let name = random
                .choice(["token", "tool call", "n", "message"])
                .unwrap();
            json!({"event": name, "data": data})
        };
        let events: Vec<_> = std::iter::repeat_with(event).take(batch).collect();
        broker.add(key, json!(events)).await;
        sleep(Duration::from_millis(random.u64(0..=pace))).await;
    }
    let how = if random.u8(0..4) == 0 {
        "cancel"
    } else {
        "end"
    };
    let (status, answer) = broker
        .post(&format!("/api/stream/{how}"), json!({ "key": key }))
        .await;
    assert_eq!(status, 200, "{answer}");
}

/// Follows the streams to their ends over a connection that breaks. Returns the received updates by
/// key.
async fn follow(
    broker: &Broker,
    transport: Transport,
    keys: &[String],
    token: &str,
    mut random: Rng,
) -> BTreeMap<String, Vec<Update>> {
    sleep(Duration::from_millis(random.u64(0..300))).await;
    let (mut bytes, mut connections) = (random.fork(), 0);
    let proxy = CuttingProxy::start(&broker.url, move || {
        connections += 1;
        let most = 1 << bytes.u32(6..=16);
        if connections > CUTS {
            u64::MAX
        } else {
            bytes.u64(0..most)
        }
    })
    .await;
    let mut subscriber = Subscriber::new(broker, transport, keys, token);
    subscriber.url.clone_from(&proxy.url);
    let mut all: BTreeMap<String, Vec<Update>> =
        keys.iter().map(|key| (key.clone(), Vec::new())).collect();
    loop {
        match subscriber.next().await {
            Outcome::Update(update) => all
                .get_mut(&update.key)
                .expect("a key that was asked for")
                .push(update),
            // The subscriber also disconnects by itself, with data that it has not read.
            Outcome::Disconnected(_) => {}
            Outcome::Complete => break,
            Outcome::Refused(status, error) => panic!("{status}: {error}"),
        }
        if random.u8(..) == 0 {
            subscriber.cut();
        }
    }
    assert!(
        subscriber.connections > 1 || transport == Transport::Poll || keys.len() < 20,
        "it was cut"
    );
    all
}

async fn follow_streams(broker: &Broker, transport: Transport, count: usize, mut random: Rng) {
    let keys = keys(broker.kind, count, &mut random);
    for key in &keys {
        broker
            .create_with(json!({"key": key, "max_events": 10_000}))
            .await;
    }
    let token = token(broker, json!({ "keys": keys })).await;
    let writers = join_all(keys.iter().map(|key| write(broker, key, random.fork())));
    let subscribers: Vec<_> = (0..SUBSCRIBERS)
        .map(|_| follow(broker, transport, &keys, &token, random.fork()))
        .collect();
    let subscribers = tokio::time::timeout(TIMEOUT, join_all(subscribers));
    let (_, subscribers) = tokio::join!(writers, subscribers);
    let subscribers = subscribers.expect("every subscriber reaches the end");
    for key in &keys {
        let stored = stored(broker, key).await;
        assert!(matches!(
            stored.last().and_then(|last| last.event.as_deref()),
            Some("end" | "cancel")
        ));
        for subscriber in &subscribers {
            assert_eq!(subscriber[key], stored, "{count} streams");
        }
    }
}

async fn each_arrives_exactly(broker: Broker, transport: Transport) {
    let seed = Seed::new();
    let mut random = Rng::with_seed(seed.0);
    join_all([1, 2, 20].map(|count| follow_streams(&broker, transport, count, random.fork())))
        .await;
}

async fn each_stream_arrives_exactly_over_sse(broker: Broker) {
    each_arrives_exactly(broker, Transport::Sse).await;
}

async fn each_stream_arrives_exactly_over_a_websocket(broker: Broker) {
    each_arrives_exactly(broker, Transport::Ws).await;
}

async fn each_stream_arrives_exactly_over_ndjson(broker: Broker) {
    each_arrives_exactly(broker, Transport::Ndjson).await;
}

async fn each_stream_arrives_exactly_over_polls(broker: Broker) {
    each_arrives_exactly(broker, Transport::Poll).await;
}

on_every_store!(
    each_stream_arrives_exactly_over_sse,
    each_stream_arrives_exactly_over_a_websocket,
    each_stream_arrives_exactly_over_ndjson,
    each_stream_arrives_exactly_over_polls,
);

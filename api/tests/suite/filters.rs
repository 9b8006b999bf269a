//! Event names filters: a subscriber receives only events of the names that it asked for, and
//! resumes behind the events that it skipped.

mod positions;

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::common::{
    Broker, Kind, TIMEOUT, broker,
    cutting_proxy::CuttingProxy,
    keys::together,
    number,
    seed::Seed,
    subscriber::{Outcome, Subscriber, Transport, Update, encoded, stored, token},
    until,
};

const NAMES: [&str; 9] = [
    "a",
    "ab",
    "abc",
    "b",
    "metric",
    "metrics",
    "metric.cpu",
    "é",
    "alert now",
];

/// Some names, and some prefixes of names.
fn patterns(random: &mut Rng) -> Vec<String> {
    let pattern = |random: &mut Rng| {
        let name = *random.choice(&NAMES).unwrap();
        let stem: String = name
            .chars()
            .take(random.usize(0..=name.chars().count()))
            .collect();
        if random.bool() && !stem.is_empty() {
            format!("{stem}*")
        } else {
            name.to_owned()
        }
    };
    (0..random.usize(1..4)).map(|_| pattern(random)).collect()
}

/// Whether the filter passes an event of this name, as the documentation says.
fn passes(patterns: &[String], name: &str) -> bool {
    let wants = |pattern: &String| match pattern.split_once('*') {
        Some((prefix, _)) => name.starts_with(prefix),
        None => pattern == name,
    };
    ["start", "end", "cancel", "missedevents"].contains(&name) || patterns.iter().any(wants)
}

/// Follows the streams with this filter to their ends, over a connection that breaks. Returns the
/// updates by key. Positions are checked and left out.
async fn follow(
    broker: &Broker,
    transport: Transport,
    keys: &[String],
    token: &str,
    wanted: &[String],
    mut random: Rng,
) -> BTreeMap<String, Vec<Update>> {
    let mut connections = 0;
    let proxy = CuttingProxy::start(&broker.url, move || {
        connections += 1;
        let most = 1 << random.u32(8..=13);
        if connections > 10 {
            u64::MAX
        } else {
            random.u64(0..most)
        }
    })
    .await;
    let mut subscriber = Subscriber::new(broker, transport, keys, token)
        .with(format!("&events={}", encoded(&wanted.join(","))));
    subscriber.url.clone_from(&proxy.url);
    let mut all: BTreeMap<String, Vec<Update>> =
        keys.iter().map(|key| (key.clone(), Vec::new())).collect();
    let mut positions: BTreeMap<String, u64> = BTreeMap::new();
    loop {
        match subscriber.next().await {
            Outcome::Update(update) => {
                let at = number(update.id.as_deref().expect("an id"));
                let before = positions.insert(update.key.clone(), at);
                assert!(
                    before
                        .is_none_or(|before| before < at || update.event.is_none() && before == at),
                    "forward: {update:?}"
                );
                if update.event.is_some() {
                    all.get_mut(&update.key)
                        .expect("a key that was asked for")
                        .push(update);
                }
            }
            Outcome::Disconnected(_) => {}
            Outcome::Complete => return all,
            Outcome::Refused(status, error) => panic!("{status}: {error}"),
        }
    }
}

async fn only_events_that_pass_the_filter_arrive_and_all_of_them(broker: Broker) {
    let seed = Seed::new();
    let mut random = Rng::with_seed(seed.0);
    let keys = together(broker.kind, ["a", "b: é", "c"]);
    for key in &keys {
        broker
            .create_with(json!({"key": key, "max_events": 10_000}))
            .await;
    }
    let token = token(&broker, json!({ "keys": keys })).await;
    let write = async |key: &str, mut random: Rng| {
        for _ in 0..30 {
            let count = random.usize(1..8);
            let event = || {
                let data = "x".repeat(random.usize(0..100));
                json!({"event": random.choice(NAMES).unwrap(), "data": data})
            };
            let events: Vec<_> = std::iter::repeat_with(event).take(count).collect();
            broker.add(key, json!(events)).await;
            sleep(Duration::from_millis(random.u64(0..30))).await;
        }
        broker.end(key).await;
    };
    let writers = join_all(keys.iter().map(|key| write(key, random.fork())));
    let requests: Vec<_> = Transport::ALL
        .into_iter()
        .flat_map(|transport| {
            [
                (transport, &keys[..1]),
                (transport, &keys[..]),
                (transport, &keys[..]),
            ]
        })
        .map(|(transport, keys)| (transport, keys, patterns(&mut random), random.fork()))
        .collect();
    let subscribers = join_all(requests.iter().map(|(transport, keys, wanted, random)| {
        follow(&broker, *transport, keys, &token, wanted, random.clone())
    }));
    let subscribers = tokio::time::timeout(TIMEOUT, subscribers);
    let (_, subscribers) = tokio::join!(writers, subscribers);
    for ((transport, keys, wanted, _), subscriber) in requests
        .iter()
        .zip(subscribers.expect("every subscriber reaches the end"))
    {
        for key in *keys {
            let mut reference = stored(&broker, key).await;
            reference.retain(|update| passes(wanted, update.event.as_deref().unwrap()));
            assert_eq!(subscriber[key], reference, "{transport:?} {wanted:?}");
        }
    }
}

/// The subscriber reads no event twice. Events that were trimmed meanwhile count as seen if the
/// filter excludes them.
async fn a_subscriber_resumes_behind_the_events_that_it_filtered_out(broker: Broker) {
    let keys = together(broker.kind, ["noisy", "quiet"]);
    broker
        .create_with(json!({"key": keys[0], "max_events": 10}))
        .await;
    broker.create(&keys[1]).await;
    let token = token(&broker, json!({ "keys": keys })).await;
    let mut subscribers: Vec<Subscriber> = Transport::ALL
        .into_iter()
        .flat_map(|transport| [(transport, &keys[..1]), (transport, &keys[..])])
        .map(|(transport, keys)| {
            Subscriber::new(&broker, transport, keys, &token).with("&events=alert")
        })
        .collect();
    for subscriber in &mut subscribers {
        for _ in &subscriber.keys.clone() {
            assert!(subscriber.update().await.is("start"));
        }
        if subscriber.transport == Transport::Poll {
            assert_eq!(subscriber.next().await, Outcome::Disconnected(None));
        }
    }
    // Redis trims about a hundred entries at a time.
    let mut last = String::new();
    for count in [150, 150] {
        last = broker.add_events(&keys[0], 0, count).await.pop().unwrap();
    }
    let reach = async |subscriber: &mut Subscriber| {
        if subscriber.transport == Transport::Poll {
            subscriber.more.push_str("&wait=0");
            while !subscriber.next().await.eq(&Outcome::Disconnected(None)) {}
            subscriber.more = subscriber.more.replace("&wait=0", "");
            return;
        }
        loop {
            let update = subscriber.update().await;
            // Events that are trimmed before the broker read them are reported, also if the filter
            // would exclude them.
            assert!(
                update.key == keys[0] && (update.event.is_none() || update.is("missedevents")),
                "{:?}: {update:?}",
                subscriber.transport
            );
            if update.id.as_deref() == Some(&last) {
                return;
            }
        }
    };
    join_all(subscribers.iter_mut().map(reach)).await;
    for subscriber in &mut subscribers {
        subscriber.cut();
    }
    broker.add_events(&keys[0], 0, 1).await;
    let wanted = broker.add(&keys[0], json!([{"event": "alert"}])).await;
    for subscriber in &mut subscribers {
        let update = subscriber.update().await;
        assert_eq!(
            (update.event.as_deref(), update.id.as_ref()),
            (Some("alert"), wanted.first()),
            "{:?}",
            subscriber.transport
        );
    }
    // A subscriber with an older position receives what it missed, with or without a filter.
    for transport in Transport::ALL {
        let mut stranger =
            Subscriber::new(&broker, transport, &keys[..1], &token).with("&events=alert");
        assert_eq!(stranger.update().await.missed()["after"], Value::Null);
        assert_eq!(
            stranger.update().await.id.as_ref(),
            wanted.first(),
            "{transport:?}"
        );
    }
}

async fn a_long_filtered_history_is_skipped(broker: Broker) {
    let [long] = together(broker.kind, ["long"]);
    let token = broker
        .create_with(json!({"key": long, "max_events": 10_000}))
        .await;
    for batch in 0..6 {
        broker.add_events(&long, batch * 1000, 1000).await;
    }
    let wanted = broker.add(&long, json!([{"event": "alert"}])).await;
    for transport in Transport::ALL {
        let mut subscriber =
            Subscriber::new(&broker, transport, [&long], &token).with("&events=alert");
        assert!(subscriber.update().await.is("start"));
        let mut positions = 0;
        loop {
            let update = subscriber.update().await;
            if update.event.is_some() {
                assert_eq!(update.id.as_ref(), wanted.first(), "{transport:?}");
                break;
            }
            positions += 1;
        }
        // The subscriber receives its position from time to time.
        assert_eq!(positions > 0, transport != Transport::Poll, "{transport:?}");
    }
    broker.end(&long).await;
    let mut socket = crate::common::ws::Ws::connect(
        &format!(
            "{}&events=alert",
            broker.subscribe_url("ws", &long, &token, None)
        ),
        &[],
    )
    .await
    .unwrap();
    let array = socket.next().await.unwrap();
    let events: Vec<_> = array
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|object| object["event"].as_str())
        .collect();
    assert_eq!(
        events,
        ["start", "alert", "end"],
        "one array, also with filtered events"
    );
    assert_eq!(socket.close_code().await, Some(1000));
}

on_every_store!(
    only_events_that_pass_the_filter_arrive_and_all_of_them,
    a_subscriber_resumes_behind_the_events_that_it_filtered_out,
    a_long_filtered_history_is_skipped,
);

#[tokio::test]
async fn an_invalid_filter_is_refused() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("a").await;
    let many = vec!["x"; 65].join(",");
    for events in ["", ",", "a,,b", "a*b", "**", "*a", &many, &"x".repeat(129)] {
        for transport in Transport::ALL {
            let refused = Subscriber::new(&broker, transport, ["a"], &token)
                .with(format!("&events={events}"))
                .refused()
                .await;
            assert_eq!(
                refused,
                (400, "invalid-parameter".to_owned()),
                "{transport:?}: {events}"
            );
        }
    }
    until("none of them took a permit", || async {
        broker.permits_in_use().await == 0
    })
    .await;
}

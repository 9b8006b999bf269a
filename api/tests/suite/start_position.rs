//! The start position of a subscriber without a cursor. The subscriber chooses it, receives it, and
//! loses nothing from then on.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::common::{
    Broker, Kind, broker,
    keys::together,
    subscriber::{Outcome, Subscriber, Transport, Update, stored, token},
};

/// A connection with one key, and one with two, over each transport.
fn connections(keys: &[String; 2]) -> impl Iterator<Item = (Transport, Vec<String>)> {
    Transport::ALL
        .into_iter()
        .flat_map(|transport| [(transport, keys[..1].to_vec()), (transport, keys.to_vec())])
}

/// The position that the subscriber received for the stream. Over SSE this is the id that it would
/// resume with, because one block gives the positions of all streams.
async fn position(subscriber: &mut Subscriber, key: &str) -> String {
    if subscriber.transport == Transport::Poll {
        // The cursor contains it.
        subscriber.more.push_str("&wait=0");
        assert_eq!(
            subscriber.next().await,
            Outcome::Disconnected(None),
            "nothing, at once"
        );
        subscriber.more = subscriber.more.replace("&wait=0", "");
        return subscriber.cursor.clone();
    }
    loop {
        let update = subscriber.update().await;
        assert_eq!(
            (update.event.as_deref(), update.data.as_str()),
            (None, ""),
            "the first thing is the position"
        );
        let id = update.id.expect("an id");
        if update.key == key || subscriber.transport == Transport::Sse {
            return id;
        }
    }
}

async fn from_now_starts_behind_the_newest_event_and_survives_a_cut_before_the_first(
    broker: Broker,
) {
    let keys = together(broker.kind, ["a", "b"]);
    for key in &keys {
        broker.create(key).await;
        broker.add_events(key, 0, 3).await;
    }
    let token = token(&broker, json!({ "keys": keys })).await;
    let mut subscribers = Vec::new();
    for (transport, keys) in connections(&keys) {
        let mut subscriber = Subscriber::new(&broker, transport, &keys, &token).with("&from=now");
        for key in if transport == Transport::Sse || transport == Transport::Poll {
            &keys[..1]
        } else {
            &keys
        } {
            let at = position(&mut subscriber, key).await;
            let last = stored(&broker, key).await.pop().unwrap().id.unwrap();
            assert!(
                at == last
                    || keys.len() == 2 && matches!(transport, Transport::Sse | Transport::Poll),
                "{transport:?}: {at}"
            );
        }
        subscriber.cut();
        subscribers.push(subscriber);
    }
    for key in &keys {
        broker.add_events(key, 3, 3).await;
        broker.end(key).await;
    }
    for subscriber in &mut subscribers {
        let updates = subscriber.rest().await;
        for key in &subscriber.keys {
            let of_key: Vec<&Update> = updates.iter().filter(|update| update.key == *key).collect();
            assert!(
                of_key.into_iter().eq(&stored(&broker, key).await[4..]),
                "{:?} {key}: {updates:?}",
                subscriber.transport
            );
        }
        assert_eq!(
            updates.len(),
            4 * subscriber.keys.len(),
            "{:?}",
            subscriber.transport
        );
    }
}

async fn a_count_and_a_time_start_with_exactly_the_requested_events(broker: Broker) {
    let keys = together(broker.kind, ["a", "b"]);
    for key in &keys {
        broker.create(key).await;
        for n in 0..4 {
            sleep(Duration::from_millis(3)).await;
            broker.add_events(key, 2 * n, 2).await;
        }
    }
    let token = token(&broker, json!({ "keys": keys })).await;
    let all = [
        stored(&broker, &keys[0]).await,
        stored(&broker, &keys[1]).await,
    ];
    let time = |update: &Update| {
        let (ms, _) = update.id.as_deref().unwrap().split_once('-').unwrap();
        chrono::DateTime::from_timestamp_millis(ms.parse().unwrap())
            .unwrap()
            .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
    };
    let ms = |update: &Update| {
        update
            .id
            .clone()
            .unwrap()
            .split_once('-')
            .unwrap()
            .0
            .to_owned()
    };
    for (transport, keys) in connections(&keys) {
        for count in [1, 4, 8] {
            let mut subscriber =
                Subscriber::new(&broker, transport, &keys, &token).with(format!("&from=-{count}"));
            check(&mut subscriber, &all, |_| 9 - count).await;
        }
        for from in [3, 5, 7] {
            let since = time(&all[0][from]);
            let mut subscriber = Subscriber::new(&broker, transport, &keys, &token)
                .with(format!("&from={}", since.replace('Z', "%2B00:00")));
            check(&mut subscriber, &all, |stored| {
                stored
                    .iter()
                    .position(|update| ms(update) >= ms(&all[0][from]))
                    .unwrap_or(stored.len())
            })
            .await;
        }
        // A count of all events is the same as the start.
        for from in ["-9", "-1000", "start", "2001-01-01T00:00:00Z", ""] {
            let mut subscriber =
                Subscriber::new(&broker, transport, &keys, &token).with(format!("&from={from}"));
            check(&mut subscriber, &all, |_| 0).await;
        }
    }
}

/// Compares the delivered events with what is stored, from the expected start position.
async fn check(
    subscriber: &mut Subscriber,
    all: &[Vec<Update>; 2],
    first_index: impl Fn(&[Update]) -> usize,
) {
    let wanted: Vec<&[Update]> = all[..subscriber.keys.len()]
        .iter()
        .map(|stored| &stored[first_index(stored)..])
        .collect();
    let count: usize = wanted.iter().map(|stored| stored.len()).sum();
    let mut updates = Vec::new();
    let mut positions = 0;
    while updates.len() < count {
        let next = subscriber.update().await;
        if next.event.is_none() {
            assert!(updates.is_empty(), "first of all");
            positions += 1;
        } else {
            updates.push(next);
        }
    }
    let starts_later = wanted
        .iter()
        .zip(all)
        .any(|(wanted, all)| wanted.len() < all.len());
    assert_eq!(
        positions > 0,
        starts_later && subscriber.transport != Transport::Poll,
        "{:?}",
        subscriber.transport
    );
    for (key, wanted) in subscriber.keys.iter().zip(wanted) {
        assert!(
            updates
                .iter()
                .filter(|update| update.key == *key)
                .eq(wanted),
            "{:?}{}: {updates:?}",
            subscriber.transport,
            subscriber.more
        );
    }
}

async fn a_cursor_takes_precedence_over_a_start_position(broker: Broker) {
    let keys = together(broker.kind, ["a", "b"]);
    for key in &keys {
        broker.create(key).await;
        broker.add_events(key, 0, 5).await;
    }
    let token = token(&broker, json!({ "keys": keys })).await;
    let all = [
        stored(&broker, &keys[0]).await,
        stored(&broker, &keys[1]).await,
    ];
    let id = all[0][2].id.clone().unwrap();
    for transport in Transport::ALL {
        for from in ["now", "-1", "2100-01-01T00:00:00Z"] {
            let mut one = Subscriber::new(&broker, transport, &keys[..1], &token)
                .after(&id)
                .with(format!("&from={from}"));
            assert_eq!(one.update().await, all[0][3], "{transport:?} {from}");
            // It applies only to the stream that it names.
            let mut two = Subscriber::new(&broker, transport, &keys, &token)
                .after(format!("{}:{id}", keys[0]))
                .with("&from=-2");
            let mut updates = Vec::new();
            while updates.len() < 5 {
                updates.push(two.update().await);
                updates.retain(|update| update.event.is_some());
            }
            for (key, wanted) in keys.iter().zip([&all[0][3..], &all[1][4..]]) {
                assert!(
                    updates
                        .iter()
                        .filter(|update| update.key == *key)
                        .eq(wanted),
                    "{transport:?}: {updates:?}"
                );
            }
        }
    }
}

on_every_store!(
    from_now_starts_behind_the_newest_event_and_survives_a_cut_before_the_first,
    a_count_and_a_time_start_with_exactly_the_requested_events,
    a_cursor_takes_precedence_over_a_start_position,
);

#[tokio::test]
async fn an_invalid_start_position_is_refused() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("a").await;
    for from in ["x", "-", "--1", "-1.5", "5", "end", "2026-01-01", "NOW"] {
        for transport in Transport::ALL {
            let refused = Subscriber::new(&broker, transport, ["a"], &token)
                .with(format!("&from={from}"))
                .refused()
                .await;
            assert_eq!(
                refused,
                (400, "invalid-parameter".to_owned()),
                "{transport:?}: {from}"
            );
        }
    }
}

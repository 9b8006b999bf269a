//! The start position of a subscriber without a cursor. The subscriber chooses it, receives it, and
//! loses nothing from then on.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::common::{
    Broker, Kind, broker,
    follower::{Follower, Heard, Told, Transport, stored, token},
    keys::together,
};

/// A connection with one key, and one with two, over each transport.
fn connections(keys: &[String; 2]) -> impl Iterator<Item = (Transport, Vec<String>)> {
    Transport::ALL
        .into_iter()
        .flat_map(|transport| [(transport, keys[..1].to_vec()), (transport, keys.to_vec())])
}

/// The position that the subscriber received for the stream. Over SSE this is the id that it would
/// resume with, because one block gives the positions of all streams.
async fn position(follower: &mut Follower, key: &str) -> String {
    if follower.transport == Transport::Poll {
        // The cursor contains it.
        follower.more.push_str("&wait=0");
        assert_eq!(follower.next().await, Heard::Cut(None), "nothing, at once");
        follower.more = follower.more.replace("&wait=0", "");
        return follower.cursor.clone();
    }
    loop {
        let told = follower.told().await;
        assert_eq!(
            (told.event.as_deref(), told.data.as_str()),
            (None, ""),
            "the first thing is the position"
        );
        let id = told.id.expect("an id");
        if told.key == key || follower.transport == Transport::Sse {
            return id;
        }
    }
}

async fn from_now_begins_behind_the_newest_and_loses_nothing_though_it_is_cut_before_the_first_event(
    broker: Broker,
) {
    let keys = together(broker.kind, ["a", "b"]);
    for key in &keys {
        broker.create(key).await;
        broker.add_numbered(key, 0, 3).await;
    }
    let token = token(&broker, json!({ "keys": keys })).await;
    let mut followers = Vec::new();
    for (transport, keys) in connections(&keys) {
        let mut follower = Follower::new(&broker, transport, &keys, &token).with("&from=now");
        for key in if transport == Transport::Sse || transport == Transport::Poll {
            &keys[..1]
        } else {
            &keys
        } {
            let at = position(&mut follower, key).await;
            let last = stored(&broker, key).await.pop().unwrap().id.unwrap();
            assert!(
                at == last
                    || keys.len() == 2 && matches!(transport, Transport::Sse | Transport::Poll),
                "{transport:?}: {at}"
            );
        }
        follower.cut();
        followers.push(follower);
    }
    for key in &keys {
        broker.add_numbered(key, 3, 3).await;
        broker.end(key).await;
    }
    for follower in &mut followers {
        let told = follower.rest().await;
        for key in &follower.keys {
            let of_key: Vec<&Told> = told.iter().filter(|told| told.key == *key).collect();
            assert!(
                of_key.into_iter().eq(&stored(&broker, key).await[4..]),
                "{:?} {key}: {told:?}",
                follower.transport
            );
        }
        assert_eq!(
            told.len(),
            4 * follower.keys.len(),
            "{:?}",
            follower.transport
        );
    }
}

async fn a_count_and_a_time_begin_with_just_the_events_that_they_mean(broker: Broker) {
    let keys = together(broker.kind, ["a", "b"]);
    for key in &keys {
        broker.create(key).await;
        for n in 0..4 {
            sleep(Duration::from_millis(3)).await;
            broker.add_numbered(key, 2 * n, 2).await;
        }
    }
    let token = token(&broker, json!({ "keys": keys })).await;
    let all = [
        stored(&broker, &keys[0]).await,
        stored(&broker, &keys[1]).await,
    ];
    let time = |told: &Told| {
        let (ms, _) = told.id.as_deref().unwrap().split_once('-').unwrap();
        chrono::DateTime::from_timestamp_millis(ms.parse().unwrap())
            .unwrap()
            .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
    };
    let ms = |told: &Told| {
        told.id
            .clone()
            .unwrap()
            .split_once('-')
            .unwrap()
            .0
            .to_owned()
    };
    for (transport, keys) in connections(&keys) {
        for count in [1, 4, 8] {
            let mut follower =
                Follower::new(&broker, transport, &keys, &token).with(format!("&from=-{count}"));
            check(&mut follower, &all, |_| 9 - count).await;
        }
        for from in [3, 5, 7] {
            let since = time(&all[0][from]);
            let mut follower = Follower::new(&broker, transport, &keys, &token)
                .with(format!("&from={}", since.replace('Z', "%2B00:00")));
            check(&mut follower, &all, |stored| {
                stored
                    .iter()
                    .position(|told| ms(told) >= ms(&all[0][from]))
                    .unwrap_or(stored.len())
            })
            .await;
        }
        // A count of all events is the same as the start.
        for from in ["-9", "-1000", "start", "2001-01-01T00:00:00Z", ""] {
            let mut follower =
                Follower::new(&broker, transport, &keys, &token).with(format!("&from={from}"));
            check(&mut follower, &all, |_| 0).await;
        }
    }
}

/// Compares the delivered events with what is stored, from the expected start position.
async fn check(follower: &mut Follower, all: &[Vec<Told>; 2], begins: impl Fn(&[Told]) -> usize) {
    let wanted: Vec<&[Told]> = all[..follower.keys.len()]
        .iter()
        .map(|stored| &stored[begins(stored)..])
        .collect();
    let count: usize = wanted.iter().map(|stored| stored.len()).sum();
    let mut told = Vec::new();
    let mut positions = 0;
    while told.len() < count {
        let next = follower.told().await;
        if next.event.is_none() {
            assert!(told.is_empty(), "first of all");
            positions += 1;
        } else {
            told.push(next);
        }
    }
    let begins_later = wanted
        .iter()
        .zip(all)
        .any(|(wanted, all)| wanted.len() < all.len());
    assert_eq!(
        positions > 0,
        begins_later && follower.transport != Transport::Poll,
        "{:?}",
        follower.transport
    );
    for (key, wanted) in follower.keys.iter().zip(wanted) {
        assert!(
            told.iter().filter(|told| told.key == *key).eq(wanted),
            "{:?}{}: {told:?}",
            follower.transport,
            follower.more
        );
    }
}

async fn where_there_is_a_position_it_wins(broker: Broker) {
    let keys = together(broker.kind, ["a", "b"]);
    for key in &keys {
        broker.create(key).await;
        broker.add_numbered(key, 0, 5).await;
    }
    let token = token(&broker, json!({ "keys": keys })).await;
    let all = [
        stored(&broker, &keys[0]).await,
        stored(&broker, &keys[1]).await,
    ];
    let id = all[0][2].id.clone().unwrap();
    for transport in Transport::ALL {
        for from in ["now", "-1", "2100-01-01T00:00:00Z"] {
            let mut one = Follower::new(&broker, transport, &keys[..1], &token)
                .after(&id)
                .with(format!("&from={from}"));
            assert_eq!(one.told().await, all[0][3], "{transport:?} {from}");
            // It applies only to the stream that it names.
            let mut two = Follower::new(&broker, transport, &keys, &token)
                .after(format!("{}:{id}", keys[0]))
                .with("&from=-2");
            let mut told = Vec::new();
            while told.len() < 5 {
                told.push(two.told().await);
                told.retain(|told| told.event.is_some());
            }
            for (key, wanted) in keys.iter().zip([&all[0][3..], &all[1][4..]]) {
                assert!(
                    told.iter().filter(|told| told.key == *key).eq(wanted),
                    "{transport:?}: {told:?}"
                );
            }
        }
    }
}

on_every_store!(
    from_now_begins_behind_the_newest_and_loses_nothing_though_it_is_cut_before_the_first_event,
    a_count_and_a_time_begin_with_just_the_events_that_they_mean,
    where_there_is_a_position_it_wins,
);

#[tokio::test]
async fn what_is_no_beginning_is_refused() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("a").await;
    for from in ["x", "-", "--1", "-1.5", "5", "end", "2026-01-01", "NOW"] {
        for transport in Transport::ALL {
            let refused = Follower::new(&broker, transport, ["a"], &token)
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

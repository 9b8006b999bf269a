//! A subscriber of several streams resumes each stream at its own position, whatever happened to
//! the others.

mod format;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::common::{
    Broker, assert_contiguous,
    keys::together,
    number,
    subscriber::{Outcome, Subscriber, Transport, Update, encoded, stored, token},
    until,
};

/// The last event's id.
async fn last_id(broker: &Broker, key: &str) -> String {
    broker
        .get(&format!("/api/stream/info?key={}", encoded(key)))
        .await
        .1["last_id"]
        .as_str()
        .expect("an id")
        .to_owned()
}

async fn is_missing(broker: &Broker, key: &str) -> bool {
    broker
        .get(&format!("/api/stream/info?key={}", encoded(key)))
        .await
        .0
        == 404
}

async fn expired(broker: &Broker, key: &str) {
    until("the stream expires", || is_missing(broker, key)).await;
}

/// The updates that belong to one stream.
fn of<'a>(all: &'a [Update], key: &str) -> Vec<&'a Update> {
    all.iter().filter(|update| update.key == key).collect()
}

/// Reads until the subscriber has received this many updates of a stream.
async fn take(subscriber: &mut Subscriber, key: &str, count: usize) -> Vec<Update> {
    let mut all = Vec::new();
    while of(&all, key).len() < count {
        match subscriber.next().await {
            Outcome::Update(update) => all.push(update),
            // The response to a poll is complete.
            Outcome::Disconnected(_) => {}
            other => panic!("{:?}: {other:?}", subscriber.transport),
        }
    }
    all.retain(|update| update.key == key);
    all
}

fn ids(all: &[Update]) -> impl Iterator<Item = &str> {
    all.iter()
        .map(|update| update.id.as_deref().expect("an id"))
}

async fn a_gap_is_reported_for_its_stream_only_and_again_from_the_same_position(broker: Broker) {
    let [trimmed, whole] = together(broker.kind, ["trimmed: é", "whole"]);
    broker
        .create_with(json!({"key": trimmed, "max_events": 10}))
        .await;
    broker.create(&whole).await;
    // Redis trims about a hundred entries at a time.
    let written = broker.add_events(&trimmed, 0, 150).await;
    broker.add_events(&trimmed, 150, 90).await;
    broker.add_events(&whole, 0, 5).await;
    let kept = stored(&broker, &trimmed).await;
    let first = kept[0].id.clone().unwrap();
    let token = token(&broker, json!({"keys": [trimmed, whole]})).await;
    let cases = [
        ("", Value::Null, number(&first)),
        (
            written[10].as_str(),
            json!(written[10]),
            number(&first) - 12,
        ),
    ];
    for (transport, (after, reported_after, missed)) in Transport::ALL
        .into_iter()
        .flat_map(|transport| cases.clone().map(|case| (transport, case)))
    {
        let cursor = if after.is_empty() {
            String::new()
        } else {
            format!("{}:{after}", encoded(&trimmed))
        };
        let mut subscriber =
            Subscriber::new(&broker, transport, [&trimmed, &whole], &token).after(cursor.clone());
        let gap = take(&mut subscriber, &trimmed, 1).await.remove(0);
        assert_eq!(
            gap.missed(),
            json!({"after": reported_after, "first": first, "missed": missed}),
            "{transport:?}"
        );
        if transport == Transport::Sse {
            let (own, _) = subscriber
                .cursor
                .split_once(',')
                .unwrap_or((&subscriber.cursor, ""));
            assert_eq!(
                own.split_once(':').map(|(_, position)| position),
                Some(after),
                "the subscriber's position in it"
            );
            subscriber.cut();
            assert_eq!(
                take(&mut subscriber, &trimmed, 1).await,
                [gap],
                "the same again"
            );
        }
        let rest = take(&mut subscriber, &trimmed, kept.len()).await;
        assert_eq!(rest, kept, "{transport:?}");
        let mut other =
            Subscriber::new(&broker, transport, [&trimmed, &whole], &token).after(cursor);
        assert_contiguous(ids(&take(&mut other, &whole, 6).await), 0);
    }
}

async fn an_expired_stream_is_reported_as_deleted_and_the_others_continue(broker: Broker) {
    let [brief, lasting] = together(broker.kind, ["brief", "lasting"]);
    broker.create_with(json!({"key": brief, "ttl": 1})).await;
    broker.create(&lasting).await;
    let token = token(&broker, json!({"keys": [brief, lasting], "ttl": 600})).await;
    let last = last_id(&broker, &brief).await;
    let follow = async |transport| {
        let mut subscriber = Subscriber::new(&broker, transport, [&brief, &lasting], &token);
        let updates = take(&mut subscriber, &brief, 2).await;
        assert!(updates[0].is("start"));
        assert_eq!(
            updates[1].missed(),
            json!({"after": last, "first": null, "missed": null}),
            "{transport:?}"
        );
        subscriber
    };
    let mut subscribers = join_all(Transport::ALL.map(follow)).await;
    expired(&broker, &brief).await;

    // A resumed subscriber receives the deletion again only where its position does not record it.
    let start = last_id(&broker, &lasting).await;
    let at = format!("{}:{last},{}:{start}", encoded(&brief), encoded(&lasting));
    for transport in Transport::ALL {
        let mut back = Subscriber::new(&broker, transport, [&brief, &lasting], &token).after(&at);
        assert_eq!(back.update().await.missed()["first"], Value::Null);
        let had_its_end = at.replacen(',', "!,", 1);
        subscribers.push(
            Subscriber::new(&broker, transport, [&brief, &lasting], &token).after(had_its_end),
        );
        subscribers.push(back);
        let alone = Subscriber::new(&broker, transport, [&brief], &token)
            .after(&last)
            .refused()
            .await;
        assert_eq!(alone, (404, "stream-not-found".to_owned()), "{transport:?}");
        let no_cursor = Subscriber::new(&broker, transport, [&brief, &lasting], &token)
            .refused()
            .await;
        assert_eq!(
            no_cursor,
            (404, "stream-not-found".to_owned()),
            "{transport:?}: it restarts"
        );
    }
    for subscriber in &mut subscribers[..4] {
        if matches!(subscriber.transport, Transport::Sse | Transport::Poll) {
            subscriber.cut();
        }
    }
    let written = broker.add_events(&lasting, 0, 3).await;
    for subscriber in &mut subscribers {
        let mut updates = Vec::new();
        while updates.len() < 3 {
            match subscriber.next().await {
                Outcome::Update(one) if one.is("start") => {}
                Outcome::Update(one) => updates.push(one),
                Outcome::Disconnected(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(
            ids(&updates).eq(&written),
            "{:?}: {updates:?}",
            subscriber.transport
        );
    }
    broker.end(&lasting).await;
    for mut subscriber in subscribers {
        let rest = subscriber.rest().await;
        assert!(
            rest.len() == 1 && rest[0].is("end"),
            "{:?}: {rest:?}",
            subscriber.transport
        );
    }

    // Nothing is left: one stream was deleted, and the subscriber has all of the other.
    let all = format!(
        "{}:{last},{}:{}",
        encoded(&brief),
        encoded(&lasting),
        last_id(&broker, &lasting).await
    );
    for transport in Transport::ALL {
        let refused = Subscriber::new(&broker, transport, [&brief, &lasting], &token)
            .after(&all)
            .refused()
            .await;
        assert_eq!(
            refused,
            (404, "stream-not-found".to_owned()),
            "{transport:?}"
        );
        let mut complete = Subscriber::new(&broker, transport, [&brief, &lasting], &token)
            .after(all.replacen(',', "!,", 1));
        assert_eq!(complete.rest().await, []);
    }
}

async fn a_replaced_stream_is_deleted_for_a_list_token_and_restarts_for_a_prefix_token(
    broker: Broker,
) {
    let [replaced, other] = together(broker.kind, ["p:replaced", "p:other"]);
    broker.create(&replaced).await;
    broker.create(&other).await;
    let seen = broker.add_events(&replaced, 0, 2).await;
    let at = last_id(&broker, &other).await;
    let list = token(&broker, json!({"keys": [replaced, other]})).await;
    let prefix = token(&broker, json!({"prefix": "p:"})).await;
    broker.end(&replaced).await;
    let end = last_id(&broker, &replaced).await;
    broker.create(&replaced).await;
    broker.add_events(&replaced, 0, 4).await;
    let replacement = stored(&broker, &replaced).await;
    let cursor =
        |position: &str| format!("{}:{position},{}:{at}", encoded(&replaced), encoded(&other));
    let (amid, had_all) = (cursor(&seen[1]), cursor(&format!("{end}!")));
    let mut listening = Vec::new();
    for transport in Transport::ALL {
        let subscriber = |token: &str, cursor: &str| {
            Subscriber::new(&broker, transport, [&replaced, &other], token).after(cursor)
        };
        let mut of_list = subscriber(&list, &amid);
        let update = of_list.update().await;
        assert_eq!(
            (update.key.as_str(), update.missed()),
            (
                replaced.as_str(),
                json!({"after": seen[1], "first": null, "missed": null})
            )
        );
        listening.extend([of_list, subscriber(&list, &had_all)]);
        for cursor in [&amid, &had_all] {
            let mut of_prefix = subscriber(&prefix, cursor);
            assert_eq!(
                take(&mut of_prefix, &replaced, 5).await,
                replacement,
                "{transport:?}"
            );
        }
    }
    broker.end(&other).await;
    for mut subscriber in listening {
        let rest = subscriber.rest().await;
        assert!(
            rest.len() == 1 && rest[0].is("end") && rest[0].key == other,
            "{:?}: {rest:?}",
            subscriber.transport
        );
    }
}

async fn resuming_from_the_ends_of_all_streams_ends_at_once(broker: Broker) {
    let keys = together(broker.kind, ["a", "b"]);
    let mut last = Vec::new();
    for key in &keys {
        broker.create(key).await;
        broker.end(key).await;
        last.push(last_id(&broker, key).await);
    }
    let token = token(&broker, json!({ "keys": keys })).await;
    let by_ids = format!("{}:{},{}:{}", keys[0], last[0], keys[1], last[1]);
    let by_ends = format!("{}:{}!,{}:{}!", keys[0], last[0], keys[1], last[1]);
    for transport in Transport::ALL {
        let mut from_start = Subscriber::new(&broker, transport, &keys, &token);
        assert_eq!(from_start.rest().await.len(), 4, "{transport:?}");
        for cursor in [&by_ids, &by_ends, &from_start.resume()] {
            let mut subscriber = Subscriber::new(&broker, transport, &keys, &token).after(cursor);
            assert_eq!(
                (subscriber.next().await, subscriber.connections),
                (Outcome::Complete, 1),
                "{transport:?}: {cursor}"
            );
        }
    }
    let url = |transport| {
        format!(
            "{}/api/client/{transport}?key={}&key={}&token={token}&after={by_ids}",
            broker.url, keys[0], keys[1]
        )
    };
    for transport in ["sse", "ndjson"] {
        assert_eq!(
            broker
                .http
                .get(url(transport))
                .send()
                .await
                .unwrap()
                .status(),
            204
        );
    }
    let polled: Value = broker
        .http
        .get(url("poll"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&polled["events"], &polled["status"]),
        (&json!([]), &json!("ended"))
    );
    assert!(polled["cursor"].is_string(), "{polled}");
}

async fn streams_are_added_and_dropped_between_two_connections(broker: Broker) {
    let [a, b, c] = together(broker.kind, ["a", "b", "c"]);
    for key in [&a, &b, &c] {
        broker.create(key).await;
        broker.add_events(key, 0, 3).await;
    }
    let token = token(&broker, json!({"keys": [a, b, c]})).await;
    let pairs = Transport::ALL
        .into_iter()
        .flat_map(|transport| Transport::ALL.map(|next| (transport, next)));
    for (round, (transport, next)) in pairs.enumerate() {
        let mut subscriber = Subscriber::new(&broker, transport, [&a, &b], &token);
        for _ in 0..8 + round {
            while !matches!(subscriber.next().await, Outcome::Update(_)) {}
        }
        // A cursor of one transport is valid for each.
        let mut other = Subscriber::new(&broker, next, [&c, &b], &token).after(subscriber.resume());
        assert_contiguous(ids(&take(&mut other, &c, 4).await), 0);
        let fresh = broker.add_events(&b, 3, 1).await;
        assert!(
            ids(&take(&mut other, &b, 1).await).eq(&fresh),
            "{transport:?} to {next:?}"
        );
        // A subscriber that keeps the positions itself no longer has one for the first stream.
        if matches!(next, Transport::Ws | Transport::Ndjson) {
            other.cursor.clear();
        }
        let mut all = Subscriber::new(&broker, next, [&a, &b, &c], &token).after(other.resume());
        assert_contiguous(ids(&take(&mut all, &a, 4).await), 0);
    }
}

on_every_store!(
    a_gap_is_reported_for_its_stream_only_and_again_from_the_same_position,
    an_expired_stream_is_reported_as_deleted_and_the_others_continue,
    a_replaced_stream_is_deleted_for_a_list_token_and_restarts_for_a_prefix_token,
    resuming_from_the_ends_of_all_streams_ends_at_once,
    streams_are_added_and_dropped_between_two_connections,
);

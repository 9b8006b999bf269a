//! Commands of a WebSocket subscriber: it adds and drops streams while it is connected.

mod refusals;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::common::{
    Broker, assert_contiguous,
    keys::together,
    number,
    subscriber::{stored, token},
    ws::Ws,
};

async fn subscribe(socket: &mut Ws, key: &str) {
    socket
        .send(json!({"op": "subscribe", "key": key}).to_string())
        .await;
}

async fn unsubscribe(socket: &mut Ws, key: &str) {
    socket
        .send(json!({"op": "unsubscribe", "key": key}).to_string())
        .await;
}

/// The next message, which must be an event of this stream. Returns its id.
async fn event_of(socket: &mut Ws, key: &str) -> String {
    let event = socket.next().await.unwrap();
    assert_eq!(event["key"], key, "{event}");
    event["id"]
        .as_str()
        .unwrap_or_else(|| panic!("an event, not {event}"))
        .to_owned()
}

async fn a_stream_is_added_and_dropped_with_its_position(broker: Broker) {
    let [a, b] = together(broker.kind, ["a", "b"]);
    for key in [&a, &b] {
        broker.create(key).await;
    }
    let of_b = broker.add_events(&b, 0, 3).await;
    let token = token(&broker, json!({"keys": [a, b]})).await;
    let mut socket = broker.ws(&a, &token, None).await;
    assert_eq!(
        socket.next().await.unwrap()[0].get("key"),
        None,
        "one key, so no key in the event"
    );
    subscribe(&mut socket, &b).await;
    assert_eq!(
        socket.next().await.unwrap(),
        json!({"op": "subscribed", "key": b, "after": null})
    );
    for n in 0..4 {
        assert_eq!(number(&event_of(&mut socket, &b).await), n);
    }
    let live = broker.add_events(&a, 0, 1).await;
    assert_eq!(
        event_of(&mut socket, &a).await,
        live[0],
        "keyed from the first answer on"
    );
    unsubscribe(&mut socket, &b).await;
    assert_eq!(
        socket.next().await.unwrap(),
        json!({"op": "unsubscribed", "key": b, "after": of_b[2]})
    );
    let unpublished = broker.add_events(&b, 3, 3).await;
    let live = broker.add_events(&a, 1, 1).await;
    assert_eq!(event_of(&mut socket, &a).await, live[0]);

    // Once more from a cursor, from a start position whose answer contains the position, and with
    // both, where the cursor takes precedence.
    for (more, after, first) in [
        (json!({"after": of_b[2]}), &of_b[2], Some(&unpublished[0])),
        (
            json!({"from": "-1"}),
            &unpublished[1],
            Some(&unpublished[2]),
        ),
        (json!({"from": "now"}), &unpublished[2], None),
        (
            json!({"from": "now", "after": of_b[1]}),
            &of_b[1],
            Some(&of_b[2]),
        ),
        (json!({"after": null, "from": null}), &String::new(), None),
    ] {
        let mut command = json!({"op": "subscribe", "key": b});
        command
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        socket.send(command.to_string()).await;
        let after = if after.is_empty() {
            Value::Null
        } else {
            json!(after)
        };
        assert_eq!(
            socket.next().await.unwrap(),
            json!({"op": "subscribed", "key": b, "after": after}),
            "{command}"
        );
        let mut at = after;
        if let Some(first) = first {
            assert_eq!(event_of(&mut socket, &b).await, *first, "{command}");
            at = json!(first);
        }
        unsubscribe(&mut socket, &b).await;
        // Events that were in transit came before the answer, whose position includes them.
        loop {
            let answer = socket.next().await.unwrap();
            assert_eq!(answer["key"], b, "{answer}");
            if answer.get("op").is_some() {
                assert_eq!(answer, json!({"op": "unsubscribed", "key": b, "after": at}));
                break;
            }
            at = answer["id"].clone();
        }
    }
    for key in [&b, &a] {
        broker.end(key).await;
    }
    let (rest, code) = socket.rest().await;
    assert_eq!(
        (rest.len(), &rest[0]["event"], &rest[0]["key"], code),
        (1, &json!("end"), &json!(a), Some(1000))
    );
}

async fn commands_before_the_end_of_the_first_array_are_answered_after_it(broker: Broker) {
    let [long, other] = together(broker.kind, ["long", "other"]);
    broker
        .create_with(json!({"key": long, "max_events": 10_000}))
        .await;
    broker.create(&other).await;
    for batch in 0..5 {
        broker.add_events(&long, batch * 1000, 1000).await;
    }
    let token = token(&broker, json!({"keys": [long, other]})).await;
    let mut socket = broker.ws(&long, &token, None).await;
    subscribe(&mut socket, &other).await;
    unsubscribe(&mut socket, &long).await;
    let array = socket.next().await.unwrap();
    let events = array.as_array().unwrap();
    assert_contiguous(events.iter().map(|event| event["id"].as_str().unwrap()), 0);
    assert!(events.len() == 5001 && events.iter().all(|event| event.get("key").is_none()));
    assert_eq!(
        socket.next().await.unwrap(),
        json!({"op": "subscribed", "key": other, "after": null})
    );
    let mut next = socket.next().await.unwrap();
    if next["key"] == other.as_str() {
        assert_eq!(next["event"], "start");
        next = socket.next().await.unwrap();
    }
    assert_eq!(
        next,
        json!({"op": "unsubscribed", "key": long, "after": events[5000]["id"]})
    );
}

async fn a_connection_without_streams_stays_open_and_one_with_only_ended_streams_closes(
    broker: Broker,
) {
    let [a, b, c] = together(broker.kind, ["a", "b", "c"]);
    for key in [&a, &b, &c] {
        broker.create(key).await;
    }
    let token = token(&broker, json!({"keys": [a, b, c]})).await;
    let mut socket = broker.ws(&a, &token, None).await;
    socket.next().await.unwrap();
    unsubscribe(&mut socket, &a).await;
    assert_eq!(socket.next().await.unwrap()["op"], "unsubscribed");
    broker.end(&a).await;
    assert_eq!(broker.permits_in_use().await, 1);
    for key in [&b, &c] {
        subscribe(&mut socket, key).await;
        assert_eq!(socket.next().await.unwrap()["op"], "subscribed");
        event_of(&mut socket, key).await;
    }
    broker.end(&b).await;
    assert_eq!(socket.next().await.unwrap()["event"], "end");
    // An ended stream may be added once more. Ended streams do not count as followed.
    subscribe(&mut socket, &b).await;
    assert_eq!(socket.next().await.unwrap()["op"], "subscribed");
    for n in 0..2 {
        assert_eq!(number(&event_of(&mut socket, &b).await), n);
    }
    unsubscribe(&mut socket, &c).await;
    assert_eq!(socket.next().await.unwrap()["op"], "unsubscribed");
    // All remaining streams have ended.
    assert_eq!(socket.close_code().await, Some(1000));
}

async fn a_missing_stream_is_awaited_on_request(broker: Broker) {
    let [a, later] = together(broker.kind, ["p:a", "p:later"]);
    broker.create(&a).await;
    let token = token(&broker, json!({"prefix": "p:"})).await;
    let mut socket = broker.ws(&a, &token, None).await;
    socket.next().await.unwrap();
    for (wait, answer) in [(false, "error"), (true, "subscribed")] {
        socket
            .send(json!({"op": "subscribe", "key": later, "wait": wait}).to_string())
            .await;
        let reply = socket.next().await.unwrap();
        assert_eq!(
            (&reply["op"], &reply["key"]),
            (&json!(answer), &json!(later))
        );
    }
    broker.create(&later).await;
    broker.add_events(&later, 0, 2).await;
    for n in 0..3 {
        assert_eq!(number(&event_of(&mut socket, &later).await), n);
    }
}

async fn a_deleted_stream_is_reported_and_the_connection_continues(broker: Broker) {
    let [a, brief] = together(broker.kind, ["a", "brief"]);
    broker.create(&a).await;
    broker.create_with(json!({"key": brief, "ttl": 1})).await;
    let token = token(&broker, json!({"keys": [a, brief], "ttl": 60})).await;
    let mut socket = broker.ws(&a, &token, None).await;
    socket.next().await.unwrap();
    subscribe(&mut socket, &brief).await;
    assert_eq!(socket.next().await.unwrap()["op"], "subscribed");
    let start = event_of(&mut socket, &brief).await;
    let reply = socket.next().await.unwrap();
    let data: Value = serde_json::from_str(reply["data"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&reply["key"], &reply["event"], reply.get("id")),
        (&json!(brief), &json!("missedevents"), None)
    );
    assert_eq!(data, json!({"after": start, "first": null, "missed": null}));
    let live = broker.add_events(&a, 0, 1).await;
    assert_eq!(event_of(&mut socket, &a).await, live[0]);
}

/// A subscriber that records what it receives.
struct RecordingSubscriber {
    socket: Ws,
    followed: BTreeSet<String>,
    had: BTreeMap<String, Vec<String>>,
}

impl RecordingSubscriber {
    fn after(&self, key: &str) -> Option<&String> {
        self.had.get(key).and_then(|ids| ids.last())
    }

    async fn subscribe(&mut self, key: &str) {
        let command = json!({"op": "subscribe", "key": key, "after": self.after(key)});
        self.socket.send(command.to_string()).await;
    }

    /// Reads the next message. Returns whether it was an answer, or none when the connection
    /// closes.
    async fn read_next(&mut self) -> Option<bool> {
        let message = match self.socket.next().await {
            Ok(message) => message,
            Err(frame) => {
                assert_eq!(frame.map(|frame| u16::from(frame.code)), Some(1000));
                return None;
            }
        };
        let key = message["key"].as_str().expect("a key").to_owned();
        let Some(command) = message["op"].as_str() else {
            assert!(self.followed.contains(&key), "not followed: {message}");
            self.had
                .entry(key)
                .or_default()
                .push(message["id"].as_str().expect("an event").to_owned());
            return Some(false);
        };
        assert_eq!(message["after"], json!(self.after(&key)), "{message}");
        let changed = if command == "subscribed" {
            self.followed.insert(key)
        } else {
            self.followed.remove(&key)
        };
        assert!(changed, "{message}");
        Some(true)
    }

    async fn answers(&mut self, mut count: usize) {
        while count > 0 {
            count -= usize::from(self.read_next().await.expect("open"));
        }
    }
}

async fn hundreds_of_commands_are_answered_in_order_and_lose_nothing(broker: Broker) {
    let keys = together(broker.kind, ["base", "x", "y", "z"]);
    for key in &keys {
        broker
            .create_with(json!({"key": key, "max_events": 10_000}))
            .await;
    }
    let token = token(&broker, json!({ "keys": keys })).await;
    let (base, keys) = keys.split_first().unwrap();
    let mut socket = broker.ws(base, &token, None).await;
    let base_at = socket.next().await.unwrap()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();

    // More than the broker buffers, all unread.
    for _ in 0..150 {
        socket
            .send(json!({"op": "subscribe", "key": keys[0], "from": "now"}).to_string())
            .await;
        unsubscribe(&mut socket, &keys[0]).await;
    }
    for n in 0..300 {
        let answer = socket.next().await.unwrap();
        assert_eq!(
            answer["op"],
            ["subscribed", "unsubscribed"][n % 2],
            "{answer}"
        );
    }

    let write = async {
        for n in 0..60 {
            broker.add_events(&keys[n % 3], 0, 1 + n as u64 % 3).await;
        }
        for key in keys {
            broker.end(key).await;
        }
    };
    let change = async {
        let mut subscriber = RecordingSubscriber {
            socket,
            followed: [base.clone()].into(),
            had: [(base.clone(), vec![base_at])].into(),
        };
        for _ in 0..60 {
            for key in keys {
                subscriber.subscribe(key).await;
            }
            for key in keys {
                unsubscribe(&mut subscriber.socket, key).await;
            }
            subscriber.answers(6).await;
        }
        for key in keys {
            subscriber.subscribe(key).await;
        }
        unsubscribe(&mut subscriber.socket, base).await;
        while subscriber.read_next().await.is_some() {}
        subscriber.had
    };
    let ((), had) = tokio::join!(write, change);
    for key in keys {
        let stored: Vec<_> = stored(&broker, key)
            .await
            .into_iter()
            .filter_map(|update| update.id)
            .collect();
        assert_eq!(had[key], stored, "{key}");
    }
}

on_every_store!(
    a_stream_is_added_and_dropped_with_its_position,
    commands_before_the_end_of_the_first_array_are_answered_after_it,
    a_connection_without_streams_stays_open_and_one_with_only_ended_streams_closes,
    a_missing_stream_is_awaited_on_request,
    a_deleted_stream_is_reported_and_the_connection_continues,
    hundreds_of_commands_are_answered_in_order_and_lose_nothing,
);

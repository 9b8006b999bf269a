//! This version accepts what older versions stored, and the tokens and cursors that they issued.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    common::{
        Broker, Kind,
        broker::{API_KEY, answer},
        number,
        subscriber::{Outcome, Subscriber, Transport, Update, encoded, stored},
        until, within,
    },
    fleet,
    pair::over,
    recording::{self, Recording, Stream, update},
};

/// Stores the recording in Redis, and starts a node of this version over it.
async fn replayed(recording: &Recording, kind: Kind) -> Broker {
    let setup = fleet::node(kind).set("SECRET_KEY", &recording.secret_key);
    let (url, prefix) = (
        &setup.environment["STREAMER_REDIS_URL"],
        &setup.environment["STREAMER_KEY_PREFIX"],
    );
    if let Some(address) = url.strip_prefix("redis-cluster://") {
        let client = redis::cluster::ClusterClient::new([format!("redis://{address}")]).unwrap();
        recording
            .store(&mut client.get_async_connection().await.unwrap(), prefix)
            .await;
    } else {
        let client = redis::Client::open(url.as_str()).unwrap();
        recording
            .store(
                &mut client.get_multiplexed_async_connection().await.unwrap(),
                prefix,
            )
            .await;
    }
    setup.start().await
}

/// Checks that the answer contains what was recorded. It may have more members.
fn assert_has(answer: &Value, recorded: &Value) {
    for (name, value) in recorded.as_object().unwrap() {
        assert_eq!(
            answer.get(name),
            Some(value),
            "{name} of {answer}, recorded {recorded}"
        );
    }
}

async fn assert_streams_are_as_recorded(broker: &Broker, recording: &Recording) {
    let (_, list) = broker.get("/api/stream/").await;
    let listed = |key: &str| {
        list.as_array()
            .unwrap()
            .iter()
            .any(|stream| stream["key"] == key)
    };
    for Stream {
        key,
        info,
        events,
        signals,
        ..
    } in &recording.streams
    {
        if !signals.is_null() {
            let path = format!("/api/stream/signals?key={}", encoded(key));
            assert_eq!(&broker.get(&path).await.1, signals);
        }
        let (status, answer) = broker
            .get(&format!("/api/stream/info?key={}", encoded(key)))
            .await;
        assert_eq!(status, 200, "{key}: {answer}");
        assert_has(&answer, info);
        assert_eq!(listed(key), info["status"] == "active", "{key}: {list}");
        let (_, answer) = broker
            .get(&format!("/api/stream/events?key={}", encoded(key)))
            .await;
        let (answer, events) = (answer.as_array().unwrap(), events.as_array().unwrap());
        assert_eq!(answer.len(), events.len(), "{key}");
        answer
            .iter()
            .zip(events)
            .for_each(|(answer, event)| assert_has(answer, event));
    }
}

async fn assert_tokens_open_what_they_did(broker: &Broker, recording: &Recording) {
    for token in &recording.tokens {
        let cases = token
            .opens
            .iter()
            .map(|key| (key, true))
            .chain(token.forbids.iter().map(|key| (key, false)));
        for (key, opens) in cases {
            match Subscriber::new(broker, Transport::Ndjson, [key], &token.text)
                .next()
                .await
            {
                Outcome::Update(first) => assert!(
                    opens && first.key == *key,
                    "{} and {key}: {first:?}",
                    token.name
                ),
                Outcome::Refused(status, error) => assert_eq!(
                    (opens, status),
                    (false, 403),
                    "{} and {key}: {error}",
                    token.name
                ),
                outcome => panic!("{} and {key}: {outcome:?}", token.name),
            }
        }
    }
}

/// A subscriber for each cursor and transport, with the name of the cursor and the events that must
/// come first.
fn subscribers(broker: &Broker, recording: &Recording) -> Vec<(String, Subscriber, Vec<Update>)> {
    let mut all = Vec::new();
    for cursor in &recording.cursors {
        for transport in Transport::ALL {
            let subscriber = Subscriber::new(
                broker,
                transport,
                &cursor.keys,
                recording.token(&cursor.token),
            )
            .after(&cursor.text);
            all.push((
                cursor.name.clone(),
                subscriber,
                cursor.updates.iter().map(update).collect(),
            ));
        }
    }
    all
}

/// Senders repeat a signal, and send others.
async fn send_more_signals(broker: &Broker, recording: &Recording) {
    for Stream { key, signals, .. } in &recording.streams {
        let Some(signals) = signals["signals"].as_array() else {
            continue;
        };
        let url = format!("{}/api/client/signal?key={}", broker.url, encoded(key));
        for signal in signals {
            let body = json!({"name": signal["name"], "id": signal["id"]});
            let request = broker.http.post(&url).header("X-API-KEY", API_KEY);
            let (status, sent) = answer(request.body(body.to_string())).await;
            assert_eq!((status.as_u16(), &sent["seq"]), (200, &signal["seq"]));
        }
        let body = json!({"name": "approve"}).to_string();
        let token = recording.token("signal");
        let (status, sent) = answer(broker.http.post(&url).bearer_auth(token).body(body)).await;
        assert_eq!(
            (status.as_u16(), sent),
            (200, json!({"seq": signals.len() + 1}))
        );
    }
}

/// Producers continue their sequences, and streams end.
async fn go_on(broker: &Broker, recording: &Recording) {
    for Stream {
        key,
        info,
        producers,
        ..
    } in &recording.streams
    {
        if info["status"] != "active" {
            let (status, error) = broker
                .post(
                    "/api/event/add",
                    json!({"key": key, "events": [{"event": "n"}]}),
                )
                .await;
            assert_eq!(
                (status.as_u16(), &error["code"], &error["stream_status"]),
                (404, &json!("no-active-stream"), &info["status"]),
                "{key}"
            );
            continue;
        }
        for (producer, &count) in producers {
            let send = async |sequence: u64| {
                let events = [
                    json!({"event": "n", "data": "again"}),
                    json!({"event": "n", "data": "new"}),
                ];
                let body = json!({
                    "key": key, "events": events, "producer": producer, "sequence": sequence,
                });
                broker.post("/api/event/add", body).await
            };
            let (status, error) = send(count + 1).await;
            assert_eq!(
                (status.as_u16(), &error["code"]),
                (409, &json!("sequence-gap")),
                "{key} {producer}"
            );
            let (status, answer) = send(count - 1).await;
            assert_eq!(
                (
                    status.as_u16(),
                    &answer["num_events"],
                    &answer["num_duplicates"]
                ),
                (200, &json!(1), &json!(1)),
                "{answer}"
            );
        }
        let (status, answer) = broker.post("/api/stream/renew", json!({"key": key})).await;
        assert_eq!(status, 200, "{key}: {answer}");
        broker.add_events(key, 100, 2).await;
        broker.end(key).await;
    }
}

async fn is_replayed(name: &str, recording: &Recording, kind: Kind) {
    let broker = replayed(recording, kind).await;
    assert_streams_are_as_recorded(&broker, recording).await;
    assert_tokens_open_what_they_did(&broker, recording).await;
    send_more_signals(&broker, recording).await;

    let (mut subscribers, recorded): (Vec<_>, Vec<_>) = subscribers(&broker, recording)
        .into_iter()
        .map(|(name, subscriber, updates)| (subscriber, (name, updates)))
        .unzip();
    let rests = join_all(
        subscribers
            .iter_mut()
            .map(|subscriber| within(subscriber.rest())),
    );
    let (all, ()) = tokio::join!(rests, go_on(&broker, recording));
    for ((subscriber, received), (cursor, mut wanted)) in subscribers.iter().zip(all).zip(recorded)
    {
        for Stream { key, events, .. } in &recording.streams {
            if subscriber.keys.contains(key) {
                let last = events.as_array().unwrap().last().unwrap()["id"]
                    .as_str()
                    .unwrap();
                let is_new = |update: &Update| number(update.id.as_deref().unwrap()) > number(last);
                wanted.extend(stored(&broker, key).await.into_iter().filter(is_new));
            }
        }
        for key in &subscriber.keys {
            let of_key = |update: &&Update| update.key == *key && update.event.is_some();
            let wanted: Vec<Update> = wanted
                .iter()
                .filter(of_key)
                .map(|update| over(subscriber.transport, update.clone()))
                .collect();
            let received: Vec<Update> = received.iter().filter(of_key).cloned().collect();
            assert_eq!(
                received, wanted,
                "{name}: cursor {cursor}, {:?}, {key}",
                subscriber.transport
            );
        }
    }

    // The new version creates a stream that a token may wait for.
    let waiting = Subscriber::new(
        &broker,
        Transport::Ws,
        [&recording.later],
        recording.token("wait"),
    )
    .with("&wait=true");
    broker.create(&recording.later).await;
    broker.end(&recording.later).await;
    assert_eq!(
        { waiting }.rest().await,
        stored(&broker, &recording.later).await
    );

    // A stream is deleted when its TTL is over.
    let url = format!("/api/stream/info?key={}", encoded(&recording.brief));
    until("the brief stream expires", || async {
        broker.get(&url).await.0 == 404
    })
    .await;
    let (_, list) = broker.get("/api/stream/").await;
    assert!(
        list.as_array()
            .unwrap()
            .iter()
            .all(|stream| stream["key"] != *recording.brief),
        "{list}"
    );

    // A new stream replaces each of them. The old tokens do not open it.
    for token in recording
        .tokens
        .iter()
        .filter(|token| !matches!(token.name.as_str(), "prefix" | "former"))
    {
        for key in &token.opens {
            let (status, answer) = broker.post("/api/stream/", json!({"key": key})).await;
            assert!(
                status == 200 || answer["code"] == "existing-stream",
                "{key}: {answer}"
            );
            let refused = Subscriber::new(&broker, Transport::Sse, [key], &token.text)
                .refused()
                .await;
            assert_eq!(
                refused,
                (403, "forbidden".to_owned()),
                "{} and {key}",
                token.name
            );
        }
    }
}

async fn every_recording_is_replayed(kind: Kind) {
    for (name, recording) in recording::all() {
        is_replayed(&name, &recording, kind).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recording_is_replayed_in_exclusive() {
    every_recording_is_replayed(Kind::Exclusive).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recording_is_replayed_in_shared() {
    every_recording_is_replayed(Kind::Shared).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recording_is_replayed_in_exclusive_on_a_cluster() {
    every_recording_is_replayed(Kind::ExclusiveCluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recording_is_replayed_in_shared_on_a_cluster() {
    every_recording_is_replayed(Kind::Cluster).await;
}

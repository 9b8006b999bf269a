//! Records what the version that was landed last stores: `make record-version`.
//!
//! When a version stores something new, add it here after the next landing, when `base` names that
//! version.

mod cursors;

use serde_json::{Value, json};

use crate::{
    common::{
        Broker, Kind,
        broker::SECRET_KEY,
        keys::together,
        redis::Redis,
        subscriber::{encoded, token},
        until,
    },
    exchange::DATA,
    pair::{Version, base, beside, node, old_program},
    recording::{self, Recording, Stream, Token, dump},
};

/// Odd keys, whose parts could be mistaken for something else. They are the same in all versions.
const ODD: [&str; 4] = ["}", "{1}:events:r", "r: é/%?&=#~!,", "a}b{c"];

/// The TTL in seconds that the brief stream has when it is recorded.
const BRIEF: u64 = 3;

/// The longest lease, in seconds.
const DAY: u64 = 86_400;

/// A node whose clock is in the year 2100, so that its tokens are valid for long. Its Redis has the
/// true time.
async fn far_ahead(other: &Broker) -> Broker {
    let library = glob::glob("/usr/lib/*/faketime/libfaketime.so.1")
        .unwrap()
        .find_map(Result::ok);
    let library = library.expect("libfaketime is installed: scripts/setup-tests does it");
    let mut setup = beside(other, Version::Old, other.kind);
    let time = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME", "@2100-01-01 00:00:00"),
        // Timers use the monotonic clock.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    setup
        .environment
        .extend(time.map(|(name, value)| (name.to_owned(), value.to_owned())));
    setup.start().await
}

/// A token with the longest possible lifetime.
async fn lasting(ahead: &Broker, mut wanted: Value) -> String {
    wanted["ttl"] = json!(7 * 24 * 3600);
    token(ahead, wanted).await
}

async fn produce(node: &Broker, key: &str, producer: &str, sequence: u64, count: u64) {
    let events: Vec<Value> = (0..count)
        .map(|n| json!({"event": "n", "data": format!("{producer}{n}")}))
        .collect();
    let body = json!({"key": key, "events": events, "producer": producer, "sequence": sequence});
    let (status, answer) = node.post("/api/event/add", body).await;
    assert_eq!(status, 200, "{answer}");
}

/// The ids of a stream's events.
fn ids(stream: &Stream) -> Vec<String> {
    stream
        .events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn stream(node: &Broker, key: &str, producers: &[(&str, u64)]) -> Stream {
    let (status, mut info) = node
        .get(&format!("/api/stream/info?key={}", encoded(key)))
        .await;
    assert_eq!(status, 200, "{info}");
    let moving = ["ttl", "clients", "clients_total"];
    for moving in moving
        .iter()
        .chain(&["lease_expires_at", "stall_expires_at"])
    {
        info.as_object_mut().unwrap().remove(*moving);
    }
    let (_, events) = node
        .get(&format!("/api/stream/events?key={}", encoded(key)))
        .await;
    let (_, mut signals) = node
        .get(&format!("/api/stream/signals?key={}", encoded(key)))
        .await;
    if signals["signals"] == json!([]) {
        signals = Value::Null;
    }
    let producers = producers
        .iter()
        .map(|&(producer, count)| (producer.to_owned(), count))
        .collect();
    Stream {
        key: key.to_owned(),
        info,
        events,
        signals,
        producers,
    }
}

/// Streams that failed, that the broker abandoned, that have a lease and a stall, and that were
/// asked to stop.
async fn record_lives(node: &Broker, keys: [&String; 4]) {
    let [failed, abandoned, leased, stopping] = keys;
    let created = [
        json!({"key": failed, "ttl": 3600}),
        json!({"key": abandoned, "ttl": 3600, "lease": 2}),
        json!({"key": leased, "ttl": 3600, "lease": DAY, "stall": DAY, "request_id": "r-1"}),
        json!({"key": stopping, "ttl": 3600, "stop_grace": DAY}),
    ];
    for body in created {
        let key = body["key"].as_str().unwrap().to_owned();
        node.create_with(body).await;
        node.add_events(&key, 0, 3).await;
    }
    let signal = format!("/api/client/signal?key={}", encoded(stopping));
    for (path, body) in [
        (
            "/api/stream/fail",
            json!({"key": failed, "code": "model-error", "message": "é"}),
        ),
        (
            signal.as_str(),
            json!({"name": "steer", "data": {"to": ["é", 1]}, "id": "s-1"}),
        ),
        (signal.as_str(), json!({"name": "stop"})),
    ] {
        let (status, answer) = node.post(path, body).await;
        assert_eq!(status, 200, "{answer}");
    }
    let info = format!("/api/stream/info?key={}", encoded(abandoned));
    until("the stream is abandoned", || async {
        node.get(&info).await.1["status"] == "abandoned"
    })
    .await;
}

/// Streams in every state, as the version that was landed last stores them.
pub(crate) async fn recorded() -> Recording {
    let redis = Redis::start(&["--stream-node-max-entries", "10"]);
    let prefix = "recorded:";
    let node = node(Version::Old, Kind::Shared)
        .set("REDIS_URL", redis.url())
        .set("KEY_PREFIX", prefix)
        .start()
        .await;
    let ahead = far_ahead(&node).await;
    let names = [
        "r:active",
        "r:ended",
        "r:cancelled",
        "r:producers",
        "r:trimmed",
        "r:replaced",
        "r:empty",
        "r:later",
        "r:failed",
        "r:abandoned",
        "r:leased",
        "r:stopping",
    ];
    let keys = together(Kind::ExclusiveCluster, names);
    let [
        active,
        ended,
        cancelled,
        producers,
        trimmed,
        replaced,
        empty,
        later,
        failed,
        abandoned,
        leased,
        stopping,
    ] = &keys;
    let long = "k".repeat(256);
    let brief = "brief".to_owned();

    for key in [active, ended, cancelled, producers, replaced, empty, &long]
        .into_iter()
        .map(String::as_str)
        .chain(ODD)
    {
        node.create_with(json!({"key": key, "ttl": 3600})).await;
    }
    node.create_with(json!({"key": trimmed, "ttl": 3600, "max_events": 10}))
        .await;
    record_lives(&node, [failed, abandoned, leased, stopping]).await;
    let odd: Vec<Value> = DATA
        .iter()
        .map(|data| json!({"event": "n", "data": data}))
        .chain([json!({"event": "é 🙂"})])
        .collect();
    node.add(active, json!(odd)).await;
    for key in [ended, cancelled, replaced, &long]
        .into_iter()
        .map(String::as_str)
        .chain(ODD)
    {
        node.add_events(key, 0, 3).await;
    }
    let trimmed_id = node.add_events(trimmed, 0, 5).await.remove(2);
    for _ in 0..8 {
        node.add_events(trimmed, 0, 5).await;
    }
    produce(&node, producers, "one", 0, 3).await;
    produce(&node, producers, "two", 0, 1).await;
    produce(&node, producers, "one", 3, 2).await;
    let of_former = lasting(&ahead, json!({"key": replaced})).await;
    node.end(replaced).await;
    node.create_with(json!({"key": replaced, "ttl": 3600}))
        .await;
    node.add_events(replaced, 3, 1).await;
    node.end(ended).await;
    assert_eq!(
        node.post("/api/stream/cancel", json!({"key": cancelled}))
            .await
            .0,
        200
    );

    let list = [active, ended, cancelled, producers];
    let kinds = [
        (
            "active",
            json!({"key": active}),
            vec![active],
            vec![ended, later],
        ),
        ("ended", json!({"key": ended}), vec![ended], vec![cancelled]),
        (
            "cancelled",
            json!({"key": cancelled}),
            vec![cancelled],
            vec![ended],
        ),
        (
            "trimmed",
            json!({"key": trimmed}),
            vec![trimmed],
            vec![active],
        ),
        (
            "list",
            json!({"keys": list}),
            list.to_vec(),
            vec![trimmed, later],
        ),
        (
            "prefix",
            json!({"prefix": "r:"}),
            vec![active, ended, trimmed, replaced, empty, failed, leased],
            vec![&long, &brief],
        ),
        (
            "signal",
            json!({"key": stopping, "permissions": ["read", "signal"], "subject": "é"}),
            vec![stopping],
            vec![active],
        ),
        (
            "wait",
            json!({"keys": [active, later], "wait": true}),
            vec![active],
            vec![ended, empty],
        ),
        ("long", json!({"key": long}), vec![&long], vec![active]),
    ];
    let owned = |keys: Vec<&String>| keys.into_iter().cloned().collect::<Vec<_>>();
    let mut tokens = Vec::new();
    for (name, wanted, opens, forbids) in kinds {
        let text = lasting(&ahead, wanted).await;
        tokens.push(Token {
            name: name.to_owned(),
            text,
            opens: owned(opens),
            forbids: owned(forbids),
        });
    }
    tokens.push(Token {
        name: "former".to_owned(),
        text: of_former,
        opens: Vec::new(),
        forbids: vec![replaced.clone()],
    });

    let mut streams = vec![stream(&node, producers, &[("one", 5), ("two", 1)]).await];
    let plain = [active, ended, cancelled, trimmed, replaced, empty, &long];
    for key in plain
        .into_iter()
        .chain([failed, abandoned, leased, stopping])
        .map(String::as_str)
        .chain(ODD)
    {
        streams.push(stream(&node, key, &[]).await);
    }
    let ids = streams
        .iter()
        .map(|stream| (stream.key.as_str(), ids(stream)))
        .collect();
    let cursors = cursors::recorded_cursors(&node, &tokens, &ids, &keys, trimmed_id).await;

    node.create_with(json!({"key": brief, "ttl": BRIEF})).await;
    let mut connection = redis::Client::open(redis.url())
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    let commands = dump(&mut connection, prefix).await;
    Recording {
        version: version(),
        commit: base().to_owned(),
        secret_key: SECRET_KEY.to_owned(),
        prefix: prefix.to_owned(),
        commands,
        streams,
        brief,
        later: later.clone(),
        tokens,
        cursors,
    }
}

/// The version of the program.
fn version() -> String {
    let output = std::process::Command::new(old_program())
        .arg("--version")
        .output()
        .expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    text.split_whitespace()
        .last()
        .expect("a version")
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes a file: make record-version"]
async fn record() {
    let (name, text) = recorded().await.file();
    std::fs::create_dir_all(recording::folder()).unwrap();
    std::fs::write(recording::folder().join(name), text).unwrap();
}

/// Some recording has the same shape as what the version that was landed last stores. If not, run
/// `make record-version`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_matches_what_the_old_version_stores() {
    let shape = recorded().await.shape();
    let is_recorded = recording::all()
        .iter()
        .any(|(_, recording)| recording.shape() == shape);
    assert!(
        is_recorded,
        "no recording matches what {} stores. Make one: make record-version. It stores {shape:#?}",
        base()
    );
}

//! The store fails: the broker sends no wrong answer, and every subscriber resumes at its position.

use serde_json::{Value, json};

use crate::common::{
    Kind, assert_contiguous, broker, number,
    redis::{PERSISTENT, Redis},
    sse::ids,
    until,
};

async fn subscribers_resume_when_redis_returns_with_its_data(kind: Kind) {
    let mut redis = Redis::start(&PERSISTENT);
    let broker = broker(kind).set("REDIS_URL", redis.url()).start().await;
    let token = broker.create("chat").await;
    let mut subscriber = broker.sse("chat", &token, None).await;
    let mut socket = broker.ws("chat", &token, None).await;
    broker.add_events("chat", 0, 10).await;
    let mut seen = subscriber.take(11).await;

    redis.kill();
    let (status, error) = broker
        .post(
            "/api/event/add",
            json!({"key": "chat", "events": [{"event": "lost"}]}),
        )
        .await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (503, &json!("store-unavailable"))
    );
    assert_eq!(broker.get("/api/ready").await.0, 503);
    redis.restart(&PERSISTENT);

    until("it is ready again", || async {
        broker
            .http
            .get(format!("{}/api/ready", broker.url))
            .send()
            .await
            .unwrap()
            .status()
            == 200
    })
    .await;
    for n in 10..20 {
        broker.add_events("chat", n, 1).await;
    }
    broker.end("chat").await;
    seen.extend(subscriber.rest().await);
    assert_contiguous(ids(&seen), 0);
    assert_eq!(seen.len(), 22);
    let mut events = Vec::new();
    let code = loop {
        match socket.next().await {
            Ok(Value::Array(array)) => events.extend(array),
            Ok(event) => events.push(event),
            Err(frame) => break frame.map(|frame| u16::from(frame.code)),
        }
    };
    assert_contiguous(events.iter().map(|event| event["id"].as_str().unwrap()), 0);
    assert_eq!((events.len(), code), (22, Some(1000)));
}

async fn subscribers_of_a_stream_that_redis_lost_are_closed(kind: Kind) {
    let mut redis = Redis::start(&[]);
    let broker = broker(kind).set("REDIS_URL", redis.url()).start().await;
    let token = broker.create("chat").await;
    let mut subscriber = broker.sse("chat", &token, None).await;
    let mut socket = broker.ws("chat", &token, None).await;
    subscriber.next().await.unwrap();
    socket.next().await.unwrap();
    redis.kill();
    redis.restart(&[]);
    assert_eq!(subscriber.next().await, None);
    assert_eq!(socket.close_code().await, Some(1011));
    let (status, _) = broker.get("/api/stream/info?key=chat").await;
    assert_eq!(status, 404);
}

async fn subscribers_are_sent_to_another_node_when_redis_stays_unreachable(kind: Kind) {
    let mut redis = Redis::start(&[]);
    let broker = broker(kind)
        .set("REDIS_URL", redis.url())
        .set("STORE_PATIENCE", 1)
        .start()
        .await;
    let token = broker.create("chat").await;
    let mut subscriber = broker.sse("chat", &token, None).await;
    let mut socket = broker.ws("chat", &token, None).await;
    subscriber.next().await.unwrap();
    socket.next().await.unwrap();
    redis.kill();
    assert_eq!(subscriber.next().await, None);
    assert_eq!(socket.close_code().await, Some(1013));
    until("their permits are free", || async {
        broker.permits_in_use().await == 0
    })
    .await;
}

async fn a_subscriber_that_is_ahead_of_redis_receives_missedevents(kind: Kind) {
    let redis = Redis::start(&[]);
    let broker = broker(kind).set("REDIS_URL", redis.url()).start().await;
    let token = broker.create("chat").await;
    broker.add_events("chat", 0, 5).await;
    let keys = redis.cli(&["keys", "*"]);
    let saved: Vec<(&str, Vec<u8>)> = keys.lines().map(|key| (key, dump(&redis, key))).collect();
    let mut subscriber = broker.sse("chat", &token, None).await;
    let forgotten = broker.add_events("chat", 5, 5).await;
    assert_contiguous(ids(&subscriber.take(11).await), 0);

    // Redis before the last five events, as after a failover to a replica that lagged behind.
    for (key, dump) in &saved {
        restore(&redis, key, dump);
    }
    let frame = subscriber.next().await.unwrap();
    let data: Value = serde_json::from_str(&frame.data).unwrap();
    assert_eq!(
        (frame.event.as_str(), &data["missed"], &data["after"]),
        ("missedevents", &Value::Null, &json!(forgotten[4]))
    );
    assert_contiguous(ids(&subscriber.take(6).await), 0);
    let written = broker.add_events("chat", 5, 1).await;
    assert_eq!(
        (number(&written[0]), subscriber.next().await.unwrap().id),
        (6, written[0].clone())
    );

    // A subscriber that reconnects receives the same, also when other events have taken the numbers
    // meanwhile.
    broker.add_events("chat", 6, 10).await;
    let mut back = broker.sse("chat", &token, Some(&forgotten[4])).await;
    let data: Value = serde_json::from_str(&back.next().await.unwrap().data).unwrap();
    assert_eq!(data["missed"], Value::Null);
    assert_contiguous(ids(&back.take(17).await), 0);
}

async fn the_first_request_after_redis_returns_succeeds(kind: Kind) {
    let mut redis = Redis::start(&PERSISTENT);
    let broker = broker(kind)
        .set("REDIS_URL", redis.url())
        .set("REDIS_POOL", 8)
        .start()
        .await;
    broker.create("chat").await;
    redis.kill();
    // Redis refused every connection of the pool at least once.
    for _ in 0..16 {
        assert_eq!(broker.get("/api/stream/info?key=chat").await.0, 503);
    }
    redis.restart(&PERSISTENT);
    for n in 0..16 {
        broker.add_events("chat", n, 1).await;
    }
}

fn dump(redis: &Redis, key: &str) -> Vec<u8> {
    let output = std::process::Command::new("redis-cli")
        .arg("-s")
        .arg(redis.socket())
        .args(["--raw", "dump", key])
        .output()
        .unwrap();
    // `redis-cli` ends its output with a newline.
    output.stdout[..output.stdout.len() - 1].to_vec()
}

fn restore(redis: &Redis, key: &str, dump: &[u8]) {
    use std::io::Write;
    let mut command = std::process::Command::new("redis-cli");
    // `-X` names the argument that standard input replaces.
    command
        .arg("-s")
        .arg(redis.socket())
        .args(["-X", "DUMP", "restore", key, "600000", "DUMP", "replace"]);
    let mut process = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(dump).unwrap();
    assert!(process.wait().unwrap().success());
}

over_each_delivery!(
    subscribers_resume_when_redis_returns_with_its_data,
    subscribers_of_a_stream_that_redis_lost_are_closed,
    subscribers_are_sent_to_another_node_when_redis_stays_unreachable,
    a_subscriber_that_is_ahead_of_redis_receives_missedevents,
    the_first_request_after_redis_returns_succeeds,
);

#[tokio::test]
async fn subscribers_without_a_redis_connection_are_sent_to_another_node() {
    let redis = Redis::start(&["--maxclients", "10"]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .set("REDIS_POOL", 1)
        .set("STORE_PATIENCE", 2)
        .start()
        .await;
    let token = broker.create("chat").await;
    let mut sockets = Vec::new();
    for _ in 0..16 {
        let mut socket = broker.ws("chat", &token, None).await;
        assert_eq!(socket.next().await.unwrap().as_array().unwrap().len(), 1);
        sockets.push(socket);
    }
    until("some are disconnected", || async {
        broker.permits_in_use().await < 11
    })
    .await;
    broker.end("chat").await;
    let mut codes = Vec::new();
    for socket in sockets {
        let (events, code) = socket.rest().await;
        codes.push(code.unwrap());
        assert_eq!(
            events.len(),
            usize::from(code == Some(1000)),
            "all of it, or none and a request to retry"
        );
    }
    assert!(codes.contains(&1000) && codes.contains(&1013), "{codes:?}");
}

//! The Redis primary changes: producers and subscribers continue with the new one.

use serde_json::{Value, json};

use crate::common::{
    Broker, Kind, assert_contiguous, broker, redis::Redis, sentinel::RedisWithSentinels, sse::ids,
    until,
};

/// Whether the broker acknowledged an event. The producer sends an unacknowledged event again, with
/// the same sequence number.
async fn write(broker: &Broker, sequence: u64) -> bool {
    let events = json!([{"event": "n", "data": sequence.to_string()}]);
    let (status, answer) = broker
        .post(
            "/api/event/add",
            json!({"key": "chat", "events": events, "producer": "p", "sequence": sequence}),
        )
        .await;
    assert!([200, 503].contains(&status.as_u16()), "{answer}");
    status == 200
}

async fn subscribers_continue_with_the_replica_that_sentinels_promote(kind: Kind) {
    let mut watched = tokio::task::spawn_blocking(RedisWithSentinels::start)
        .await
        .unwrap();
    let broker = broker(kind)
        .set("REDIS_URL", watched.url())
        .set("STORE_PATIENCE", 60)
        .start()
        .await;
    until("a primary is known", async || {
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
    let token = broker.create("chat").await;
    let subscriber = broker.sse("chat", &token, None).await;
    let socket = broker.ws("chat", &token, None).await;
    for sequence in 0..10 {
        assert!(write(&broker, sequence).await);
    }
    // The Sentinel that the broker asks first is down too.
    watched.kill_first_sentinel();
    tokio::task::block_in_place(|| watched.kill_primary());
    for sequence in 10..20 {
        until("a write is accepted", async || {
            write(&broker, sequence).await
        })
        .await;
    }
    until("it is ready again", async || {
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
    broker.end("chat").await;
    let seen = subscriber.rest().await;
    assert_contiguous(ids(&seen), 0);
    let data: Vec<_> = seen
        .iter()
        .filter(|event| event.event == "n")
        .map(|event| event.data.parse::<u64>().unwrap())
        .collect();
    assert_eq!(data, (0..20).collect::<Vec<_>>());
    let (messages, code) = socket.rest().await;
    let seen: Vec<Value> = messages
        .into_iter()
        .flat_map(|message| message.as_array().cloned().unwrap_or_else(|| vec![message]))
        .collect();
    assert_contiguous(seen.iter().map(|event| event["id"].as_str().unwrap()), 0);
    assert_eq!((seen.len(), code), (22, Some(1000)));
}

/// The address follows the primary, as a host name or a proxy does. Here it is a link to the
/// socket.
async fn a_demoted_server_is_replaced_by_the_one_at_its_address(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let (address, next) = (
        folder.path().join("primary.sock"),
        folder.path().join("next.sock"),
    );
    let port = crate::common::cluster::free_port().to_string();
    let (one, two) = (
        Redis::start(&["--port", &port]),
        Redis::start(&["--replicaof", "127.0.0.1", &port]),
    );
    std::os::unix::fs::symlink(one.socket(), &address).unwrap();
    let broker = broker(kind)
        .set("REDIS_URL", format!("unix://{}", address.display()))
        .start()
        .await;
    let token = broker.create("chat").await;
    let subscriber = broker.sse("chat", &token, None).await;
    assert!(write(&broker, 0).await);

    assert_eq!(one.cli(&["wait", "1", "10000"]), "1");
    two.cli(&["replicaof", "no", "one"]);
    // It replicates a server that does not exist, so that it copies nothing from the new primary.
    one.cli(&["replicaof", "127.0.0.1", "1"]);
    std::os::unix::fs::symlink(two.socket(), &next).unwrap();
    std::fs::rename(&next, &address).unwrap();
    for sequence in 1..10 {
        until("a write is accepted", async || {
            write(&broker, sequence).await
        })
        .await;
    }
    broker.end("chat").await;
    let seen = subscriber.rest().await;
    assert_contiguous(ids(&seen), 0);
    assert_eq!(seen.len(), 12);
}

/// The data of a replica may be old: it may lack a stream, or events of a producer.
async fn a_replica_refuses_no_write_for_what_it_lacks(kind: Kind) {
    let port = crate::common::cluster::free_port().to_string();
    let (one, two) = (
        Redis::start(&["--port", &port]),
        Redis::start(&["--replicaof", "127.0.0.1", &port]),
    );
    let primary = broker(kind).set("REDIS_URL", one.url()).start().await;
    primary.create("chat").await;
    assert_eq!(one.cli(&["wait", "1", "10000"]), "1");
    let setup = primary.setup().set("REDIS_URL", two.url());
    let replica = setup.start().await;
    let event = json!([{"event": "n"}]);
    let gap = json!({"key": "chat", "events": event, "producer": "p", "sequence": 5});
    for (path, body) in [
        ("/api/event/add", gap),
        ("/api/event/add", json!({"key": "later", "events": event})),
        ("/api/stream/end", json!({"key": "later"})),
        ("/api/stream/renew", json!({"key": "later"})),
        ("/api/client/signal?key=later", json!({"name": "stop"})),
    ] {
        let (status, answer) = replica.post(path, body.clone()).await;
        assert_eq!(status, 503, "{path} {body}: {answer}");
    }
}

over_each_delivery!(
    subscribers_continue_with_the_replica_that_sentinels_promote,
    a_demoted_server_is_replaced_by_the_one_at_its_address,
    a_replica_refuses_no_write_for_what_it_lacks,
);

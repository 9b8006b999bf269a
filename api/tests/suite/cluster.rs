//! A Redis Cluster: what the suite promises for every store, and what only a Cluster does.

use std::collections::BTreeSet;

use serde_json::json;

use crate::common::{
    Kind, assert_contiguous, broker, cluster::Cluster, redis::Redis, sse::ids, until,
};

/// Keys of streams. Their Redis keys most likely lie on all nodes.
fn keys() -> impl Iterator<Item = String> {
    (0..24).map(|n| format!("chat-{n}"))
}

#[tokio::test]
async fn streams_are_spread_over_the_nodes_and_listed_together() {
    let broker = broker(Kind::Cluster).start().await;
    for key in keys() {
        broker.create(&key).await;
    }
    let (_, list) = broker.get("/api/stream/").await;
    let listed: BTreeSet<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["key"].as_str().unwrap())
        .collect();
    assert_eq!(
        listed,
        keys()
            .collect::<BTreeSet<_>>()
            .iter()
            .map(String::as_str)
            .collect()
    );
    for redis in Cluster::shared().nodes() {
        assert!(
            redis
                .cli(&["keys", &format!("{}*:events:*", broker.prefix())])
                .contains("chat-")
        );
    }
}

#[tokio::test]
async fn a_message_is_sent_only_to_the_shard_of_its_stream() {
    let broker = broker(Kind::Cluster).start().await;
    let token = broker.create("chat").await;
    let mut subscriber = broker.sse("chat", &token, None).await;
    subscriber.next().await.unwrap();
    let here = format!("{}*", broker.prefix());
    let channels = |command: &str| -> Vec<String> {
        let all = Cluster::shared()
            .nodes()
            .map(|redis| redis.cli(&["pubsub", command, &here]));
        all.flat_map(|lines| lines.lines().map(str::to_owned).collect::<Vec<_>>())
            .filter(|line| line.contains(":live:"))
            .collect()
    };
    until("the stream's channel is subscribed to", async || {
        !channels("shardchannels").is_empty()
    })
    .await;
    assert_eq!(
        (channels("shardchannels").len(), channels("channels").len()),
        (1, 0)
    );
    broker.add_events("chat", 0, 3).await;
    assert_contiguous(ids(&subscriber.take(3).await), 1);
}

async fn nothing_is_lost_when_a_slot_moves_to_another_node(kind: Kind) {
    // The test needs its own Cluster, because the move would disturb other tests.
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(0))
        .await
        .unwrap();
    let broker = broker(kind)
        .set("MAX_CLIENTS", 100)
        .set("REDIS_URL", cluster.url())
        .start()
        .await;
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 100_000}))
        .await;
    let subscriber = broker.sse("chat", &token, None).await;
    let write = async |from: u64| {
        let mut written = 0;
        while written < 200 {
            let events = json!([{"event": "n", "data": (from + written).to_string()}]);
            let body = json!({
                "key": "chat", "events": events, "producer": "p", "sequence": from + written,
            });
            let (status, answer) = broker.post("/api/event/add", body).await;
            assert!([200, 503].contains(&status.as_u16()), "{answer}");
            // The producer sends unconfirmed events again.
            written += u64::from(status == 200);
        }
    };
    write(0).await;
    let meta = cluster.nodes().find_map(|redis| {
        let found = redis.cli(&["keys", &format!("{}*:meta:chat", broker.prefix())]);
        (!found.is_empty()).then_some(found)
    });
    let meta = meta.unwrap();
    tokio::join!(write(200), async {
        tokio::task::block_in_place(|| cluster.move_slot_of(&meta));
    });
    write(400).await;
    broker.end("chat").await;
    let events = subscriber.rest().await;
    assert_contiguous(ids(&events), 0);
    let numbers: Vec<u64> = events
        .iter()
        .filter(|event| event.event == "n")
        .map(|event| event.data.parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..600).collect::<Vec<_>>());
}

async fn every_stream_continues_when_a_replica_takes_over(kind: Kind) {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1))
        .await
        .unwrap();
    let broker = broker(kind)
        .set("MAX_CLIENTS", 100)
        .set("REDIS_URL", cluster.url())
        .set("REDIS_TIMEOUT", 2)
        .start()
        .await;
    let write = async |key: &str, sequence: u64| {
        let body = json!({
            "key": key,
            "events": [{"event": "n", "data": sequence.to_string()}],
            "producer": "p",
            "sequence": sequence,
        });
        broker.post("/api/event/add", body).await.0 == 200
    };
    let mut streams = Vec::new();
    for key in keys() {
        let token = broker.create(&key).await;
        let mut subscriber = broker.sse(&key, &token, None).await;
        subscriber.next().await.unwrap();
        assert!(write(&key, 0).await);
        streams.push((key, subscriber));
    }
    let is_primary = |redis: &&Redis| redis.cli(&["info", "replication"]).contains("role:master");
    let primary = cluster.nodes().skip(1).find(is_primary).unwrap();
    // Events that the replica has not received are lost with the primary. That is a property of
    // Redis, not of the broker.
    assert_eq!(primary.cli(&["wait", "1", "10000"]), "1");
    let _ = primary.try_cli(&["shutdown", "nosave", "now"]);
    for (key, _) in &streams {
        // Each connection of the pool learns of the failover separately, and requests use them in
        // turn. An event that is sent again is written once.
        let in_a_row = std::cell::Cell::new(0);
        until(
            "the stream takes events again, over all of the pool's connections",
            async || {
                in_a_row.set(if write(key, 1).await {
                    in_a_row.get() + 1
                } else {
                    0
                });
                in_a_row.get() == 8
            },
        )
        .await;
    }
    for (key, subscriber) in streams {
        broker.end(&key).await;
        let events = subscriber.rest().await;
        assert_contiguous(ids(&events), 1);
        let names: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
        assert_eq!(names, ["n", "n", "end"], "{key}");
    }
}

over_kinds!(exclusive: ExclusiveCluster, shared: Cluster; (
    nothing_is_lost_when_a_slot_moves_to_another_node,
    every_stream_continues_when_a_replica_takes_over
));

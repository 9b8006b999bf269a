//! A Redis Cluster loses a primary, and a replica takes over.

use std::time::Duration;

use tokio::{task::spawn_blocking, time::sleep};

use crate::{
    common::{
        Kind,
        cluster::Cluster,
        redis::{Redis, signal},
    },
    fleet::{Fleet, fleet, node},
};

/// The primary of this Cluster that holds the stream.
fn primary_of<'a>(cluster: &'a Cluster, key: &str) -> &'a Redis {
    let has = |redis: &&Redis| {
        redis.cli(&["info", "replication"]).contains("role:master")
            && !redis.cli(&["keys", &format!("*:meta:{key}")]).is_empty()
    };
    cluster
        .nodes()
        .find(has)
        .expect("a primary with the stream")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_is_killed_and_its_replica_takes_over() {
    let cluster = spawn_blocking(|| Cluster::start(1)).await.unwrap();
    let broker = node(Kind::Cluster)
        .set("REDIS_URL", cluster.url())
        .set("REDIS_TIMEOUT", 2)
        .start()
        .await;
    let other = broker.another_node().await;
    let nodes = [broker.url.as_str(), other.url.as_str()];
    // The keys are in different slots, so that some of the streams are not on the killed primary.
    let mut fleets = Vec::new();
    for key in ["chat-1", "chat-2", "chat-3", "chat-4"] {
        fleets.push(fleet(&nodes).key(key).subscribers(6).start().await);
    }
    let primary = primary_of(&cluster, "chat-1");
    // Writes that the replica has not received are lost with the primary, because Redis replicates
    // asynchronously.
    let rest = fleets[0].pause().await;
    let others = futures::future::join_all(fleets[1..].iter().map(Fleet::pause)).await;
    assert_eq!(primary.cli(&["wait", "1", "30000"]), "1");
    signal(primary.pid(), "-KILL");
    drop((rest, others));
    for fleet in &fleets {
        fleet.flows().await;
    }
    for fleet in fleets {
        fleet.end_whole().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_is_frozen_for_less_than_it_takes_to_replace_it() {
    let cluster = spawn_blocking(|| Cluster::start(0)).await.unwrap();
    let broker = node(Kind::Cluster)
        .set("REDIS_URL", cluster.url())
        .set("REDIS_TIMEOUT", 1)
        .start()
        .await;
    let fleet = fleet(&[&broker.url]).start().await;
    let pid = primary_of(&cluster, "chat").pid();
    for seconds in [1, 5] {
        signal(pid, "-STOP");
        sleep(Duration::from_secs(seconds)).await;
        signal(pid, "-CONT");
        fleet.flows().await;
    }
    fleet.end_whole().await;
}

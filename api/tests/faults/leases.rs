//! Leases, while Redis or the way to it fails.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    common::{
        Broker, Kind, http_client,
        redis::{PERSISTENT, Redis, signal},
        sentinel::RedisWithSentinels,
        until,
    },
    fleet::node,
    proxy::{Link, Proxy, Target},
};

async fn create(broker: &Broker, key: &str, lease: u64) {
    until("the stream is created", || async {
        let body = json!({"key": key, "lease": lease, "request_id": key});
        broker.post("/api/stream", body).await.0 == 200
    })
    .await;
}

async fn status(broker: &Broker, key: &str) -> Value {
    let path = format!("/api/stream/info?key={key}");
    broker.get(&path).await.1["status"].clone()
}

async fn is_abandoned(broker: &Broker, key: &str) {
    until("the stream is abandoned", || async {
        status(broker, key).await == "abandoned"
    })
    .await;
    let (_, events) = broker.get(&format!("/api/stream/events?key={key}")).await;
    let abandons = (events.as_array().unwrap().iter()).filter(|event| event["event"] == "abandon");
    assert_eq!(abandons.count(), 1, "{key}");
}

/// A producer that reports four times a second to these nodes in turn, whatever they answer.
fn report(nodes: &[&Broker], key: &'static str) -> JoinHandle<()> {
    let nodes: Vec<_> = nodes.iter().map(|node| node.url.clone()).collect();
    tokio::spawn(async move {
        let http = http_client();
        for node in nodes.iter().cycle() {
            let renewal = http
                .post(format!("{node}/api/stream/renew"))
                .header("X-API-KEY", crate::common::broker::API_KEY)
                .timeout(Duration::from_secs(1))
                .body(json!({"key": key}).to_string());
            let _ = renewal.send().await;
            sleep(Duration::from_millis(250)).await;
        }
    })
}

/// After an outage the living producer keeps its stream. The stream of the other one is abandoned.
async fn only_the_silent_is_abandoned(broker: &Broker, living: JoinHandle<()>) {
    is_abandoned(broker, "silent").await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(status(broker, "living").await, "active");
    living.abort();
    is_abandoned(broker, "living").await;
}

async fn a_frozen_redis_and_a_killed_one_break_no_lease(kind: Kind) {
    let mut redis = Redis::start(&PERSISTENT);
    let broker = node(kind)
        .set("REDIS_TIMEOUT", 1)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    let other = broker.another_node().await;
    create(&broker, "living", 2).await;
    create(&broker, "silent", 2).await;
    let living = report(&[&broker, &other], "living");
    sleep(Duration::from_secs(1)).await;
    let pid = redis.pid();
    signal(pid, "-STOP");
    sleep(Duration::from_secs(6)).await;
    signal(pid, "-CONT");
    only_the_silent_is_abandoned(&other, living).await;

    for key in ["living", "silent"] {
        broker
            .post("/api/stream", json!({"key": key, "lease": 2}))
            .await;
    }
    let living = report(&[&broker, &other], "living");
    redis.kill();
    sleep(Duration::from_secs(4)).await;
    redis.restart(&PERSISTENT);
    only_the_silent_is_abandoned(&broker, living).await;
}

async fn a_node_that_is_cut_off_breaks_no_lease_of_producers_that_go_elsewhere(kind: Kind) {
    let redis = Redis::start(&[]);
    let link = Proxy::start(Target::Unix(redis.socket())).await;
    let setup = node(kind).set("REDIS_TIMEOUT", 1);
    let cut_off = setup.set("REDIS_URL", link.url("redis")).start().await;
    let other = cut_off.setup().set("REDIS_URL", redis.url()).start().await;
    create(&cut_off, "living", 4).await;
    create(&cut_off, "silent", 4).await;
    let living = report(&[&cut_off, &other], "living");
    link.set(Link::BLACK_HOLE);
    // The other node takes over, and goes on to abandon streams.
    is_abandoned(&other, "silent").await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!(status(&other, "living").await, "active");
    link.set(Link::OPEN);
    create(&other, "later", 2).await;
    is_abandoned(&other, "later").await;
    living.abort();
    is_abandoned(&other, "living").await;
}

async fn a_stopped_node_breaks_no_lease_of_producers_that_go_elsewhere(kind: Kind) {
    let redis = Redis::start(&[]);
    let setup = node(kind).set("REDIS_TIMEOUT", 1);
    let stopped = setup.set("REDIS_URL", redis.url()).start().await;
    let other = stopped.another_node().await;
    create(&stopped, "living", 3).await;
    create(&stopped, "silent", 3).await;
    let living = report(&[&other], "living");
    stopped.signal("-STOP").await;
    is_abandoned(&other, "silent").await;
    stopped.signal("-CONT").await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(status(&other, "living").await, "active");
    living.abort();
    is_abandoned(&other, "living").await;
}

async fn a_thousand_leases_that_end_at_once_are_abandoned_once(kind: Kind) {
    let redis = Redis::start(&[]);
    let broker = node(kind).set("REDIS_URL", redis.url()).start().await;
    let _other = broker.another_node().await;
    let keys: Vec<String> = (0..1_000).map(|n| format!("chat-{n}")).collect();
    for keys in keys.chunks(50) {
        join_all(keys.iter().map(|key| create(&broker, key, 4))).await;
    }
    until("none is active", || async {
        broker.get("/api/stream").await.1 == json!([])
    })
    .await;
    for keys in keys.chunks(50) {
        join_all(keys.iter().map(|key| is_abandoned(&broker, key))).await;
    }
}

over_each_delivery!(
    a_frozen_redis_and_a_killed_one_break_no_lease,
    a_node_that_is_cut_off_breaks_no_lease_of_producers_that_go_elsewhere,
    a_stopped_node_breaks_no_lease_of_producers_that_go_elsewhere,
    a_thousand_leases_that_end_at_once_are_abandoned_once,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_breaks_no_lease() {
    let mut servers = tokio::task::spawn_blocking(RedisWithSentinels::start)
        .await
        .unwrap();
    let broker = node(Kind::Shared)
        .set("REDIS_TIMEOUT", 1)
        .set("REDIS_URL", servers.url())
        .start()
        .await;
    create(&broker, "living", 2).await;
    create(&broker, "silent", 2).await;
    let living = report(&[&broker], "living");
    sleep(Duration::from_secs(1)).await;
    tokio::task::block_in_place(|| servers.kill_primary());
    only_the_silent_is_abandoned(&broker, living).await;
}

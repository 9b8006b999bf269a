//! The number of subscribers of a stream, over all nodes.

use serde_json::{Value, json};

use super::subscribers;
use crate::common::{Broker, Kind, broker, redis::Redis, until};

async fn the_subscribers_of_a_stream_are_counted(broker: Broker) {
    let (chat, token) = (broker.create("chat").await, broker.create("other").await);
    let counts = async |key: &str| {
        let (_, info) = broker.get(&format!("/api/stream/info?key={key}")).await;
        (info["clients"].clone(), info["clients_total"].clone())
    };
    assert_eq!(counts("chat").await, (json!(0), json!(0)));
    let (mut sse, mut ws) = (
        broker.sse("chat", &chat, None).await,
        broker.ws("chat", &chat, None).await,
    );
    let mut other = broker.sse("other", &token, None).await;
    sse.take(1).await;
    ws.next().await.unwrap();
    other.take(1).await;
    assert_eq!(
        (counts("chat").await, counts("other").await),
        ((json!(2), json!(2)), (json!(1), json!(1)))
    );
    assert_eq!(broker.metrics().await.get("streams_followed"), 2);
    broker.end("chat").await;
    sse.rest().await;
    ws.rest().await;
    until("they have left", || async {
        counts("chat").await == (json!(0), json!(0))
    })
    .await;
    assert_eq!(
        (
            counts("other").await,
            broker.metrics().await.get("streams_followed")
        ),
        ((json!(1), json!(1)), 1)
    );
}

async fn the_subscribers_of_all_nodes_add_up_and_those_of_a_dead_node_expire(broker: Broker) {
    if broker.kind == Kind::Memory {
        return;
    }
    let token = broker.create("chat").await;
    let (stops, dies) = (broker.another_node().await, broker.another_node().await);
    let total = async |node: &Broker| {
        node.get("/api/stream/info?key=chat").await.1["clients_total"].clone()
    };
    let mut open = Vec::new();
    for node in [&broker, &stops, &stops, &dies, &dies, &dies] {
        let mut sse = node.sse("chat", &token, None).await;
        sse.take(1).await;
        open.push(sse);
    }
    for node in [&broker, &stops, &dies] {
        until("every node has every count", || async {
            total(node).await == 6
        })
        .await;
    }
    assert_eq!(
        broker.get("/api/stream/info?key=chat").await.1["clients"],
        1
    );
    assert_eq!(stops.stop("-TERM").await.0, Some(0));
    assert_eq!(total(&broker).await, 4, "it counts its subscribers again");
    dies.stop("-KILL").await;
    until("its counts have expired", || async {
        total(&broker).await == 1
    })
    .await;
}

on_every_store!(
    the_subscribers_of_a_stream_are_counted,
    the_subscribers_of_all_nodes_add_up_and_those_of_a_dead_node_expire,
);

#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_redis_cannot_give_is_null_and_a_lost_count_is_published_again() {
    let mut redis = Redis::start(&[]);
    let broker = broker(Kind::Shared)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    let other = broker.another_node().await;
    let token = broker.create("chat").await;
    let mut sse = other.sse("chat", &token, None).await;
    sse.take(1).await;
    let counts = || async {
        let (status, info) = broker.get("/api/stream/info?key=chat").await;
        assert_eq!(status, 200);
        (info["clients"].clone(), info["clients_total"].clone())
    };
    until("the other node's count arrived", || async {
        counts().await == (json!(0), json!(1))
    })
    .await;
    let keys = redis.cli(&["keys", &format!("{}clients:*", broker.prefix())]);
    assert_eq!(
        keys.lines().count(),
        1,
        "a node without subscribers publishes nothing: {keys}"
    );
    assert!((1..=20_000).contains(&redis.cli(&["pttl", &keys]).parse::<u32>().unwrap()));
    redis.cli(&["del", &keys]);
    assert_eq!(counts().await, (json!(0), json!(0)));
    until("it was published again", || async {
        counts().await == (json!(0), json!(1))
    })
    .await;

    let nodes = format!("{}nodes", broker.prefix());
    redis.cli(&["set", &nodes, "not a sorted set"]);
    assert_eq!(counts().await, (json!(0), Value::Null));
    redis.cli(&["del", &nodes]);
    until("it is present again", || async {
        counts().await == (json!(0), json!(1))
    })
    .await;
    assert_eq!(subscribers(&other, "").await[0]["lag"], 0);
    redis.kill();
    assert_eq!(subscribers(&other, "").await[0]["lag"], Value::Null);
}

//! Redis closes the connections of a broker under load.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    common::{Kind, redis::Redis},
    fleet::{fleet, node},
    servers::wait_for_subscription,
};

async fn connections_are_killed_repeatedly(kind: Kind) {
    let redis = Redis::start(&[]);
    let broker = node(kind).set("REDIS_URL", redis.url()).start().await;
    let fleet = fleet(&[&broker.url]).start().await;
    for round in 0..20 {
        for class in ["normal", "pubsub"] {
            redis.cli(&["client", "kill", "type", class]);
            sleep(Duration::from_millis(100)).await;
        }
        if round % 5 == 4 {
            fleet.flows().await;
            wait_for_subscription(&redis, kind, "chat").await;
        }
    }
    fleet.end_whole().await;
}

over_each_delivery!(connections_are_killed_repeatedly);

//! Redis is killed, and restarts with its data or without.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    common::{
        Kind,
        redis::{PERSISTENT, Redis},
    },
    fleet::{fleet, node},
    fleet_subscriber::no_subscriber_was_closed,
    servers::wait_for_subscription,
};

async fn redis_is_killed_and_returns_with_its_data(kind: Kind) {
    let mut redis = Redis::start(&PERSISTENT);
    let broker = node(kind).set("REDIS_URL", redis.url()).start().await;
    let fleet = fleet(&[&broker.url]).start().await;
    for _ in 0..3 {
        redis.kill();
        fleet.is_refused(2).await;
        sleep(Duration::from_secs(1)).await;
        redis.restart(&PERSISTENT);
        fleet.flows().await;
        wait_for_subscription(&redis, kind, "chat").await;
    }
    let records = fleet.end_whole().await;
    assert!(
        no_subscriber_was_closed(&records),
        "no subscriber was closed: the store returned soon"
    );
}

async fn redis_is_unreachable_for_longer_than_sessions_are_kept(kind: Kind) {
    let mut redis = Redis::start(&PERSISTENT);
    let broker = node(kind)
        .set("REDIS_URL", redis.url())
        .set("STORE_PATIENCE", 1)
        .start()
        .await;
    let fleet = fleet(&[&broker.url]).start().await;
    redis.kill();
    fleet.is_refused(20).await;
    sleep(Duration::from_secs(4)).await;
    redis.restart(&PERSISTENT);
    fleet.flows().await;
    let records = fleet.end_whole().await;
    assert!(
        records.iter().all(|record| record.visits > 1),
        "every subscriber was closed and reconnected"
    );
}

async fn redis_is_killed_and_has_lost_everything(kind: Kind) {
    let mut redis = Redis::start(&[]);
    let broker = node(kind).set("REDIS_URL", redis.url()).start().await;
    let lost = fleet(&[&broker.url]).start().await;
    redis.kill();
    redis.restart(&[]);
    lost.end_lost().await;
    // A new stream can be created at the same key.
    let fleet = fleet(&[&broker.url]).start().await;
    fleet.flows().await;
    fleet.end_whole().await;
}

over_each_delivery!(
    redis_is_killed_and_returns_with_its_data,
    redis_is_unreachable_for_longer_than_sessions_are_kept,
    redis_is_killed_and_has_lost_everything,
);

//! The network between the broker and Redis delays, cuts connections, or loses everything.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    common::{Broker, Kind, broker::Setup, redis::Redis},
    fleet::{Fleet, eventually, fleet, node},
    proxy::{Proxy, Road, Target},
    servers::is_heard,
};

/// Redis, a bad link to it, a broker, and its fleet.
struct BehindProxy {
    redis: Redis,
    broker: Broker,
    road: Proxy,
    fleet: Fleet,
}

impl BehindProxy {
    async fn start(setup: Setup) -> Self {
        let redis = Redis::start(&[]);
        let road = Proxy::start(Target::Unix(redis.socket())).await;
        let broker = setup.set("REDIS_URL", road.url("redis")).start().await;
        let fleet = fleet(&[&broker.url]).start().await;
        Self {
            redis,
            broker,
            road,
            fleet,
        }
    }
}

async fn redis_is_far_away(kind: Kind) {
    let it = BehindProxy::start(node(kind)).await;
    it.road.set(Road::LATE);
    it.fleet.flows().await;
    it.fleet.flows().await;
    it.road.set(Road::OPEN);
    it.fleet.end_whole().await;
}

async fn the_way_to_redis_is_cut_again_and_again(kind: Kind) {
    let it = BehindProxy::start(node(kind)).await;
    for round in 0..20 {
        it.road.cut();
        sleep(Duration::from_millis(150)).await;
        if round % 5 == 4 {
            it.road.refuse(true);
            it.road.cut();
            sleep(Duration::from_millis(500)).await;
            it.road.refuse(false);
            it.fleet.flows().await;
            is_heard(&it.redis, kind, "chat").await;
        }
    }
    it.fleet.end_whole().await;
}

async fn nothing_comes_through_to_or_from_redis_for_a_while(kind: Kind) {
    let it = BehindProxy::start(node(kind).set("REDIS_TIMEOUT", 1)).await;
    for road in [Road::BLACK_HOLE, Road::DEAF, Road::MUTE] {
        it.road.set(road);
        sleep(Duration::from_secs(4)).await;
        it.road.set(Road::OPEN);
        it.fleet.flows().await;
        is_heard(&it.redis, kind, "chat").await;
    }
    it.fleet.end_whole().await;
}

/// As when a firewall has forgotten the connections: neither side is notified, and only new
/// connections work.
async fn open_connections_to_redis_vanish_for_ever(kind: Kind) {
    let it = BehindProxy::start(node(kind).set("REDIS_TIMEOUT", 1)).await;
    for road in [Road::BLACK_HOLE, Road::DEAF] {
        it.road.set_existing(road);
        it.fleet.flows().await;
    }
    it.fleet.end_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_vanishes_for_ever() {
    let it = BehindProxy::start(node(Kind::Shared).set("REDIS_TIMEOUT", 1)).await;
    for road in [Road::BLACK_HOLE, Road::DEAF] {
        let subscriptions = it.road.subscriptions();
        it.road.set_subscriptions(road);
        // Reads of the store find new events meanwhile, late.
        it.fleet.flows().await;
        eventually("the node subscribes anew", || {
            it.road.subscriptions() > subscriptions
        })
        .await;
        it.fleet.flows().await;
    }
    // The next subscribe command detects the lost subscription, and the broker opens a new one.
    it.road.set_subscriptions(Road::MUTE);
    it.fleet.flows().await;
    let other = fleet(&[&it.broker.url]).key("other").start().await;
    is_heard(&it.redis, Kind::Shared, "other").await;
    other.end_whole().await;
    it.fleet.end_whole().await;
}

over_each_delivery!(
    redis_is_far_away,
    the_way_to_redis_is_cut_again_and_again,
    nothing_comes_through_to_or_from_redis_for_a_while,
    open_connections_to_redis_vanish_for_ever
);

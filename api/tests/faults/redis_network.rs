//! The network between the broker and Redis delays, cuts connections, or loses everything.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    common::{Broker, Kind, broker::Setup, redis::Redis},
    fleet::{Fleet, eventually, fleet, node},
    proxy::{Link, Proxy, Target},
    servers::wait_for_subscription,
};

/// Redis, a bad link to it, a broker, and its fleet.
struct RedisBehindProxy {
    redis: Redis,
    broker: Broker,
    link: Proxy,
    fleet: Fleet,
}

impl RedisBehindProxy {
    async fn start(setup: Setup) -> Self {
        let redis = Redis::start(&[]);
        let link = Proxy::start(Target::Unix(redis.socket())).await;
        let broker = setup.set("REDIS_URL", link.url("redis")).start().await;
        let fleet = fleet(&[&broker.url]).start().await;
        Self {
            redis,
            broker,
            link,
            fleet,
        }
    }
}

async fn redis_is_far_away(kind: Kind) {
    let it = RedisBehindProxy::start(node(kind)).await;
    it.link.set(Link::LATE);
    it.fleet.flows().await;
    it.fleet.flows().await;
    it.link.set(Link::OPEN);
    it.fleet.end_whole().await;
}

async fn connections_to_redis_are_cut_repeatedly(kind: Kind) {
    let it = RedisBehindProxy::start(node(kind)).await;
    for round in 0..20 {
        it.link.cut();
        sleep(Duration::from_millis(150)).await;
        if round % 5 == 4 {
            it.link.refuse(true);
            it.link.cut();
            sleep(Duration::from_millis(500)).await;
            it.link.refuse(false);
            it.fleet.flows().await;
            wait_for_subscription(&it.redis, kind, "chat").await;
        }
    }
    it.fleet.end_whole().await;
}

async fn nothing_reaches_or_leaves_redis_for_a_while(kind: Kind) {
    let it = RedisBehindProxy::start(node(kind).set("REDIS_TIMEOUT", 1)).await;
    for link in [Link::BLACK_HOLE, Link::NO_DOWN, Link::NO_UP] {
        it.link.set(link);
        sleep(Duration::from_secs(4)).await;
        it.link.set(Link::OPEN);
        it.fleet.flows().await;
        wait_for_subscription(&it.redis, kind, "chat").await;
    }
    it.fleet.end_whole().await;
}

/// As when a firewall has forgotten the connections: neither side is notified, and only new
/// connections work.
async fn open_connections_to_redis_vanish_for_ever(kind: Kind) {
    let it = RedisBehindProxy::start(node(kind).set("REDIS_TIMEOUT", 1)).await;
    for link in [Link::BLACK_HOLE, Link::NO_DOWN] {
        it.link.set_existing(link);
        it.fleet.flows().await;
    }
    it.fleet.end_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_vanishes_for_ever() {
    let it = RedisBehindProxy::start(node(Kind::Shared).set("REDIS_TIMEOUT", 1)).await;
    for link in [Link::BLACK_HOLE, Link::NO_DOWN] {
        let subscriptions = it.link.subscriptions();
        it.link.set_subscriptions(link);
        // Reads of the store find new events meanwhile, late.
        it.fleet.flows().await;
        eventually("the node subscribes again", || {
            it.link.subscriptions() > subscriptions
        })
        .await;
        it.fleet.flows().await;
    }
    // The next subscribe command detects the lost subscription, and the broker opens a new one.
    it.link.set_subscriptions(Link::NO_UP);
    it.fleet.flows().await;
    let other = fleet(&[&it.broker.url]).key("other").start().await;
    wait_for_subscription(&it.redis, Kind::Shared, "other").await;
    other.end_whole().await;
    it.fleet.end_whole().await;
}

over_each_delivery!(
    redis_is_far_away,
    connections_to_redis_are_cut_repeatedly,
    nothing_reaches_or_leaves_redis_for_a_while,
    open_connections_to_redis_vanish_for_ever
);

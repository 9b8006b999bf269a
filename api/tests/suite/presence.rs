//! The subscriber counts that nodes send each other: the stores themselves, without a broker.

use std::sync::Arc;

use rocket::figment::Figment;
use tinistreamer::{
    config::Settings,
    store::{PresenceOutcome, PresenceUpdate, SharedStore, redis::RedisStore},
    stream::StreamKey,
    telemetry::metrics::Metrics,
};

use crate::common::{
    broker::{API_KEY, SECRET_KEY},
    cluster::Cluster,
    redis::Redis,
};

/// Streams that do not fit into one command of the script.
const MANY: u32 = 3000;

/// The store of a node.
fn node(url: &str, prefix: &str) -> SharedStore {
    let prefix = format!("presence-{}-{prefix}:", std::process::id());
    let set = [
        ("API_KEY", API_KEY),
        ("SECRET_KEY", SECRET_KEY),
        ("REDIS_URL", url),
        ("DELIVERY", "exclusive"),
        ("KEY_PREFIX", prefix.as_str()),
    ];
    let environment = set.map(|(name, value)| (format!("STREAMER_{name}"), value.to_owned()));
    let settings = Settings::load(&Figment::new(), environment).expect("settings");
    let metrics = Metrics::new(settings.redis_delivery(), 1);
    Arc::new(RedisStore::new(&settings, metrics).unwrap())
}

fn key(n: u32) -> StreamKey {
    format!("chat-{n}").parse().unwrap()
}

fn update(whole: bool, counts: impl Iterator<Item = (u32, u32)>) -> PresenceUpdate {
    PresenceUpdate {
        whole,
        counts: counts.map(|(n, count)| (key(n), count)).collect(),
    }
}

async fn the_counts_of_thousands_of_streams_are_sent_and_changed(url: &str) {
    let (node, other) = (node(url, "many"), node(url, "many"));
    let elsewhere = async |n| other.subscribers_elsewhere(&key(n)).await.unwrap();

    let all = update(true, (0..MANY).map(|n| (n, n + 1)));
    let sent = node.update_presence(&all).await.unwrap();
    assert_eq!(sent, PresenceOutcome::Kept);
    for n in [0, 499, 500, 1000, MANY - 1] {
        assert_eq!(elsewhere(n).await, u64::from(n) + 1);
    }
    assert_eq!(node.subscribers_elsewhere(&key(0)).await.unwrap(), 0);

    // Every second stream loses its subscribers.
    let changes = update(false, (0..MANY).map(|n| (n, (n % 2) * 7)));
    let sent = node.update_presence(&changes).await.unwrap();
    assert_eq!(sent, PresenceOutcome::Kept);
    for n in [0, 1, 1998, 1999, MANY - 2, MANY - 1] {
        assert_eq!(elsewhere(n).await, u64::from(n % 2) * 7);
    }

    let sent = node.update_presence(&PresenceUpdate::none()).await.unwrap();
    assert_eq!(sent, PresenceOutcome::Kept);
    assert_eq!(elsewhere(1).await, 0);
    let changes = update(false, [(1, 1)].into_iter());
    let sent = node.update_presence(&changes).await.unwrap();
    assert_eq!(sent, PresenceOutcome::PreviousExpired);
}

#[tokio::test]
async fn the_counts_of_thousands_of_streams_are_sent_and_changed_on_one_server() {
    the_counts_of_thousands_of_streams_are_sent_and_changed(&Redis::shared().url()).await;
}

#[tokio::test]
async fn the_counts_of_thousands_of_streams_are_sent_and_changed_on_a_cluster() {
    the_counts_of_thousands_of_streams_are_sent_and_changed(&Cluster::shared().url()).await;
}

#[tokio::test]
async fn an_update_that_fails_half_way_leaves_no_counts() {
    let redis = Redis::start(&[]);
    redis.cli(&[
        "acl", "setuser", "app", "on", ">hunter2", "~*", "&*", "+@all",
    ]);
    let url = format!("{}?user=app&pass=hunter2", redis.url());
    let node = node(&url, "fails");
    let all = update(true, [(1, 1), (2, 2)].into_iter());
    node.update_presence(&all).await.unwrap();
    let counts = redis.cli(&["keys", "*clients:*"]);
    assert_eq!(redis.cli(&["hlen", &counts]), "2");

    redis.cli(&["acl", "setuser", "app", "-hset"]);
    let changes = update(false, [(1, 0), (2, 3)].into_iter());
    assert!(node.update_presence(&changes).await.is_err());
    assert_eq!(redis.cli(&["exists", &counts]), "0");

    redis.cli(&["acl", "setuser", "app", "+hset"]);
    node.update_presence(&all).await.unwrap();
    assert_eq!(redis.cli(&["hlen", &counts]), "2");
    let expires_ms: u32 = redis.cli(&["pttl", &counts]).parse().unwrap();
    assert!((1..=20_000).contains(&expires_ms), "{expires_ms}");
}

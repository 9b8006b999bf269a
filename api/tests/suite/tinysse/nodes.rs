//! Several nodes over one Redis, and a Redis that fails.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use super::server::Server;
use crate::common::{
    broker::answer,
    redis::{PERSISTENT, Redis},
    until,
};

/// A prefix of keys that no other test has.
fn prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("test-tinysse-{}-{number}:", std::process::id())
}

/// A node over this Redis.
async fn node(redis: &Redis, prefix: &str, arguments: &[&str]) -> Server {
    let url = redis.url();
    let environment = [
        ("STREAMER_REDIS_URL", &*url),
        ("STREAMER_KEY_PREFIX", prefix),
        // A busy machine may not run Redis for seconds.
        ("STREAMER_REDIS_TIMEOUT", "20"),
    ];
    Server::start_in(arguments, &environment).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_one_redis_are_one_server() {
    let prefix = prefix();
    let one = node(Redis::shared(), &prefix, &[]).await;
    let other = node(Redis::shared(), &prefix, &[]).await;
    let mut subscribers = [one.subscribe().await, other.subscribe().await];
    for n in 0..20 {
        let publisher = if n % 2 == 0 { &one } else { &other };
        publisher.publish(&json!({"data": n.to_string()})).await;
    }
    for subscriber in &mut subscribers {
        for n in 0..20 {
            assert_eq!(subscriber.next().await.unwrap(), format!("data: {n}"));
        }
    }
    for node in [&one, &other] {
        until("each node counts the subscribers of both", || async {
            node.publish(&json!({"event": "e"})).await.1 == 2
        })
        .await;
    }
    // A node with another prefix is another server.
    let stranger = node(Redis::shared(), &self::prefix(), &[]).await;
    assert_eq!(stranger.publish(&json!({"data": "x"})).await.1, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_option_names_the_redis_too() {
    let redis = Redis::start(&[]);
    let server = Server::start(&["--redis-url", &redis.url()]).await;
    let mut subscriber = server.subscribe().await;
    server.publish(&json!({"data": "x"})).await;
    assert_eq!(subscriber.next().await.unwrap(), "data: x");
    let keys = redis.cli(&["keys", "*"]);
    assert!(keys.contains("tinysse"), "{keys}");
}

/// The key in which Redis has the messages.
fn events_key(redis: &Redis, prefix: &str) -> String {
    redis.cli(&["keys", &format!("{prefix}*:events:tinysse")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_has_the_publication_without_credentials() {
    let (redis, prefix) = (Redis::shared(), prefix());
    let server = node(redis, &prefix, &["--capacity", "10"]).await;
    let message = json!({"id": "m", "data": "hello"});
    let request = server
        .json(&message)
        .header("Authorization", "Bearer secret-1")
        .header("Cookie", "session=secret-2")
        .header("Proxy-Authorization", "Basic secret-3")
        .header("X-API-KEY", "secret-4")
        .header("X-Other", "kept");
    assert_eq!(answer(request).await.0, 202);
    let key = events_key(redis, &prefix);
    let stored = redis.cli(&["xrange", &key, "-", "+"]);
    for text in [
        "hello",
        "x-other",
        "kept",
        r#""path":"/sse""#,
        r#""method":"POST""#,
    ] {
        assert!(stored.contains(text), "{text}: {stored}");
    }
    assert!(!stored.contains("secret"), "{stored}");
    for _ in 0..500 {
        server.publish(&message).await;
    }
    let length: u64 = redis.cli(&["xlen", &key]).parse().unwrap();
    // Redis trims whole nodes of 100 entries.
    assert!((10..=210).contains(&length), "{length}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_is_there_from_the_start_and_again_when_it_was_deleted() {
    let (redis, prefix) = (Redis::shared(), prefix());
    let server = node(redis, &prefix, &[]).await;
    until("it is created without a request", || async {
        !events_key(redis, &prefix).is_empty()
    })
    .await;
    let before = server.subscribe().await;
    for key in redis.cli(&["keys", &format!("{prefix}*")]).lines() {
        redis.cli(&["del", key]);
    }
    // The next publisher creates it. Subscribers of the deleted one have to come back.
    server.publish(&json!({"data": "lost"})).await;
    let rest = before.rest().await;
    assert!(
        rest.last()
            .is_some_and(|last| last.starts_with(": missed") && last.contains("retry:")),
        "{rest:?}"
    );
    let mut after = server.subscribe().await;
    server.publish(&json!({"data": "new"})).await;
    assert_eq!(after.next().await.unwrap(), "data: new");
    // A subscriber creates it, too.
    for key in redis.cli(&["keys", &format!("{prefix}*")]).lines() {
        redis.cli(&["del", key]);
    }
    let mut third = server.subscribe().await;
    server.publish(&json!({"data": "newer"})).await;
    assert_eq!(third.next().await.unwrap(), "data: newer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_outlive_a_redis_that_comes_back() {
    let mut redis = Redis::start(&PERSISTENT);
    let server = node(&redis, "p:", &[]).await;
    let mut subscriber = server.subscribe().await;
    server.publish(&json!({"data": "before"})).await;
    redis.kill();
    let (status, error) = answer(server.json(&json!({"data": "refused"}))).await;
    assert_eq!(status, 503);
    assert!(error["error"].is_string(), "{error}");
    redis.restart(&PERSISTENT);
    until("publishing works again", || async {
        answer(server.json(&json!({"data": "after"}))).await.0 == 202
    })
    .await;
    assert_eq!(subscriber.next().await.unwrap(), "data: before");
    // What was not acknowledged may have been stored, too, but not before the kill.
    assert_eq!(subscriber.next().await.unwrap(), "data: after");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_starts_without_its_redis_and_waits_for_it() {
    let mut redis = Redis::start(&[]);
    redis.kill();
    let server = node(&redis, "p:", &[]).await;
    let response = server.get("/sse").await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    redis.restart(&[]);
    until("the first subscriber is admitted", || async {
        server.get("/sse").await.status() == 200
    })
    .await;
}

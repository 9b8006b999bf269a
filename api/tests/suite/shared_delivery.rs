//! Shared delivery: one Redis subscription serves all subscribers, and they lose nothing.

use std::sync::Arc;

use serde_json::json;

use crate::common::{Broker, Kind, assert_contiguous, broker, redis::Redis, sse::ids, until};

async fn shared(redis: &Redis) -> Broker {
    broker(Kind::Shared)
        .set("REDIS_URL", redis.url())
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_subscribers_share_a_few_connections() {
    let redis = Redis::start(&[]);
    let broker = shared(&redis).await;
    let mut subscribers = Vec::new();
    for stream in 0..10 {
        let key = format!("chat-{stream}");
        let token = broker.create(&key).await;
        for _ in 0..20 {
            subscribers.push((key.clone(), broker.sse(&key, &token, None).await));
        }
    }
    for stream in 0..10 {
        broker.add_events(&format!("chat-{stream}"), 0, 10).await;
    }
    for (_, subscriber) in &mut subscribers {
        assert_contiguous(ids(&subscriber.take(11).await), 0);
    }
    let connections = redis.cli(&["client", "list"]).lines().count();
    assert!(
        connections <= 6,
        "the static pool, the subscription, and the connection of redis-cli: {connections}"
    );
    let (_, info) = broker.get("/api/info").await;
    assert_eq!(
        (
            &info["delivery"],
            &info["redis"]["streaming"],
            &info["redis"]["streaming_in_use"]
        ),
        (&json!("shared"), &json!(1), &json!(200))
    );
    assert_eq!(
        info["redis"]["streaming_max"], 10_000,
        "the default where a subscriber costs little"
    );
    drop(subscribers);
    until("the channels are unsubscribed", || async {
        redis.cli(&["pubsub", "channels", "*:live:*"]).is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_cut_repeatedly_loses_nothing() {
    let redis = Redis::start(&[]);
    let broker = Arc::new(shared(&redis).await);
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 100_000}))
        .await;
    let readers: Vec<_> = (0..6)
        .map(|_| {
            let (broker, token) = (Arc::clone(&broker), token.clone());
            tokio::spawn(async move { broker.sse("chat", &token, None).await.rest().await })
        })
        .collect();
    for n in 0..400 {
        broker.add_events("chat", n * 5, 5).await;
        if n % 20 == 7 {
            redis.cli(&["client", "kill", "type", "pubsub"]);
        }
    }
    broker.end("chat").await;
    for reader in readers {
        let events = reader.await.unwrap();
        assert_contiguous(ids(&events), 0);
        assert_eq!(events.len(), 2002);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_message_is_detected_by_the_next_one_or_by_a_read_of_the_store() {
    let redis = Redis::start(&[]);
    let broker = shared(&redis).await;
    let token = broker.create("chat").await;
    let mut subscriber = broker.sse("chat", &token, None).await;
    broker.add_events("chat", 0, 1).await;
    subscriber.take(2).await;
    for round in 0..3 {
        redis.write_unpublished("chat", "lost");
        broker.add_events("chat", 0, 1).await;
        assert_contiguous(ids(&subscriber.take(2).await), 2 + 2 * round);
    }
    redis.write_unpublished("chat", "the last one");
    assert_eq!(subscriber.next().await.unwrap().data, "the last one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_redis_closes_is_opened_again() {
    let redis = Redis::start(&[]);
    let broker = shared(&redis).await;
    let token = broker.create("chat").await;
    let mut subscriber = broker.sse("chat", &token, None).await;
    subscriber.take(1).await;
    // Redis closes connections when an administrator revokes their channels. For a while the broker
    // cannot open another.
    let subscription = redis.cli(&["client", "list", "type", "pubsub"]);
    let id = subscription
        .split("id=")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    redis.cli(&["acl", "setuser", "default", "resetchannels"]);
    until("the subscription is closed", || async {
        !redis
            .cli(&["client", "list"])
            .contains(&format!("id={id} "))
    })
    .await;
    redis.cli(&["acl", "setuser", "default", "allchannels"]);
    until("there is another", || async {
        !redis.cli(&["client", "list", "type", "pubsub"]).is_empty()
    })
    .await;
    until("it is written once more", || async {
        broker
            .post(
                "/api/event/add",
                json!({"key": "chat", "events": [{"event": "x"}]}),
            )
            .await
            .0
            == 200
    })
    .await;
    assert_eq!(subscriber.next().await.unwrap().event, "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_topic_is_dropped_and_opened_again() {
    let redis = Redis::start(&[]);
    let broker = shared(&redis).await;
    let token = broker.create("chat").await;
    let mut seen = Vec::new();
    for round in 0..3 {
        let mut subscriber = broker
            .sse(
                "chat",
                &token,
                seen.last()
                    .map(|event: &eventsource_stream::Event| event.id.as_str()),
            )
            .await;
        broker.add_events("chat", round, 5).await;
        seen.extend(subscriber.take(if round == 0 { 6 } else { 10 }).await);
        drop(subscriber);
        // Longer than the broker keeps an idle topic.
        if round == 1 {
            until("it is dropped", || async {
                redis.cli(&["pubsub", "channels", "*:live:*"]).is_empty()
            })
            .await;
        }
        broker.add_events("chat", round, 5).await;
    }
    assert_contiguous(ids(&seen), 0);
}

/// A proxy to Redis that can stop forwarding messages to a node's subscription without closing the
/// connection.
struct SilencingProxy {
    port: u16,
    is_silenced: Arc<std::sync::atomic::AtomicBool>,
}

impl SilencingProxy {
    async fn start(redis: std::path::PathBuf) -> Self {
        use std::sync::atomic::{AtomicBool, Ordering};
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, is_silenced) = (
            listener.local_addr().unwrap().port(),
            Arc::new(AtomicBool::new(false)),
        );
        let silence = Arc::clone(&is_silenced);
        tokio::spawn(async move {
            while let Ok((node, _)) = listener.accept().await {
                let (mut from_node, mut to_node) = node.into_split();
                let (mut from_redis, mut to_redis) = tokio::net::UnixStream::connect(&redis)
                    .await
                    .unwrap()
                    .into_split();
                let subscribes = Arc::new(AtomicBool::new(false));
                let (is_subscription, silenced) = (Arc::clone(&subscribes), Arc::clone(&silence));
                tokio::spawn(async move {
                    let mut bytes = vec![0; 65_536];
                    while let Ok(count @ 1..) = from_node.read(&mut bytes).await {
                        if bytes[..count]
                            .windows(11)
                            .any(|window| window == b"\r\nSUBSCRIBE")
                        {
                            // Only subscriptions made before messages were dropped are affected.
                            subscribes.store(!silenced.load(Ordering::Relaxed), Ordering::Relaxed);
                        }
                        to_redis.write_all(&bytes[..count]).await.unwrap();
                    }
                });
                let silenced = Arc::clone(&silence);
                tokio::spawn(async move {
                    let mut bytes = vec![0; 65_536];
                    while let Ok(count @ 1..) = from_redis.read(&mut bytes).await {
                        let dropped = silenced.load(Ordering::Relaxed)
                            && is_subscription.load(Ordering::Relaxed);
                        if !dropped && to_node.write_all(&bytes[..count]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, is_silenced }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_without_messages_is_detected_and_nothing_is_lost() {
    let redis = Redis::start(&[]);
    let way = SilencingProxy::start(redis.socket()).await;
    let url = format!("redis://127.0.0.1:{}", way.port);
    let broker = broker(Kind::Shared)
        .set("REDIS_URL", url)
        .set("REDIS_TIMEOUT", 1)
        .start()
        .await;
    let token = broker.create("chat").await;
    let mut subscriber = broker.sse("chat", &token, None).await;
    broker.add_events("chat", 0, 3).await;
    subscriber.take(4).await;
    way.is_silenced
        .store(true, std::sync::atomic::Ordering::Relaxed);
    broker.add_events("chat", 3, 3).await;
    assert_contiguous(ids(&subscriber.take(3).await), 4);
    broker.add_events("chat", 6, 3).await;
    broker.end("chat").await;
    assert_contiguous(ids(&subscriber.rest().await), 7);
}

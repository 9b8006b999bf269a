//! Metrics of Redis and of its delivery.

use serde_json::json;

use crate::common::{Kind, broker, redis::Redis, until};

#[tokio::test]
async fn redis_commands_and_their_failures_are_measured() {
    let mut redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    let token = broker.create("chat").await;
    broker.add_events("chat", 0, 3).await;
    let mut subscriber = broker.sse("chat", &token, None).await;
    subscriber.take(4).await;
    until("the subscriber has a connection", || async {
        broker.metrics().await.get("redis_pool_connections_in_use") >= 1
    })
    .await;
    let before = broker.metrics().await;
    assert_eq!(
        before.get(r#"redis_command_duration_seconds_count{operation="append"}"#),
        1
    );
    assert_eq!(before.get(r#"redis_errors_total{operation="append"}"#), 0);
    redis.kill();
    let (status, _) = broker
        .post(
            "/api/event/add",
            json!({"key": "chat", "events": [{"event": "n"}]}),
        )
        .await;
    assert_eq!(status, 503);
    until("the wait fails", || async {
        broker
            .metrics()
            .await
            .get(r#"redis_errors_total{operation="follow"}"#)
            >= 1
    })
    .await;
    assert!(
        broker
            .metrics()
            .await
            .get(r#"redis_errors_total{operation="append"}"#)
            >= 1
    );
}

#[tokio::test]
async fn messages_that_shared_delivery_missed_and_recovered_are_measured() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Shared)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    let token = broker.create("chat").await;
    let mut subscriber = broker.sse("chat", &token, None).await;
    subscriber.take(1).await;
    let measured = async |series: &str| broker.metrics().await.get(series);
    until("it is subscribed", || async {
        measured("redis_subscription_up").await == 1
    })
    .await;
    assert_eq!(measured("redis_topics").await, 1);
    until("it has read the store", || async {
        measured(r#"redis_catch_ups_total{cause="subscription"}"#).await >= 1
    })
    .await;

    // Nothing is published. Only a read of the store finds the event.
    redis.write_unpublished("chat", "found by a read");
    subscriber.take(1).await;
    until("a read of the store found it", || async {
        measured(r#"redis_catch_up_events_total{cause="silence"}"#).await == 1
    })
    .await;
    redis.write_unpublished("chat", "found by its number");
    broker.add_events("chat", 0, 1).await;
    subscriber.take(2).await;
    until("the gap was closed", || async {
        measured(r#"redis_catch_ups_total{cause="gap"}"#).await >= 1
    })
    .await;

    redis.cli(&["client", "kill", "type", "pubsub"]);
    until("the loss is counted", || async {
        measured("redis_subscription_losses_total").await == 1
    })
    .await;
    until("it receives messages again", || async {
        measured("redis_subscription_up").await == 1
    })
    .await;
}

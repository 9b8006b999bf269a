//! Admission: the broker refuses new subscribers at the limit, and a subscriber that leaves frees
//! its permit.

use serde_json::json;

use crate::common::{Kind, broker, redis::Redis, until, ws::Ws};

async fn new_subscribers_are_refused_at_the_limit(kind: Kind) {
    let broker = broker(kind).set("MAX_CLIENTS", 3).start().await;
    let token = broker.create("chat").await;
    let mut subscribers = Vec::new();
    for _ in 0..3 {
        let mut subscriber = broker.sse("chat", &token, None).await;
        subscriber.next().await.unwrap();
        subscribers.push(subscriber);
    }
    let (_, info) = broker.get("/api/info").await;
    assert_eq!(
        (
            &info["redis"]["streaming_in_use"],
            &info["redis"]["streaming_available"],
            &info["redis"]["streaming_max"]
        ),
        (&json!(3), &json!(0), &json!(3))
    );
    let response = broker
        .http
        .get(broker.subscribe_url("sse", "chat", &token, None))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("retry-after"));
    assert!(response.text().await.unwrap().contains("too-many-clients"));
    let refused = Ws::connect(&broker.subscribe_url("ws", "chat", &token, None), &[])
        .await
        .err()
        .unwrap();
    assert_eq!(
        (refused.0, &refused.1["code"]),
        (429, &json!("too-many-clients"))
    );
    // The broker still serves admitted subscribers, and listing events needs no permit.
    broker.add_events("chat", 0, 1).await;
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.next().await.unwrap().event, "n");
    }
    assert_eq!(broker.get("/api/stream/events?key=chat").await.0, 200);
}

async fn a_new_subscriber_gets_the_permit_of_one_that_has_left(kind: Kind) {
    // Heartbeats alone would detect it after an hour.
    let broker = broker(kind)
        .set("MAX_CLIENTS", 4)
        .set("HEARTBEAT", 3600)
        .start()
        .await;
    let token = broker.create("chat").await;
    for round in 0..5 {
        let mut subscribers = Vec::new();
        for _ in 0..4 {
            let response = broker
                .http
                .get(broker.subscribe_url("sse", "chat", &token, None))
                .send()
                .await
                .unwrap();
            assert_eq!(response.status(), 200, "round {round}");
            subscribers.push(response);
        }
    }
}

async fn a_websocket_subscriber_that_leaves_frees_its_permit_at_once(kind: Kind) {
    let broker = broker(kind).set("HEARTBEAT", 3600).start().await;
    let token = broker.create("chat").await;
    let mut socket = broker.ws("chat", &token, None).await;
    socket.next().await.unwrap();
    assert_eq!(broker.permits_in_use().await, 1);
    drop(socket);
    until("the permit is free", || async {
        broker.permits_in_use().await == 0
    })
    .await;
}

async fn a_subscriber_that_reads_nothing_loses_its_permit(kind: Kind) {
    let broker = broker(kind)
        .set("CLIENT_TIMEOUT", 2)
        .set("HEARTBEAT", 1)
        .start()
        .await;
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 100_000}))
        .await;
    let stalled = broker
        .http
        .get(broker.subscribe_url("sse", "chat", &token, None))
        .send()
        .await
        .unwrap();
    let data = "x".repeat(100_000);
    for _ in 0..20 {
        let events: Vec<_> = (0..20)
            .map(|_| json!({"event": "big", "data": data}))
            .collect();
        broker.add("chat", json!(events)).await;
    }
    until("its permit is free", || async {
        broker.permits_in_use().await == 0
    })
    .await;
    drop(stalled);
}

over_each_kind!(
    new_subscribers_are_refused_at_the_limit,
    a_new_subscriber_gets_the_permit_of_one_that_has_left,
    a_websocket_subscriber_that_leaves_frees_its_permit_at_once,
    a_subscriber_that_reads_nothing_loses_its_permit,
);

#[tokio::test]
async fn a_subscriber_that_leaves_returns_its_redis_connection() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .set("MAX_CLIENTS", 30)
        .start()
        .await;
    let token = broker.create("chat").await;
    let mut subscribers = Vec::new();
    for n in 0..20 {
        if n % 2 == 0 {
            let mut subscriber = broker.sse("chat", &token, None).await;
            subscriber.next().await.unwrap();
            subscribers.push((Some(subscriber), None));
        } else {
            let mut socket = broker.ws("chat", &token, None).await;
            socket.next().await.unwrap();
            subscribers.push((None, Some(socket)));
        }
    }
    until("each has a connection", || async {
        redis.blocked_connections() == 20
    })
    .await;
    drop(subscribers);
    until("none has", || async {
        redis.blocked_connections() == 0 && broker.permits_in_use().await == 0
    })
    .await;
    let connections = redis.cli(&["client", "list"]).lines().count();
    assert!(
        connections <= 6,
        "the static pool, and the connection of redis-cli: {connections}"
    );
}

#[tokio::test]
async fn a_connection_is_reused_after_its_stream_has_ended() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    for round in 0..10 {
        let key = format!("chat-{round}");
        let token = broker.create(&key).await;
        let mut subscriber = broker.sse(&key, &token, None).await;
        subscriber.next().await.unwrap();
        until("it follows", || async { redis.blocked_connections() == 1 }).await;
        broker.end(&key).await;
        assert_eq!(subscriber.rest().await.len(), 1);
        until("it is done", || async {
            broker.permits_in_use().await == 0
        })
        .await;
    }
    let (_, info) = broker.get("/api/info").await;
    assert_eq!(
        info["redis"]["streaming"], 1,
        "one connection served ten subscribers in turn"
    );
}

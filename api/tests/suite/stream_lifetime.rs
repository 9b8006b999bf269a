//! How a stream is replaced, ends, expires and is trimmed.

use serde_json::{Value, json};

use crate::common::{Broker, assert_contiguous, number, until};

async fn an_active_stream_is_not_created_again(broker: Broker) {
    broker.create("chat").await;
    let (status, error) = broker.post("/api/stream/", json!({"key": "chat"})).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (400, &json!("existing-stream"))
    );
}

async fn an_ended_stream_is_replaced_and_its_tokens_become_invalid(broker: Broker) {
    let old = broker.create("chat").await;
    broker.add_events("chat", 0, 5).await;
    broker.end("chat").await;
    let new = broker.create("chat").await;

    let (_, events) = broker.get("/api/stream/events?key=chat").await;
    assert_eq!(
        events.as_array().unwrap().len(),
        1,
        "the old events were deleted"
    );
    assert_eq!(number(events[0]["id"].as_str().unwrap()), 0);

    let refused = broker
        .http
        .get(broker.subscribe_url("sse", "chat", &old, None))
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(
        broker
            .sse("chat", &new, None)
            .await
            .next()
            .await
            .unwrap()
            .event,
        "start"
    );
}

async fn ids_of_a_replaced_stream_do_not_match_the_new_one(broker: Broker) {
    broker.create("chat").await;
    broker.add_events("chat", 0, 5).await;
    broker.end("chat").await;
    let (_, old) = broker.get("/api/stream/info?key=chat").await;
    let token = broker.create("chat").await;
    broker.add_events("chat", 0, 20).await;
    // A subscriber of the old stream with a token for the new one receives all of the new one.
    let mut subscriber = broker.sse("chat", &token, old["last_id"].as_str()).await;
    let events = subscriber.take(21).await;
    assert_contiguous(crate::common::sse::ids(&events), 0);
}

async fn no_event_follows_an_end_or_a_cancel(broker: Broker) {
    for (key, path) in [("a", "/api/stream/end"), ("b", "/api/stream/cancel")] {
        broker.create(key).await;
        broker.post(path, json!({"key": key})).await;
        let (_, before) = broker.get(&format!("/api/stream/events?key={key}")).await;
        for path in ["/api/stream/end", "/api/stream/cancel"] {
            let (status, error) = broker.post(path, json!({"key": key})).await;
            assert_eq!(
                (status.as_u16(), &error["code"]),
                (404, &json!("no-active-stream"))
            );
        }
        let (status, error) = broker
            .post(
                "/api/event/add",
                json!({"key": key, "events": [{"event": "x"}]}),
            )
            .await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (404, &json!("no-active-stream"))
        );
        let (_, after) = broker.get(&format!("/api/stream/events?key={key}")).await;
        assert_eq!(before, after);
    }
}

async fn a_stream_exists_for_its_ttl_after_its_last_write(broker: Broker) {
    let token = broker.create_with(json!({"key": "chat", "ttl": 2})).await;
    let mut subscriber = broker.sse("chat", &token, None).await;
    for n in 0..3 {
        tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
        broker.add_events("chat", n, 1).await;
    }
    subscriber.take(4).await;
    assert_eq!(
        subscriber.next().await,
        None,
        "a subscriber of a stream that expires is closed"
    );
    until("it has expired", || async {
        broker.get("/api/stream/info?key=chat").await.0 == 404
    })
    .await;
    assert_eq!(broker.get("/api/stream/").await.1, json!([]));
    let answer = broker
        .http
        .get(broker.subscribe_url("sse", "chat", &broker.create("chat").await, None))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "the key is free again");
}

async fn a_stream_keeps_about_its_maximum_of_events(broker: Broker) {
    broker
        .create_with(json!({"key": "chat", "max_events": 50}))
        .await;
    for n in 0..400 {
        broker.add_events("chat", n, 1).await;
    }
    let (_, info) = broker.get("/api/stream/info?key=chat").await;
    let length = info["length"].as_u64().unwrap();
    assert!((50..=150).contains(&length), "{length}");
    let (_, events) = broker.get("/api/stream/events?key=chat").await;
    let ids: Vec<_> = events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect();
    assert_contiguous(ids.iter().map(String::as_str), 401 - length);
    assert_eq!(info["first_id"], Value::from(ids[0].clone()));
}

on_every_store!(
    an_active_stream_is_not_created_again,
    an_ended_stream_is_replaced_and_its_tokens_become_invalid,
    ids_of_a_replaced_stream_do_not_match_the_new_one,
    no_event_follows_an_end_or_a_cancel,
    a_stream_exists_for_its_ttl_after_its_last_write,
    a_stream_keeps_about_its_maximum_of_events,
);

//! Publishing a batch.

use std::time::Duration;

use serde_json::json;

use crate::common::{Broker, Kind, assert_contiguous, broker, number};

async fn a_batch_is_written_whole_with_ids_in_order(broker: Broker) {
    broker.create("chat").await;
    let events = json!([
        {"event": "a"},
        {"event": "b", "data": "x"},
        {"event": "c", "data": {"k": [1, 2]}},
    ]);
    let ids = broker.add("chat", events).await;
    assert_contiguous(ids.iter().map(String::as_str), 1);
    let (_, events) = broker.get("/api/stream/events?key=chat").await;
    assert_eq!(
        (
            events[1].get("data"),
            &events[2]["data"],
            &events[3]["data"]
        ),
        (None, &json!("x"), &json!("{\"k\":[1,2]}"))
    );
    assert_eq!(broker.add("chat", json!([])).await, Vec::<String>::new());
    let more = broker.add_events("chat", 0, 1).await;
    assert_eq!(number(&more[0]), 4);
}

async fn a_batch_with_a_bad_event_writes_nothing(broker: Broker) {
    broker.create("chat").await;
    let good = json!({"event": "good"});
    let cases = [
        (json!({"event": "end"}), "reserved-event"),
        (json!({"event": "missedevents"}), "reserved-event"),
        (json!({"event": ""}), "invalid-event"),
        (json!({"event": "x".repeat(129)}), "invalid-event"),
        (json!({"event": "a\u{0}"}), "invalid-event"),
        (json!({"event": 7}), "invalid-request"),
        (json!({"data": "x"}), "invalid-request"),
    ];
    for (bad, code) in cases {
        let (status, error) = broker
            .post(
                "/api/event/add",
                json!({"key": "chat", "events": [good, bad, good]}),
            )
            .await;
        assert_eq!(
            (status.as_u16(), error["code"].as_str()),
            (400, Some(code)),
            "{bad}"
        );
        assert!(
            error["message"].as_str().unwrap().contains("events[1]"),
            "it names the event: {error}"
        );
    }
    let (_, info) = broker.get("/api/stream/info?key=chat").await;
    assert_eq!(info["length"], 1);
}

async fn subscribers_do_not_notice_an_empty_batch(broker: Broker) {
    let token = broker.create("chat").await;
    let mut live = broker.sse("chat", &token, None).await;
    live.next().await.unwrap();
    broker.add_events("chat", 0, 1).await;
    // By a later clock than that of the last event.
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(broker.add("chat", json!([])).await, Vec::<String>::new());
    let resumed = live.next().await.unwrap().id;
    let mut late = broker.sse("chat", &token, Some(&resumed)).await;
    broker.end("chat").await;
    for subscriber in [&mut live, &mut late] {
        assert_eq!(subscriber.next().await.unwrap().event, "end");
        assert_eq!(subscriber.next().await, None);
    }
}

async fn a_batch_for_a_missing_stream_is_refused(broker: Broker) {
    for events in [json!([{"event": "x"}]), json!([])] {
        let (status, error) = broker
            .post("/api/event/add", json!({"key": "nobody", "events": events}))
            .await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (404, &json!("no-active-stream"))
        );
        assert!(
            error["message"].as_str().unwrap().contains("nobody"),
            "it names the key: {error}"
        );
    }
}

on_every_store!(
    a_batch_is_written_whole_with_ids_in_order,
    a_batch_with_a_bad_event_writes_nothing,
    subscribers_do_not_notice_an_empty_batch,
    a_batch_for_a_missing_stream_is_refused,
);

#[tokio::test]
async fn the_error_names_the_limit_of_a_batch_and_a_body() {
    let broker = broker(Kind::Memory)
        .set("MAX_BATCH", 5)
        .set("MAX_BODY", 2000)
        .start()
        .await;
    broker.create("chat").await;
    broker.add_events("chat", 0, 5).await;
    let events: Vec<_> = (0..6).map(|_| json!({"event": "x"})).collect();
    let (status, error) = broker
        .post("/api/event/add", json!({"key": "chat", "events": events}))
        .await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (413, &json!("too-many-events"))
    );
    assert!(error["message"].as_str().unwrap().contains('5'));
    let (status, error) = broker
        .post(
            "/api/event/add",
            json!({"key": "chat", "events": [{"event": "x", "data": "y".repeat(3000)}]}),
        )
        .await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (413, &json!("too-large"))
    );
    assert!(error["message"].as_str().unwrap().contains("2000"));
}

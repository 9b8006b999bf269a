//! Producers that number their events: the broker writes a repeated event once.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::common::{Broker, Kind, assert_contiguous, broker, broker::answer, ws::Ws};

/// Events named by their numbers.
fn lines(numbers: impl IntoIterator<Item = u64>) -> String {
    numbers
        .into_iter()
        .flat_map(|n| {
            [
                json!({"event": "n", "data": n.to_string()}).to_string(),
                "\n".to_owned(),
            ]
        })
        .collect()
}

async fn upload(broker: &Broker, query: &str, body: String) -> (StatusCode, Value) {
    answer(
        broker
            .request(
                Method::POST,
                &format!("/api/event/add/json-stream?key=chat&{query}"),
            )
            .body(body),
    )
    .await
}

async fn batch(
    broker: &Broker,
    producer: &str,
    sequence: u64,
    numbers: impl IntoIterator<Item = u64>,
) -> (StatusCode, Value) {
    let events: Vec<Value> = numbers
        .into_iter()
        .map(|n| json!({"event": "n", "data": n.to_string()}))
        .collect();
    broker
        .post(
            "/api/event/add",
            json!({"key": "chat", "events": events, "producer": producer, "sequence": sequence}),
        )
        .await
}

/// The numbers in the stream. The ids have no hole.
async fn written(broker: &Broker) -> Vec<u64> {
    let (_, events) = broker.get("/api/stream/events?key=chat").await;
    let events = events.as_array().unwrap();
    assert_contiguous(events.iter().map(|event| event["id"].as_str().unwrap()), 0);
    let numbers = events.iter().filter(|event| event["event"] == "n");
    numbers
        .map(|event| event["data"].as_str().unwrap().parse().unwrap())
        .collect()
}

async fn a_request_that_is_repeated_is_written_once(broker: Broker) {
    broker.create("chat").await;
    let (status, first) = batch(&broker, "p", 0, 0..3).await;
    assert_eq!(
        (
            status.as_u16(),
            &first["num_events"],
            &first["num_duplicates"]
        ),
        (200, &json!(3), &json!(0))
    );
    let (status, again) = batch(&broker, "p", 0, 0..3).await;
    assert_eq!(
        (status.as_u16(), again),
        (
            200,
            json!({"ids": [], "num_events": 0, "num_duplicates": 3})
        )
    );
    // The broker writes only the new events of a request.
    let (_, more) = upload(&broker, "producer=p&sequence=1", lines(1..5)).await;
    assert_eq!(
        (
            &more["num_events"],
            &more["num_duplicates"],
            more["ids"].as_array().unwrap().len()
        ),
        (&json!(2), &json!(2), 2)
    );
    assert_eq!(more["last_id"], more["ids"][1]);
    assert_eq!(written(&broker).await, (0..5).collect::<Vec<_>>());
}

async fn a_subscriber_receives_a_repeated_event_once(broker: Broker) {
    let token = broker.create("chat").await;
    let mut sse = broker.sse("chat", &token, None).await;
    sse.next().await.unwrap();
    batch(&broker, "p", 0, 0..2).await;
    batch(&broker, "p", 0, 0..4).await;
    batch(&broker, "p", 2, 2..4).await;
    broker.end("chat").await;
    let names: Vec<String> = sse
        .rest()
        .await
        .into_iter()
        .map(|event| format!("{}{}", event.event, event.data))
        .collect();
    assert_eq!(names, ["n0", "n1", "n2", "n3", "end"]);
}

async fn each_producer_has_its_own_sequence(broker: Broker) {
    broker.create("chat").await;
    batch(&broker, "a", 0, [1]).await;
    let (_, other) = batch(&broker, "b", 0, [2]).await;
    assert_eq!(other["num_duplicates"], 0);
    // Writes without a producer name have no sequence.
    broker
        .add("chat", json!([{"event": "n", "data": "3"}]))
        .await;
    broker
        .add("chat", json!([{"event": "n", "data": "3"}]))
        .await;
    assert_eq!(written(&broker).await, [1, 2, 3, 3]);
}

async fn a_gap_in_a_producers_sequence_is_refused(broker: Broker) {
    broker.create("chat").await;
    batch(&broker, "p", 0, 0..2).await;
    let (status, error) = batch(&broker, "p", 3, 3..5).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (409, &json!("sequence-gap"))
    );
    assert!(
        error["message"].as_str().unwrap().contains('2'),
        "it contains the next sequence number: {error}"
    );
    let (status, error) = upload(&broker, "producer=unknown&sequence=1", lines(1..2)).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (409, &json!("sequence-gap"))
    );
    assert_eq!(written(&broker).await, [0, 1]);
}

async fn a_replacement_stream_knows_no_producers(broker: Broker) {
    broker.create("chat").await;
    batch(&broker, "p", 0, 0..2).await;
    broker.end("chat").await;
    broker.create("chat").await;
    // The producer wrote to another stream. It must not continue here unnoticed.
    let (status, _) = batch(&broker, "p", 2, 2..3).await;
    assert_eq!(status.as_u16(), 409);
    batch(&broker, "p", 0, 7..8).await;
    assert_eq!(written(&broker).await, [7]);
}

async fn bad_lines_do_not_count(broker: Broker) {
    broker.create("chat").await;
    let body = format!("{}nonsense\n{}", lines([0]), lines([1]));
    let (_, summary) = upload(&broker, "producer=p", body.clone()).await;
    assert_eq!(
        (&summary["num_events"], &summary["num_errors"]),
        (&json!(2), &json!(1))
    );
    let (_, again) = upload(&broker, "producer=p", body).await;
    assert_eq!(
        (
            &again["num_events"],
            &again["num_duplicates"],
            &again["num_errors"]
        ),
        (&json!(0), &json!(2), &json!(1))
    );
    upload(&broker, "producer=p&sequence=2", lines([2])).await;
    assert_eq!(written(&broker).await, [0, 1, 2]);
}

async fn an_upload_longer_than_one_write_continues_its_sequence(broker: Broker) {
    broker
        .create_with(json!({"key": "chat", "max_events": 10_000}))
        .await;
    upload(&broker, "producer=p", lines(0..1500)).await;
    let (_, summary) = upload(&broker, "producer=p&sequence=700", lines(700..3000)).await;
    assert_eq!(
        (&summary["num_events"], &summary["num_duplicates"]),
        (&json!(1500), &json!(800))
    );
    assert_eq!(written(&broker).await, (0..3000).collect::<Vec<_>>());
}

async fn a_websocket_reports_for_each_message_whether_it_is_a_duplicate(broker: Broker) {
    broker.create("chat").await;
    batch(&broker, "p", 0, 0..2).await;
    let mut socket = socket(&broker, "producer=p&sequence=1").await;
    for n in 1..4 {
        socket
            .send(json!({"event": "n", "data": n.to_string()}).to_string())
            .await;
    }
    assert_eq!(
        socket.next().await.unwrap(),
        json!({"type": "success", "id": null, "duplicate": true})
    );
    for _ in 2..4 {
        let answer = socket.next().await.unwrap();
        assert!(
            answer["id"].is_string() && answer.get("duplicate").is_none(),
            "{answer}"
        );
    }
    assert_eq!(written(&broker).await, (0..4).collect::<Vec<_>>());
}

async fn a_websocket_with_a_gap_in_its_sequence_receives_an_error_and_is_closed(broker: Broker) {
    broker.create("chat").await;
    let mut socket = socket(&broker, "producer=p&sequence=5").await;
    socket.send(lines([5])).await;
    let answer = socket.next().await.unwrap();
    assert_eq!(
        (&answer["type"], &answer["code"]),
        (&json!("error"), &json!("sequence-gap"))
    );
    assert_eq!(socket.close_code().await, Some(1011));
    assert_eq!(written(&broker).await, Vec::<u64>::new());
}

async fn an_invalid_producer_is_refused(broker: Broker) {
    broker.create("chat").await;
    let long = "x".repeat(65);
    for (query, code) in [
        ("producer=", "invalid-producer"),
        ("producer=a%20b", "invalid-producer"),
        (&format!("producer={long}"), "invalid-producer"),
        ("sequence=1", "invalid-producer"),
        ("producer=p&sequence=-1", "invalid-request"),
        ("producer=p&sequence=x", "invalid-request"),
        ("producer=p&sequence=9007199254740993", "invalid-request"),
    ] {
        let (status, error) = upload(&broker, query, lines(0..1)).await;
        assert_eq!(
            (status.as_u16(), error["code"].as_str().unwrap()),
            (400, code),
            "{query}"
        );
    }
    assert_eq!(
        batch(&broker, "a b", 0, 0..1).await.1["code"],
        "invalid-producer"
    );
    assert_eq!(written(&broker).await, Vec::<u64>::new());
}

async fn a_stream_remembers_a_bounded_number_of_producers(broker: Broker) {
    broker
        .create_with(json!({"key": "chat", "max_events": 2000}))
        .await;
    for n in 0..1000 {
        assert_eq!(
            batch(&broker, &format!("p{n}"), 0, [n]).await.0.as_u16(),
            200
        );
    }
    let (status, error) = batch(&broker, "one-more", 0, [1]).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (400, &json!("invalid-producer"))
    );
    assert_eq!(
        batch(&broker, "p7", 1, [1000]).await.0.as_u16(),
        200,
        "known producers continue"
    );
    assert_eq!(written(&broker).await, (0..=1000).collect::<Vec<_>>());
}

async fn racing_repeats_are_written_once(broker: Broker) {
    broker
        .create_with(json!({"key": "chat", "max_events": 10_000}))
        .await;
    let nodes = [&broker, &broker, &broker, &broker];
    for round in 0_u64..50 {
        let (from, to) = (round * 10, round * 10 + 10);
        let racers = nodes.iter().enumerate().map(|(n, broker)| {
            // Each request repeats a few more of the earlier events.
            let from = from.saturating_sub(n as u64 * 3);
            batch(broker, "p", from, from..to)
        });
        for (status, answer) in futures::future::join_all(racers).await {
            assert_eq!(status.as_u16(), 200, "{answer}");
        }
    }
    assert_eq!(written(&broker).await, (0..500).collect::<Vec<_>>());
}

async fn socket(broker: &Broker, query: &str) -> Ws {
    let url = format!(
        "{}/api/event/add/ws-stream?key=chat&{query}",
        broker.url.replace("http", "ws")
    );
    Ws::connect(&url, &[("X-API-KEY", crate::common::broker::API_KEY)])
        .await
        .unwrap()
}

on_every_store!(
    a_request_that_is_repeated_is_written_once,
    a_subscriber_receives_a_repeated_event_once,
    each_producer_has_its_own_sequence,
    a_gap_in_a_producers_sequence_is_refused,
    a_replacement_stream_knows_no_producers,
    bad_lines_do_not_count,
    an_upload_longer_than_one_write_continues_its_sequence,
    a_websocket_reports_for_each_message_whether_it_is_a_duplicate,
    a_websocket_with_a_gap_in_its_sequence_receives_an_error_and_is_closed,
    an_invalid_producer_is_refused,
    a_stream_remembers_a_bounded_number_of_producers,
    racing_repeats_are_written_once,
);

#[tokio::test]
async fn any_node_knows_what_a_producer_has_written() {
    let one = broker(Kind::Shared).start().await;
    let other = one.another_node().await;
    one.create("chat").await;
    batch(&one, "p", 0, 0..3).await;
    let (_, again) = batch(&other, "p", 1, 1..4).await;
    assert_eq!(
        (&again["num_events"], &again["num_duplicates"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(written(&one).await, (0..4).collect::<Vec<_>>());
}

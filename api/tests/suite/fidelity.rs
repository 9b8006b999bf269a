//! Every transport delivers any text unchanged.

use serde_json::{Value, json};

use crate::common::{Broker, sse::ids};

/// Texts that formats often damage.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "plain",
        " leading",
        "trailing ",
        "a\nb",
        "\n",
        "\n\n",
        "a\n",
        "\na",
        "a\n b\n  c",
        "\u{0}nul\u{0}",
        "tab\t",
        "data: x",
        "id: 5",
        ": comment",
        "event: end\n\n",
        "é😀𝄞\u{10ffff}",
        "\u{feff}bom",
        "\u{2028}\u{2029}",
        "\"quoted\" \\ back",
        "{\"json\": [1]}",
        "null",
        "\u{7f}\u{80}\u{9f}",
        "%20+&=?",
    ]
    .map(str::to_owned)
    .into();
    // With its name, the largest event that the broker accepts.
    texts.push("x".repeat((1 << 20) - "x".len()));
    texts.push("é\n".repeat(20_000));
    texts
}

/// Server-sent events cannot carry these unchanged: a reader turns all of their line ends into LF.
const WITH_CR: [&str; 6] = ["a\rb", "a\r\nb", "\r", "\r\n\r\n", "a\n\rb", "a\r"];

async fn data_is_unchanged_over_every_transport(broker: Broker) {
    let texts: Vec<String> = texts()
        .into_iter()
        .chain(WITH_CR.map(str::to_owned))
        .collect();
    let token = broker.create("chat").await;
    let mut live = broker.ws("chat", &token, None).await;
    assert_eq!(live.next().await.unwrap().as_array().unwrap().len(), 1);
    for text in &texts {
        broker
            .add("chat", json!([{"event": "x", "data": text}]))
            .await;
        assert_eq!(
            live.next().await.unwrap()["data"].as_str(),
            Some(text.as_str())
        );
    }
    broker.add("chat", json!([{"event": "none"}])).await;
    assert_eq!(live.next().await.unwrap().get("data"), None);
    broker.end("chat").await;

    let (_, stored) = broker.get("/api/stream/events?key=chat").await;
    let data: Vec<Option<&str>> = stored
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event.get("data").and_then(Value::as_str))
        .collect();
    let wanted: Vec<Option<&str>> = std::iter::once(None)
        .chain(texts.iter().map(|text| Some(text.as_str())))
        .chain([None, None])
        .collect();
    assert!(data == wanted, "the list of events");

    let (events, code) = broker.ws("chat", &token, None).await.rest().await;
    let data: Vec<Option<&str>> = events
        .iter()
        .map(|event| event.get("data").and_then(Value::as_str))
        .collect();
    assert!(
        data == wanted && code == Some(1000),
        "the history over WebSocket"
    );

    let events = broker.sse("chat", &token, None).await.rest().await;
    assert_eq!(ids(&events).count(), wanted.len());
    for (event, wanted) in events.iter().zip(&wanted) {
        let wanted = wanted
            .unwrap_or_default()
            .replace("\r\n", "\n")
            .replace('\r', "\n");
        assert!(
            event.data == wanted,
            "over SSE: {:?}",
            &wanted[..wanted.len().min(40)]
        );
    }
}

async fn an_upload_carries_the_same_texts(broker: Broker) {
    let texts: Vec<String> = texts()
        .into_iter()
        .filter(|text| text.len() < 500_000)
        .collect();
    broker.create("chat").await;
    let lines: String = texts
        .iter()
        .map(|text| json!({"event": "x", "data": text}).to_string() + "\n")
        .collect();
    let request = broker
        .request(reqwest::Method::POST, "/api/event/add/json-stream?key=chat")
        .body(lines);
    let (_, summary) = crate::common::broker::answer(request).await;
    assert_eq!(
        (&summary["num_events"], &summary["num_errors"]),
        (&json!(texts.len()), &json!(0))
    );
    let (_, stored) = broker.get("/api/stream/events?key=chat").await;
    for (event, text) in stored.as_array().unwrap()[1..].iter().zip(&texts) {
        assert_eq!(event["data"].as_str(), Some(text.as_str()));
    }
}

async fn names_and_keys_in_any_script_are_unchanged(broker: Broker) {
    let (key, name) = ("клю/ч ?&#{}[]:*", "имя 😀 : x");
    let token = broker.create(key).await;
    broker
        .add(
            key,
            json!([{"event": name, "data": "x"}, {"event": " led by a space"}]),
        )
        .await;
    let mut subscriber = broker.sse(key, &token, None).await;
    let events = subscriber.take(3).await;
    assert_eq!(
        (events[1].event.as_str(), events[2].event.as_str()),
        (name, " led by a space")
    );
    let array = broker.ws(key, &token, None).await.next().await.unwrap();
    assert_eq!(array[1]["event"], name);
}

on_every_store!(
    data_is_unchanged_over_every_transport,
    an_upload_carries_the_same_texts,
    names_and_keys_in_any_script_are_unchanged
);

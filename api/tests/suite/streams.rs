//! Management: create, token, info, list, events, end, cancel.

use serde_json::json;

use crate::common::{Broker, Kind, assert_contiguous, broker, number};

async fn creating_a_stream_returns_urls_and_a_token(broker: Broker) {
    let before = chrono::Utc::now();
    let (status, access) = broker
        .post("/api/stream/", json!({"key": "a b/ü?&+%", "ttl": 60}))
        .await;
    assert_eq!(status, 200);
    let query = "key=a%20b%2F%C3%BC%3F%26%2B%25";
    assert_eq!(
        access["sse_url"],
        format!("http://localhost:8000/api/client/sse?{query}")
    );
    assert_eq!(
        access["ws_url"],
        format!("ws://localhost:8000/api/client/ws?{query}")
    );
    let expires_at =
        chrono::DateTime::parse_from_rfc3339(access["expires_at"].as_str().unwrap()).unwrap();
    let life = (expires_at.to_utc() - before).num_seconds();
    assert!((59..=61).contains(&life), "{life}");
    assert_eq!(access.as_object().unwrap().len(), 6);

    // The returned URL, with the token, opens the stream.
    let url = access["sse_url"]
        .as_str()
        .unwrap()
        .replace("http://localhost:8000", &broker.url);
    let response = broker
        .http
        .get(format!("{url}&token={}", access["token"].as_str().unwrap()))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
}

/// By RFC 3986, section 2.3, both forms mean the same, but callers compare URLs as strings.
async fn urls_do_not_encode_unreserved_characters(broker: Broker) {
    let (status, access) = broker
        .post("/api/stream/", json!({"key": "a-b_c.d~e!'()*"}))
        .await;
    assert_eq!(status, 200);
    let query = "key=a-b_c.d~e%21%27%28%29%2A";
    assert_eq!(
        access["sse_url"],
        format!("http://localhost:8000/api/client/sse?{query}")
    );
    assert_eq!(
        access["ws_url"],
        format!("ws://localhost:8000/api/client/ws?{query}")
    );
}

async fn a_collection_works_with_and_without_its_slash(broker: Broker) {
    broker.create_with(json!({"key": "one"})).await;
    let (status, _) = broker.post("/api/stream", json!({"key": "two"})).await;
    assert_eq!(status, 200);
    for path in [
        "/api/stream",
        "/api/stream/",
        "/api/stream?pattern=*",
        "/api/stream/?pattern=*",
    ] {
        let (status, rows) = broker.get(path).await;
        assert_eq!(
            (status.as_u16(), rows.as_array().unwrap().len()),
            (200, 2),
            "{path}"
        );
    }
}

async fn a_token_is_issued_for_a_stream_that_exists(broker: Broker) {
    let (status, error) = broker
        .post("/api/stream/token", json!({"key": "chat"}))
        .await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (404, &json!("no-active-stream"))
    );
    broker.create("chat").await;
    let (status, access) = broker
        .post("/api/stream/token", json!({"key": "chat", "ttl": 5}))
        .await;
    assert_eq!(status, 200);
    assert!(
        broker
            .sse("chat", access["token"].as_str().unwrap(), None)
            .await
            .next()
            .await
            .is_some()
    );
    broker.end("chat").await;
    let (status, access) = broker
        .post("/api/stream/token", json!({"key": "chat"}))
        .await;
    assert_eq!(status, 200, "its events can still be read");
    let events = broker
        .sse("chat", access["token"].as_str().unwrap(), None)
        .await
        .rest()
        .await;
    assert_eq!(events.last().unwrap().event, "end");
}

async fn info_describes_the_stream(broker: Broker) {
    let (status, error) = broker.get("/api/stream/info?key=chat").await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (404, &json!("stream-not-found"))
    );
    broker.create_with(json!({"key": "chat", "ttl": 100})).await;
    let ids = broker.add_events("chat", 0, 3).await;
    let (_, info) = broker.get("/api/stream/info?key=chat").await;
    assert_eq!(
        (&info["key"], &info["status"], &info["length"]),
        (&json!("chat"), &json!("active"), &json!(4))
    );
    assert_eq!(
        (&info["last_id"], number(info["first_id"].as_str().unwrap())),
        (&json!(ids[2]), 0)
    );
    assert!((98..=100).contains(&info["ttl"].as_u64().unwrap()));
    let created =
        chrono::DateTime::parse_from_rfc3339(info["created_at"].as_str().unwrap()).unwrap();
    assert_eq!(
        format!("{}-0", created.timestamp_millis()),
        info["first_id"].as_str().unwrap()
    );
    assert_eq!(
        (&info["clients"], &info["clients_total"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(info.as_object().unwrap().len(), 14);
    let (_, cancelled) = broker
        .post("/api/stream/cancel", json!({"key": "chat"}))
        .await;
    assert_eq!(cancelled, json!({"status": "cancelled"}));
    let (_, info) = broker.get("/api/stream/info?key=chat").await;
    assert_eq!(
        (&info["status"], &info["length"]),
        (&json!("cancelled"), &json!(5))
    );
}

async fn the_list_contains_matching_active_streams(broker: Broker) {
    for key in ["chat:1", "chat:2", "chat:30", "log[1]", "ende", "ü"] {
        broker.create(key).await;
    }
    broker.end("ende").await;
    let list = async |pattern: &str| -> Vec<String> {
        let query =
            percent_encoding::utf8_percent_encode(pattern, percent_encoding::NON_ALPHANUMERIC)
                .to_string();
        let (status, rows) = broker.get(&format!("/api/stream/?pattern={query}")).await;
        assert_eq!(status, 200, "{rows}");
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| row["key"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        list("*").await,
        ["chat:1", "chat:2", "chat:30", "log[1]", "ü"]
    );
    assert_eq!(list("chat:?").await, ["chat:1", "chat:2"]);
    assert_eq!(list("chat:[2-9]*").await, ["chat:2", "chat:30"]);
    assert_eq!(list("chat**").await, ["chat:1", "chat:2", "chat:30"]);
    assert_eq!(list("log[[]1]").await, ["log[1]"]);
    assert_eq!(list("chat:1").await, ["chat:1"]);
    assert_eq!(list("?").await, ["ü"]);
    for none in ["chat", "nothing", "ende", "{chat:1,ü}"] {
        assert!(list(none).await.is_empty(), "{none}");
    }
    let (_, rows) = broker.get("/api/stream?pattern=chat:1").await;
    let row = rows[0].as_object().unwrap();
    assert_eq!(
        (&row["status"], &row["length"], row.len()),
        (&json!("active"), &json!(1), 5)
    );
    assert!((1..=600).contains(&row["ttl"].as_u64().unwrap()));
    let (status, error) = broker.get("/api/stream?pattern=chat[").await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (400, &json!("invalid-pattern"))
    );
}

async fn stored_events_are_listed_with_their_times_also_after_the_end(broker: Broker) {
    let (status, _) = broker.get("/api/stream/events?key=chat").await;
    assert_eq!(status, 404);
    broker
        .create_with(json!({"key": "chat", "max_events": 5000}))
        .await;
    for batch in 0..3 {
        broker.add_events("chat", batch * 700, 700).await;
    }
    broker.add("chat", json!([{"event": "x"}])).await;
    broker.end("chat").await;
    let (_, events) = broker.get("/api/stream/events?key=chat").await;
    let events = events.as_array().unwrap();
    assert_eq!(events.len(), 2103);
    assert_contiguous(events.iter().map(|event| event["id"].as_str().unwrap()), 0);
    assert_eq!(events[2100]["data"], "2099");
    let last_but_one = events[2101].as_object().unwrap();
    assert!(!last_but_one.contains_key("data") && last_but_one.len() == 3);
    let time =
        chrono::DateTime::parse_from_rfc3339(last_but_one["time"].as_str().unwrap()).unwrap();
    assert!(
        last_but_one["id"]
            .as_str()
            .unwrap()
            .starts_with(&time.timestamp_millis().to_string())
    );
    assert_eq!(events[2102]["event"], "end");
}

async fn the_settings_of_a_new_stream_are_validated(broker: Broker) {
    let long = "k".repeat(257);
    let cases = [
        (json!({"key": ""}), "invalid-key"),
        (json!({"key": long}), "invalid-key"),
        (json!({"key": "a\nb"}), "invalid-key"),
        (json!({"key": "a\u{85}b"}), "invalid-key"),
        (json!({}), "invalid-request"),
        (json!({"key": 5}), "invalid-request"),
        (json!([]), "invalid-request"),
        (json!({"key": "k", "ttl": 0}), "invalid-request"),
        (json!({"key": "k", "ttl": 604_801}), "invalid-request"),
        (json!({"key": "k", "ttl": -1}), "invalid-request"),
        (json!({"key": "k", "ttl": 1.5}), "invalid-request"),
        (json!({"key": "k", "max_events": 0}), "invalid-request"),
        (
            json!({"key": "k", "max_events": 1_000_001}),
            "invalid-request",
        ),
    ];
    for (body, code) in cases {
        let (status, error) = broker.post("/api/stream/", body.clone()).await;
        assert_eq!(
            (status.as_u16(), error["code"].as_str()),
            (400, Some(code)),
            "{body}"
        );
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| message.len() > 10),
            "{error}"
        );
    }
    for body in [
        json!({"key": "é".repeat(128), "ttl": 604_800, "max_events": 1_000_000}),
        json!({"key": " ", "ttl": null}),
    ] {
        assert_eq!(broker.post("/api/stream/", body).await.0, 200);
    }
}

on_every_store!(
    creating_a_stream_returns_urls_and_a_token,
    urls_do_not_encode_unreserved_characters,
    a_collection_works_with_and_without_its_slash,
    a_token_is_issued_for_a_stream_that_exists,
    info_describes_the_stream,
    the_list_contains_matching_active_streams,
    stored_events_are_listed_with_their_times_also_after_the_end,
    the_settings_of_a_new_stream_are_validated,
);

#[tokio::test]
async fn subscribe_urls_use_the_public_address() {
    let broker = broker(Kind::Memory)
        .set("SERVER_ADDRESS", "https://events.example.com/broker/")
        .start()
        .await;
    let (_, access) = broker.post("/api/stream/", json!({"key": "k"})).await;
    assert_eq!(
        access["sse_url"],
        "https://events.example.com/broker/api/client/sse?key=k"
    );
    assert_eq!(
        access["ws_url"],
        "wss://events.example.com/broker/api/client/ws?key=k"
    );
}

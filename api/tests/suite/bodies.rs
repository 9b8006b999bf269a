//! Request bodies: the broker refuses compressed bodies and other character sets, skips a byte
//! order mark, and names members that an event does not have.

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{
    Kind, broker,
    broker::{API_KEY, answer},
    ws::Ws,
};

const BODY_ROUTES: [&str; 6] = [
    "/api/stream",
    "/api/stream/token",
    "/api/stream/end",
    "/api/stream/cancel",
    "/api/event/add",
    "/api/event/add/json-stream?key=chat",
];

#[tokio::test]
async fn every_route_refuses_a_body_that_is_not_plain_text() {
    let broker = broker(Kind::Memory).start().await;
    broker.create("chat").await;
    let bad = [
        ("Content-Encoding", "gzip", "\"gzip\""),
        ("Content-Encoding", "identity, br", "\"br\""),
        (
            "Content-Type",
            "application/json; charset=utf-16",
            "\"utf-16\"",
        ),
        (
            "Content-Type",
            "text/plain; charset=\"ISO-8859-1\"",
            "ISO-8859-1",
        ),
    ];
    for path in BODY_ROUTES {
        for (header, value, named) in bad {
            let (status, error) = answer(
                broker
                    .request(Method::POST, path)
                    .header(header, value)
                    .body("{}"),
            )
            .await;
            assert_eq!(
                (status.as_u16(), &error["code"]),
                (415, &json!("unsupported-media-type")),
                "{path} {value} {error}"
            );
            assert!(
                error["message"].as_str().unwrap().contains(named),
                "{error}"
            );
        }
    }
    let line = r#"{"event":"a"}"#;
    for (header, value) in [
        ("Content-Encoding", "identity"),
        ("Content-Encoding", ""),
        ("Content-Type", "application/json; charset=UTF-8"),
        ("Content-Type", "text/plain; charset=us-ascii"),
        ("Content-Type", "image/png"),
        ("Content-Type", "nonsense"),
    ] {
        let request = broker
            .request(Method::POST, BODY_ROUTES[5])
            .header(header, value)
            .body(line);
        assert_eq!(answer(request).await.1["num_events"], 1, "{value}");
    }
}

#[tokio::test]
async fn a_byte_order_mark_is_skipped() {
    let broker = broker(Kind::Memory).start().await;
    let post = async |path: &str, body: &str| {
        answer(
            broker
                .request(Method::POST, path)
                .body(format!("\u{feff}{body}")),
        )
        .await
    };
    assert_eq!(post("/api/stream", r#"{"key":"chat"}"#).await.0, 200);
    assert_eq!(
        post(
            "/api/event/add",
            r#"{"key":"chat","events":[{"event":"a"}]}"#
        )
        .await
        .1["num_events"],
        1
    );
    let (_, summary) = post(
        BODY_ROUTES[5],
        "{\"event\":\"b\"}\n\u{feff}{\"event\":\"c\"}\n",
    )
    .await;
    assert_eq!(
        (&summary["num_events"], &summary["num_errors"]),
        (&json!(2), &json!(0)),
        "{summary}"
    );
    let (_, summary) = post(BODY_ROUTES[5], "\n").await;
    assert_eq!(
        (&summary["num_events"], &summary["num_errors"]),
        (&json!(0), &json!(0)),
        "a line with only a mark is blank, too"
    );
    let url = format!(
        "{}/api/event/add/ws-stream?key=chat",
        broker.url.replacen("http", "ws", 1)
    );
    let mut producer = Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap();
    producer.send("\u{feff}{\"event\":\"d\"}").await;
    assert_eq!(producer.next().await.unwrap()["type"], "success");
    // Inside the data a byte order mark is a character like any other.
    let ids = broker
        .add("chat", json!([{"event": "e", "data": "\u{feff}x"}]))
        .await;
    let (_, events) = broker.get("/api/stream/events?key=chat").await;
    let last = events.as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["id"], &last["data"]),
        (&json!(ids[0]), &json!("\u{feff}x"))
    );
}

#[tokio::test]
async fn unknown_members_of_an_event_are_named() {
    let broker = broker(Kind::Memory).start().await;
    broker.create("chat").await;
    let batch = async |events: Value| {
        broker
            .post("/api/event/add", json!({"key": "chat", "events": events}))
            .await
            .1
    };
    assert!(
        batch(json!([{"event": "a", "data": {"id": 1}}]))
            .await
            .get("ignored")
            .is_none()
    );
    // These objects are written in the order of their names.
    let events = json!([
        {"event": "a", "id": 7, "comment": {"event": "b"}},
        {"id": 8, "event": "c"},
        {"event": "d", "Data": "x"},
    ]);
    assert_eq!(
        batch(events).await["ignored"],
        json!(["comment", "id", "Data"])
    );

    let lines = "{\"event\":\"a\",\"id\":1}\nbad\n{\"retry\":3,\"event\":\"b\"}\n";
    let (_, summary) = answer(broker.request(Method::POST, BODY_ROUTES[5]).body(lines)).await;
    assert_eq!(
        (&summary["num_events"], &summary["ignored"]),
        (&json!(2), &json!(["id", "retry"]))
    );

    let url = format!(
        "{}/api/event/add/ws-stream?key=chat",
        broker.url.replacen("http", "ws", 1)
    );
    let mut producer = Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap();
    producer.send(r#"{"event":"a","id":1}"#).await;
    producer.send(r#"{"event":"b"}"#).await;
    assert_eq!(producer.next().await.unwrap()["ignored"], json!(["id"]));
    assert!(
        producer.next().await.unwrap().get("ignored").is_none(),
        "each answer belongs to its own message"
    );
}

#[tokio::test]
async fn the_list_of_ignored_members_is_bounded() {
    let broker = broker(Kind::Memory).start().await;
    broker.create("chat").await;
    let many: serde_json::Map<String, Value> = (0..40)
        .map(|n| (format!("{n:02}{}", "é".repeat(5_000)), json!(n)))
        .collect();
    let event = |from: usize| {
        let members = many
            .iter()
            .skip(from)
            .take(20)
            .map(|(name, value)| (name.clone(), value.clone()));
        Value::Object(members.chain([("event".to_owned(), json!("a"))]).collect())
    };
    let (_, added) = broker
        .post(
            "/api/event/add",
            json!({"key": "chat", "events": [event(0), event(20)]}),
        )
        .await;
    let (_, summary) = answer(broker.request(Method::POST, BODY_ROUTES[5]).body(format!(
        "{}\n{}",
        event(0),
        event(20)
    )))
    .await;
    for answer in [added, summary] {
        let names: Vec<String> = serde_json::from_value(answer["ignored"].clone()).unwrap();
        assert_eq!((names.len(), &answer["num_events"]), (16, &json!(2)));
        assert!(
            names
                .iter()
                .all(|name| name.len() <= 64 && name.contains("10002 bytes")),
            "{names:?}"
        );
    }
}

#[tokio::test]
async fn a_strict_request_refuses_unknown_members_of_an_event() {
    let broker = broker(Kind::Memory).start().await;
    broker.create("chat").await;
    let events = json!({"key": "chat", "events": [{"event": "a"}, {"event": "b", "id": 1}]});
    let (status, error) = broker
        .post("/api/event/add?strict=true", events.clone())
        .await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (400, &json!("invalid-event"))
    );
    assert!(
        ["events[1]", "\"id\""]
            .iter()
            .all(|part| error["message"].as_str().unwrap().contains(part)),
        "{error}"
    );
    assert_eq!(
        broker.get("/api/stream/info?key=chat").await.1["length"],
        1,
        "nothing is written"
    );
    assert_eq!(
        broker.post("/api/event/add?strict=false", events).await.0,
        200
    );

    let lines = "{\"event\":\"a\"}\n{\"event\":\"b\",\"id\":1}\n{\"event\":\"c\"}\n";
    let (_, summary) = answer(
        broker
            .request(Method::POST, &format!("{}&strict=true", BODY_ROUTES[5]))
            .body(lines),
    )
    .await;
    assert_eq!(
        (&summary["num_events"], &summary["num_errors"]),
        (&json!(2), &json!(1))
    );
    let error_line = summary["errors"][0].as_str().unwrap();
    assert!(
        error_line.starts_with("line 2: ")
            && error_line.contains("\"id\"")
            && summary.get("ignored").is_none(),
        "{summary}"
    );

    let url = format!(
        "{}/api/event/add/ws-stream?key=chat&strict=true",
        broker.url.replacen("http", "ws", 1)
    );
    let mut producer = Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap();
    producer.send(r#"{"event":"a","id":1}"#).await;
    producer.send(r#"{"event":"b"}"#).await;
    let refused = producer.next().await.unwrap();
    assert_eq!(
        (&refused["type"], &refused["code"]),
        (&json!("error"), &json!("invalid-event")),
        "{refused}"
    );
    assert_eq!(producer.next().await.unwrap()["type"], "success");

    let (status, error) = broker
        .post(
            "/api/event/add?strict=yes",
            json!({"key": "chat", "events": []}),
        )
        .await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (400, &json!("invalid-parameter"))
    );
}

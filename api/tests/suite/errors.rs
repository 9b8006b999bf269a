//! Every error is JSON with a code.

use reqwest::Method;
use serde_json::json;

use crate::common::{
    Broker, Kind, broker,
    broker::{API_KEY, answer},
    ws::Ws,
};

async fn every_error_is_json_with_a_code_and_a_sentence(broker: Broker) {
    broker.create("there").await;
    let cases: [(Method, &str, &str, u16, &str); 18] = [
        (Method::GET, "/", "", 404, "not-found"),
        (Method::GET, "/nope", "", 404, "not-found"),
        (Method::GET, "/api", "", 404, "not-found"),
        (Method::GET, "/api/nope/", "", 404, "not-found"),
        (Method::POST, "/api/stream/none", "{}", 404, "not-found"),
        (
            Method::DELETE,
            "/api/stream/",
            "",
            405,
            "method-not-allowed",
        ),
        (
            Method::PUT,
            "/api/event/add",
            "{}",
            405,
            "method-not-allowed",
        ),
        (
            Method::POST,
            "/api/client/sse",
            "",
            405,
            "method-not-allowed",
        ),
        (Method::POST, "/api/stream/", "", 400, "malformed-json"),
        (
            Method::POST,
            "/api/stream/",
            "{\"key\":",
            400,
            "malformed-json",
        ),
        (
            Method::POST,
            "/api/stream/",
            "{\"key\":\"k\"} x",
            400,
            "malformed-json",
        ),
        (
            Method::POST,
            "/api/stream/",
            "\"text\"",
            400,
            "invalid-request",
        ),
        (
            Method::POST,
            "/api/stream/",
            "[\"new\",60,100]",
            400,
            "invalid-request",
        ),
        (
            Method::POST,
            "/api/event/add",
            "{\"key\":\"k\"}",
            400,
            "invalid-request",
        ),
        (
            Method::POST,
            "/api/event/add",
            "[\"there\",[]]",
            400,
            "invalid-request",
        ),
        (
            Method::POST,
            "/api/event/add",
            "{\"key\":\"there\",\"events\":[[\"token\"]]}",
            400,
            "invalid-request",
        ),
        (
            Method::GET,
            "/api/event/add/ws-stream?key=there",
            "",
            426,
            "upgrade-required",
        ),
        (
            Method::GET,
            "/api/stream/info",
            "",
            400,
            "missing-parameter",
        ),
    ];
    for (method, path, body, status, code) in cases {
        let response = broker
            .request(method.clone(), path)
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status, "{method} {path} {body}");
        assert_eq!(response.headers()["content-type"], "application/json");
        let error: serde_json::Value =
            serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(
            (error["code"].as_str(), error.as_object().unwrap().len()),
            (Some(code), 2),
            "{method} {path} {error}"
        );
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| message.contains(' ') && !message.contains('<'))
        );
    }
}

#[tokio::test]
async fn no_message_repeats_a_long_input() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("chat").await;
    let long = "x".repeat(900_000);
    let bodies = [
        ("/api/stream", json!({"key": "other", "ttl": long})),
        ("/api/stream", json!({"key": long})),
        ("/api/stream/token", json!({"key": "chat", "wait": long})),
        (
            "/api/event/add",
            json!({"key": "chat", "events": [{"event": {"a": long}}]}),
        ),
        ("/api/event/add", json!({"key": "chat", "events": long})),
        (
            "/api/event/add",
            json!({"key": "chat", "events": [], "sequence": long}),
        ),
    ];
    for (path, body) in bodies {
        let (status, error) = broker.post(path, body).await;
        assert!(
            status.is_client_error() && error["message"].as_str().unwrap().len() <= 2_048,
            "{path}: {} bytes",
            error.to_string().len()
        );
    }
    let in_query = "x".repeat(8_000);
    for query in [
        format!("wait={in_query}"),
        format!("from={in_query}"),
        format!("last_event_id={in_query}"),
        format!("events={in_query}"),
    ] {
        let (status, error) = answer(broker.http.get(format!(
            "{}/api/client/poll?key=chat&token={token}&{query}",
            broker.url
        )))
        .await;
        assert!(
            status.is_client_error() && error["message"].as_str().unwrap().len() <= 2_048,
            "{error}"
        );
    }
    let lines = format!("{}\n", json!(long)).repeat(10);
    let (_, summary) = answer(
        broker
            .request(Method::POST, "/api/event/add/json-stream?key=chat")
            .body(lines),
    )
    .await;
    assert_eq!(summary["num_errors"], 10);
    for error in summary["errors"].as_array().unwrap() {
        let error = error.as_str().unwrap();
        assert!(
            error.len() <= 512 && error.ends_with("bytes in all)"),
            "{error}"
        );
    }
    let url = format!(
        "{}/api/event/add/ws-stream?key=chat",
        broker.url.replacen("http", "ws", 1)
    );
    let mut producer = Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap();
    producer.send(json!(long).to_string()).await;
    let error = producer.next().await.unwrap();
    assert!(error["message"].as_str().unwrap().len() <= 2_048);
}

on_every_store!(every_error_is_json_with_a_code_and_a_sentence,);

#[tokio::test]
async fn every_retryable_error_has_a_retry_after_header() {
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", "redis://127.0.0.1:1")
        .start()
        .await;
    assert_eq!(
        broker
            .http
            .get(format!("{}/api/health", broker.url))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    for (method, path, body) in [
        (Method::GET, "/api/ready", json!(null)),
        (Method::GET, "/api/stream", json!(null)),
        (Method::GET, "/api/stream/info?key=k", json!(null)),
        (Method::POST, "/api/stream", json!({"key": "k"})),
        (
            Method::POST,
            "/api/event/add",
            json!({"key": "k", "events": [{"event": "x"}]}),
        ),
    ] {
        let response = broker
            .request(method, path)
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        assert!(response.headers().contains_key("retry-after"), "{path}");
        assert_eq!(response.status(), 503, "{path}");
        let text = response.text().await.unwrap();
        assert!(
            text.contains("store-unavailable")
                && !text.contains("refused")
                && !text.contains("127.0.0.1"),
            "{text}"
        );
    }
    let (status, _) = answer(broker.request(Method::GET, "/api/info")).await;
    assert_eq!(status, 200);
}

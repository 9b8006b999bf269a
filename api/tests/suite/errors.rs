//! Every error is JSON with a code, and the broker follows the rules of HTTP.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{
    Broker, Kind, broker,
    broker::{API_KEY, answer},
    within,
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

async fn a_wrong_method_receives_the_allowed_ones(broker: Broker) {
    for (path, allow) in [
        ("/api/stream", "GET, HEAD, OPTIONS, POST"),
        ("/api/stream/", "GET, HEAD, OPTIONS, POST"),
        ("/api/event/add", "OPTIONS, POST"),
    ] {
        let response = broker.request(Method::PATCH, path).send().await.unwrap();
        assert_eq!(
            (
                response.status().as_u16(),
                response.headers()["allow"].to_str().unwrap()
            ),
            (405, allow)
        );
        let response = broker.request(Method::OPTIONS, path).send().await.unwrap();
        assert_eq!(
            (
                response.status().as_u16(),
                response.headers()["allow"].to_str().unwrap()
            ),
            (204, allow)
        );
    }
}

async fn broken_http_receives_json_or_nothing(broker: Broker) {
    for request in [
        "GET /api/health HTTP/1.1\r\nHost: x\r\nContent-Length: no\r\n\r\n",
        "GET /%%% HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let mut socket = tokio::net::TcpStream::connect(broker.url.trim_start_matches("http://"))
            .await
            .unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        within(socket.read_to_end(&mut bytes)).await.unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        assert!(head.is_empty() || head.starts_with("HTTP/1.1 4"), "{text}");
        assert!(
            body.is_empty() || serde_json::from_str::<serde_json::Value>(body.trim()).is_ok(),
            "{text}"
        );
    }
}

async fn an_unknown_method_receives_the_allowed_ones(broker: Broker) {
    for (path, allow) in [
        ("/api/stream", "GET, HEAD, OPTIONS, POST"),
        ("/api/stream/?a=b", "GET, HEAD, OPTIONS, POST"),
    ] {
        for method in ["PROPFIND", "QUERY", "FOO"] {
            let response = broker
                .request(Method::from_bytes(method.as_bytes()).unwrap(), path)
                .body("{}")
                .send()
                .await
                .unwrap();
            assert_eq!(
                (
                    response.status().as_u16(),
                    response.headers()["allow"].to_str().unwrap()
                ),
                (405, allow),
                "{method} {path}"
            );
            assert_eq!(
                response.json::<Value>().await.unwrap()["code"],
                "method-not-allowed"
            );
        }
    }
    let unknown = broker.request(Method::from_bytes(b"FOO").unwrap(), "/api/nope");
    assert_eq!(answer(unknown).await.0, 404);
}

/// Sends these bytes, and reads until the broker closes the connection.
async fn until_closed(broker: &Broker, bytes: &[u8]) -> Vec<u8> {
    let mut socket = tokio::net::TcpStream::connect(broker.url.trim_start_matches("http://"))
        .await
        .unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset also closes the connection, where bytes were left unread.
    let _ = within(socket.read_to_end(&mut answer)).await;
    answer
}

/// Rocket cannot limit the streams and the buffers of an HTTP/2 connection.
#[tokio::test]
async fn http_2_is_not_supported() {
    let broker = broker(Kind::Memory).start().await;
    // The preface of RFC 9113, section 3.4, and an empty SETTINGS frame. A server with HTTP/2 would
    // answer with its own frame and keep the connection open.
    let preface = until_closed(
        &broker,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    )
    .await;
    let text = String::from_utf8_lossy(&preface);
    assert!(
        text.is_empty() || text.starts_with("HTTP/1.1 400") || text.starts_with("HTTP/1.1 505"),
        "{text:?}"
    );
    // RFC 7540, section 3.2: an offer that a server may ignore.
    let offer = "GET /api/health HTTP/1.1\r\nHost: x\r\n\
         Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let text = String::from_utf8(until_closed(&broker, offer.as_bytes()).await).unwrap();
    assert!(
        text.starts_with("HTTP/1.1 200") && text.ends_with("OK"),
        "{text:?}"
    );
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

async fn a_request_keeps_its_request_id_or_receives_a_new_one(broker: Broker) {
    let id = async |given: Option<&str>| {
        let mut request = broker.http.get(format!("{}/api/health", broker.url));
        if let Some(given) = given {
            request = request.header("X-Request-Id", given);
        }
        request.send().await.unwrap().headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_ne!(id(None).await, id(None).await);
    assert_eq!(id(Some("from-the-proxy.1_2")).await, "from-the-proxy.1_2");
    assert_ne!(id(Some("harm ful")).await, "harm ful");
    let headers = broker
        .request(Method::GET, "/api/info")
        .send()
        .await
        .unwrap()
        .headers()
        .clone();
    assert_eq!(headers["x-content-type-options"], "nosniff");
}

async fn every_origin_is_allowed_by_default(broker: Broker) {
    let token = broker.create("chat").await;
    let paths = [
        "/api/client/sse?key=chat",
        "/api/client/ws",
        "/api/stream",
        "/api/stream/",
        "/api/stream/end",
        "/api/event/add",
        "/api/event/add/json-stream?key=chat",
    ];
    for path in paths {
        let preflight = broker
            .http
            .request(Method::OPTIONS, format!("{}{path}", broker.url))
            .header("Origin", "https://app.example.com");
        let preflight = preflight
            .header("Access-Control-Request-Method", "POST")
            .header(
                "Access-Control-Request-Headers",
                "authorization,x-api-key,last-event-id,content-type",
            );
        let response = preflight.send().await.unwrap();
        assert!(response.status().is_success(), "{path}");
        let headers = response.headers();
        assert_eq!(headers["access-control-allow-origin"], "*");
        let allowed = headers["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .to_ascii_lowercase();
        assert!(
            [
                "authorization",
                "content-type",
                "last-event-id",
                "x-api-key"
            ]
            .iter()
            .all(|name| allowed.contains(name)),
            "{allowed}"
        );
        assert!(
            headers["access-control-allow-methods"]
                .to_str()
                .unwrap()
                .contains("POST")
        );
    }
    let response = broker
        .http
        .get(broker.subscribe_url("sse", "chat", &token, None))
        .header("Origin", "https://x.example")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let response = broker
        .http
        .get(format!("{}/api/info", broker.url))
        .header("Origin", "https://x.example")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()["access-control-allow-origin"].as_bytes()
        ),
        (401, &b"*"[..]),
        "errors can be read too"
    );
}

on_every_store!(
    every_error_is_json_with_a_code_and_a_sentence,
    a_wrong_method_receives_the_allowed_ones,
    an_unknown_method_receives_the_allowed_ones,
    broken_http_receives_json_or_nothing,
    a_request_keeps_its_request_id_or_receives_a_new_one,
    every_origin_is_allowed_by_default,
);

#[tokio::test]
async fn only_configured_origins_are_allowed() {
    let broker = broker(Kind::Memory)
        .set(
            "ALLOWED_ORIGINS",
            "https://app.example.com, http://localhost:3000",
        )
        .start()
        .await;
    let allowed = async |origin: &str| {
        let response = broker
            .http
            .get(format!("{}/api/health", broker.url))
            .header("Origin", origin)
            .send()
            .await
            .unwrap();
        assert_eq!(response.headers()["vary"], "Origin");
        response
            .headers()
            .get("access-control-allow-origin")
            .map(|value| value.to_str().unwrap().to_owned())
    };
    for origin in ["https://app.example.com", "http://localhost:3000"] {
        assert_eq!(allowed(origin).await.as_deref(), Some(origin));
    }
    for origin in [
        "http://app.example.com",
        "https://app.example.com.evil.com",
        "https://evil.com",
        "null",
        "http://localhost:30000",
    ] {
        assert_eq!(allowed(origin).await, None, "{origin}");
    }
    let preflight = broker
        .http
        .request(Method::OPTIONS, format!("{}/api/stream", broker.url))
        .header("Origin", "https://evil.com");
    let response = preflight
        .header("Access-Control-Request-Method", "POST")
        .send()
        .await
        .unwrap();
    assert!(
        !response
            .headers()
            .contains_key("access-control-allow-origin")
            && !response
                .headers()
                .contains_key("access-control-allow-headers")
    );
}

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

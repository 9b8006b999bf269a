//! Cross-origin requests.

use reqwest::Method;

use crate::common::{Broker, Kind, broker};

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

on_every_store!(every_origin_is_allowed_by_default,);

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

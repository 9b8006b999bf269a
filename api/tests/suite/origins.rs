//! A page opens a WebSocket only from an allowed origin.

use crate::common::{Kind, broker, broker::API_KEY, ws::Ws};

/// The response to a WebSocket handshake from a page of this origin: 101, or the status and code of
/// the refusal.
async fn upgraded_for(url: &str, origin: Option<&str>) -> (u16, String) {
    let headers: Vec<_> = origin
        .map(|origin| ("Origin", origin))
        .into_iter()
        .chain([("X-API-KEY", API_KEY)])
        .collect();
    match Ws::connect(url, &headers).await {
        Ok(_) => (101, String::new()),
        Err((status, error)) => (status, error["code"].as_str().unwrap().to_owned()),
    }
}

#[tokio::test]
async fn a_page_opens_websockets_only_from_allowed_origins_and_the_brokers_own() {
    let setup = broker(Kind::Memory).set("ALLOWED_ORIGINS", "https://app.example.com");
    let broker = setup
        .set("SERVER_ADDRESS", "https://stream.example.com:8443/broker")
        .start()
        .await;
    let token = broker.create("chat").await;
    let producer = format!(
        "{}/api/event/add/ws-stream?key=chat",
        broker.url.replacen("http", "ws", 1)
    );
    let forbidden = (403, "forbidden".to_owned());
    for url in [broker.subscribe_url("ws", "chat", &token, None), producer] {
        let console = broker.url.clone();
        for good in [
            None,
            Some("https://app.example.com"),
            Some("HTTPS://stream.example.com:8443"),
            Some(&*console),
        ] {
            assert_eq!(upgraded_for(&url, good).await.0, 101, "{good:?}");
        }
        let of_a_longer_name = format!("{console}.example.com");
        for bad in [
            "https://evil.example",
            "null",
            "https://stream.example.com",
            "http://app.example.com",
            "",
            &of_a_longer_name,
        ] {
            assert_eq!(upgraded_for(&url, Some(bad)).await, forbidden, "{bad}");
        }
    }
    // A subscriber without access to the stream receives that error first.
    assert_eq!(
        upgraded_for(
            &broker.subscribe_url("ws", "chat", "forged", None),
            Some("https://evil.example")
        )
        .await
        .0,
        401
    );
}

#[tokio::test]
async fn a_page_of_any_origin_opens_websockets_by_default() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("chat").await;
    let url = broker.subscribe_url("ws", "chat", &token, None);
    assert_eq!(upgraded_for(&url, Some("https://any.example")).await.0, 101);
}

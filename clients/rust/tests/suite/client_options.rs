//! Clients with options.

use std::time::Duration;

use serde_json::json;
use tinistreamer_client::Client;

use crate::common::{API_KEY, Broker, Response, Routes, healthy, within};

#[tokio::test]
async fn a_client_uses_the_callers_http_client_and_sends_the_api_key_with_each_request() {
    let routes = Routes::start(|request| {
        if request.contains("GET /api/streams") || request.contains("/api/stream?") {
            Response::json(&json!([]))
        } else {
            healthy(request)
        }
    })
    .await;
    let http = reqwest::Client::builder()
        .user_agent("mine")
        .build()
        .unwrap();
    let client = Client::builder(&routes.url, API_KEY)
        .http_client(http)
        .build()
        .unwrap();
    client.renew_stream("k").await.unwrap();
    client.end_stream("k").await.unwrap();
    let mut writer = client.publish("k").start().unwrap();
    let _token = writer.stop_token();
    writer.write("token", "a").await.unwrap();
    within(writer.flush()).await.unwrap();
    routes.until_requests("/api/stream/signals", 1).await;
    within(writer.finish()).await.unwrap();
    let requests = routes.requests("/api/");
    assert!(requests.len() >= 5);
    let api_key = format!("x-api-key: {API_KEY}\r\n");
    for request in requests {
        assert_eq!(request.matches(&api_key).count(), 1, "{request}");
        assert!(request.contains("user-agent: mine\r\n"), "{request}");
    }
}

#[tokio::test]
async fn a_call_fails_after_the_timeout_of_the_client() {
    let routes = Routes::start(|_| Response::ThenSilence(String::new())).await;
    for http in [None, Some(reqwest::Client::new())] {
        let mut builder = Client::builder(&routes.url, API_KEY);
        if let Some(http) = http {
            builder = builder.http_client(http);
        }
        let client = builder.timeout(Duration::from_millis(50)).build().unwrap();
        let error = within(client.stream_info("k")).await.unwrap_err();
        assert_eq!(error.code(), "unreachable");
    }
}

#[tokio::test]
async fn the_timeout_of_calls_does_not_end_the_wait_for_signals() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let client = Client::builder(&broker.url, API_KEY)
        .timeout(Duration::from_millis(500))
        .build()
        .unwrap();
    let writer = client.publish("k").start().unwrap();
    let token = writer.stop_token();
    tokio::time::sleep(Duration::from_secs(1)).await;
    broker.client().send_signal("k", "stop").await.unwrap();
    within(token.cancelled()).await;
    within(writer.cancel()).await.unwrap();
}

#[test]
fn no_api_key_is_shown() {
    let builder = Client::builder("http://host", API_KEY);
    assert!(!format!("{builder:?}").contains(API_KEY));
    let client = builder.http_client(reqwest::Client::new()).build().unwrap();
    assert!(!format!("{client:?}").contains(API_KEY));
}

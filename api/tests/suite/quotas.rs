//! The quota of active streams of an API key.

use reqwest::StatusCode;
use serde_json::json;

use crate::common::{Kind, broker, broker::API_KEY, until};

async fn an_api_key_creates_no_more_active_streams_than_its_quota(kind: Kind) {
    let other = "other-key-0123456789";
    let broker = broker(kind)
        .set("API_KEY", format!("{API_KEY},{other}"))
        .set("MAX_STREAMS_PER_KEY", 2)
        .start()
        .await;
    let elsewhere = broker.another_node().await;
    let create = async |key: &str| broker.post("/api/stream", json!({"key": key})).await;
    assert_eq!(
        (create("a").await.0, create("b").await.0),
        (StatusCode::OK, StatusCode::OK)
    );
    assert_eq!(
        create("a").await.1["code"],
        "existing-stream",
        "it is not an additional one"
    );
    let (status, error) = create("c").await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("too-many-streams")),
        "{error}"
    );
    let of_another = broker
        .http
        .post(format!("{}/api/stream", broker.url))
        .header("X-API-KEY", other)
        .json(&json!({"key": "d"}));
    assert_eq!(
        of_another.send().await.unwrap().status(),
        StatusCode::OK,
        "each key has its own"
    );

    // A stream that ends stops counting. The broker checks this once a second.
    let there = if kind == Kind::Memory {
        &broker
    } else {
        &elsewhere
    };
    there.end("a").await;
    until("the quota is free again", async || {
        create("c").await.0 == StatusCode::OK
    })
    .await;
    assert_eq!(create("e").await.0, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        broker.post("/api/stream/end", json!({"key": "c"})).await.0,
        StatusCode::OK
    );
    assert_eq!(
        create("c").await.0,
        StatusCode::OK,
        "a stream that replaces its own finished one takes no further quota"
    );
    assert!(broker.metrics().await.get("streams_refused_total") >= 2);
}

#[tokio::test]
async fn an_api_key_creates_no_more_active_streams_than_its_quota_in_memory() {
    an_api_key_creates_no_more_active_streams_than_its_quota(Kind::Memory).await;
}

#[tokio::test]
async fn an_api_key_creates_no_more_active_streams_than_its_quota_in_redis() {
    an_api_key_creates_no_more_active_streams_than_its_quota(Kind::Exclusive).await;
}

#[tokio::test]
async fn a_failed_create_with_another_api_key_frees_no_quota() {
    let other = "other-key-0123456789";
    let broker = broker(Kind::Memory)
        .set("API_KEY", format!("{API_KEY},{other}"))
        .set("MAX_STREAMS_PER_KEY", 1)
        .start()
        .await;
    broker.create("a").await;
    let of_another = broker
        .http
        .post(format!("{}/api/stream", broker.url))
        .header("X-API-KEY", other)
        .json(&json!({"key": "a"}));
    assert_eq!(
        of_another.send().await.unwrap().status(),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        broker.post("/api/stream", json!({"key": "b"})).await.0,
        StatusCode::TOO_MANY_REQUESTS
    );
}

#[tokio::test]
async fn every_inactive_stream_frees_its_quota() {
    let broker = broker(Kind::Memory)
        .set("MAX_STREAMS_PER_KEY", 300)
        .start()
        .await;
    for n in 0..300 {
        broker.create(&format!("s{n}")).await;
    }
    // The active streams are among the inactive ones in the index.
    for n in (0..300).filter(|n| n % 3 != 0) {
        broker.end(&format!("s{n}")).await;
    }
    for n in 0..200 {
        broker.create(&format!("t{n}")).await;
    }
    assert_eq!(
        broker.post("/api/stream", json!({"key": "u"})).await.0,
        StatusCode::TOO_MANY_REQUESTS
    );
}

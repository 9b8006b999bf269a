//! Limits on the number of subscribers.

use serde_json::{Value, json};

use crate::common::{Broker, Kind, broker, within, ws::Ws};

/// Follows a stream over SSE, as a proxy that forwards a subscriber's address.
async fn follow_for(
    broker: &Broker,
    key: &str,
    token: &str,
    address: Option<&str>,
) -> reqwest::Response {
    let request = broker
        .http
        .get(broker.subscribe_url("sse", key, token, None));
    let request = if let Some(address) = address {
        request.header("X-Real-IP", address)
    } else {
        request
    };
    within(request.send()).await.unwrap()
}

async fn refused(response: reqwest::Response) -> String {
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("retry-after"));
    let error: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(error["code"], "too-many-clients");
    error["message"].as_str().unwrap().to_owned()
}

async fn a_stream_refuses_subscribers_beyond_its_limit(kind: Kind) {
    let broker = broker(kind)
        .set("MAX_CLIENTS_PER_STREAM", 2)
        .set("HEARTBEAT", 3600)
        .start()
        .await;
    let (token, other) = (broker.create("chat").await, broker.create("other").await);
    let first = follow_for(&broker, "chat", &token, None).await;
    let mut second = broker.ws("chat", &token, None).await;
    second.next().await.unwrap();
    let message = refused(follow_for(&broker, "chat", &token, None).await).await;
    assert!(
        message.contains("2 places") && message.contains("stream"),
        "{message}"
    );
    let (status, error) = Ws::connect(&broker.subscribe_url("ws", "chat", &token, None), &[])
        .await
        .err()
        .unwrap();
    assert_eq!((status, &error["code"]), (429, &json!("too-many-clients")));
    for transport in ["sse", "ws"] {
        let series =
            format!("clients_refused_total{{reason=\"stream\",transport=\"{transport}\"}}");
        assert_eq!(broker.metrics().await.get(&series), 1);
    }
    assert_eq!(
        follow_for(&broker, "other", &other, None).await.status(),
        200,
        "another stream"
    );
    // No heartbeat is due for an hour. Only the admission of a new subscriber detects that another
    // has left.
    drop((first, second));
    let again = [
        follow_for(&broker, "chat", &token, None).await,
        follow_for(&broker, "chat", &token, None).await,
    ];
    assert!(again.iter().all(|response| response.status() == 200));
}

async fn an_address_opens_no_more_connections_than_its_limit(kind: Kind) {
    let setup = broker(kind)
        .set("MAX_CLIENTS_PER_ADDRESS", 2)
        .set("CLIENT_IP_HEADER", "X-Real-IP")
        .set("HEARTBEAT", 3600);
    let broker = setup.start().await;
    let (token, other) = (broker.create("chat").await, broker.create("other").await);
    let subscribers = [
        follow_for(&broker, "chat", &token, Some("192.0.2.1")).await,
        follow_for(&broker, "other", &other, Some("192.0.2.1")).await,
        follow_for(&broker, "chat", &token, Some("2001:db8::1")).await,
        follow_for(&broker, "chat", &token, Some("2001:db8::ffff:0:0:2")).await,
        follow_for(&broker, "chat", &token, Some("192.0.2.2")).await,
    ];
    assert!(subscribers.iter().all(|response| response.status() == 200));
    for address in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::3"] {
        let message = refused(follow_for(&broker, "chat", &token, Some(address)).await).await;
        assert!(
            message.contains("2 places") && message.contains("address"),
            "{message}"
        );
    }
    assert_eq!(
        broker
            .metrics()
            .await
            .get(r#"clients_refused_total{reason="address",transport="sse"}"#),
        3
    );
    assert_eq!(
        follow_for(&broker, "chat", &token, Some("2001:db8:0:1::1"))
            .await
            .status(),
        200,
        "another network"
    );
    drop(subscribers);
    assert_eq!(
        follow_for(&broker, "chat", &token, Some("192.0.2.1"))
            .await
            .status(),
        200
    );
}

async fn a_stream_keeps_its_limit_when_many_subscribe_at_once(kind: Kind) {
    let broker = broker(kind).set("MAX_CLIENTS_PER_STREAM", 5).start().await;
    let token = broker.create("chat").await;
    let answers =
        futures::future::join_all((0..40).map(|_| follow_for(&broker, "chat", &token, None))).await;
    assert_eq!(
        answers
            .iter()
            .filter(|response| response.status() == 200)
            .count(),
        5
    );
    assert_eq!(broker.permits_in_use().await, 5);
}

over_each_kind!(
    a_stream_refuses_subscribers_beyond_its_limit,
    an_address_opens_no_more_connections_than_its_limit,
    a_stream_keeps_its_limit_when_many_subscribe_at_once,
);

#[tokio::test]
async fn a_forged_address_header_is_ignored() {
    let broker = broker(Kind::Memory)
        .set("MAX_CLIENTS_PER_ADDRESS", 1)
        .start()
        .await;
    let token = broker.create("chat").await;
    let first = follow_for(&broker, "chat", &token, Some("192.0.2.1")).await;
    assert_eq!(first.status(), 200);
    refused(follow_for(&broker, "chat", &token, Some("192.0.2.2")).await).await;
    drop(first);
}

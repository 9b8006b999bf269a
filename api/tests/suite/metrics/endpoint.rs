//! Where the metrics are served.

use serde_json::json;

use super::activity;
use crate::common::{
    Kind, broker,
    broker::{API_KEY, SECRET_KEY, answer, program},
    http_client, within,
};

#[tokio::test]
async fn disabled_metrics_are_not_found() {
    let broker = broker(Kind::Memory).set("METRICS", "off").start().await;
    let (status, error) = broker.get("/metrics").await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (404, &json!("not-found"))
    );
    assert_eq!(
        activity(&broker).await["events_in"],
        0,
        "counted all the same"
    );
}

#[tokio::test]
async fn a_separate_metrics_address_serves_only_the_metrics() {
    let broker = broker(Kind::Memory)
        .set("METRICS", "127.0.0.1:0")
        .start()
        .await;
    broker.create("chat").await;
    assert_eq!(broker.metrics().await.get("streams_created_total"), 1);
    assert_eq!(broker.get("/metrics").await.0, 404);
    let elsewhere = broker.metrics_url.strip_suffix("/metrics").unwrap();
    for path in [
        "/",
        "/api/health",
        "/api/info",
        "/api/stream",
        "/api/docs/",
        "/metrics/x",
    ] {
        let (status, error) = answer(
            broker
                .http
                .get(format!("{elsewhere}{path}"))
                .header("X-API-KEY", API_KEY),
        )
        .await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (404, &json!("not-found")),
            "{path}"
        );
    }
    // The address closes together with the broker.
    let url = broker.metrics_url.clone();
    assert_eq!(broker.stop("-TERM").await.0, Some(0));
    assert!(http_client().get(url).send().await.is_err());
}

#[tokio::test]
async fn a_metrics_address_in_use_stops_the_start_with_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let environment = [
        ("STREAMER_API_KEY", API_KEY),
        ("STREAMER_SECRET_KEY", SECRET_KEY),
        ("STREAMER_REDIS_URL", "memory:"),
        ("STREAMER_PORT", "0"),
        ("STREAMER_METRICS", &address),
    ];
    let output = within(program().envs(environment).output()).await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (
            output.status.code(),
            output.stdout.len(),
            stderr.lines().count()
        ),
        (Some(1), 0, 1),
        "{stderr}"
    );
    assert!(
        stderr.contains(&address)
            && stderr.contains("STREAMER_METRICS")
            && stderr.contains("another program"),
        "{stderr}"
    );
}

//! Losses must not go unnoticed: of events that are no longer stored, and of a dropped writer's
//! events.

use std::error::Error as _;

use serde_json::json;
use tinistreamer_client::{Client, Error, Subscription, subscribe, types::CreateStream};

use crate::common::{API_KEY, Broker, Response, Script, transports, within};

/// More words than a stream of the broker's default size keeps.
fn words() -> Vec<String> {
    (0..1500).map(|n| format!("{n} ")).collect()
}

async fn write_words(client: &Client, key: &str) {
    let mut writer = client.publish(key).start().unwrap();
    for word in words() {
        writer.write("token", word).await.unwrap();
    }
    writer.finish().await.unwrap();
}

fn follow(broker: &Broker, key: &str, token: &str) -> Subscription {
    subscribe(format!("{}/api/client/sse?key={key}", broker.url), token)
        .start()
        .unwrap()
}

#[tokio::test]
async fn a_text_with_missing_events_is_an_error_unless_allowed() {
    let broker = Broker::start().await;
    let client = broker.client();
    let token = client
        .create_stream(CreateStream {
            max_events: None,
            ..CreateStream::from("k")
        })
        .await
        .unwrap()
        .token;
    write_words(&client, "k").await;
    let stored = client.stream_events("k").await.unwrap();
    let lost = 1502 - stored.len() as u64;
    assert!(lost > 0);

    let mut events = follow(&broker, "k", &token);
    assert_eq!(events.missed(), None);
    let error = within(events.collect_all().text("token"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Missed { count: Some(count), after: None } if *count == lost),
        "{error:?}"
    );
    assert_eq!(error.code(), "missed");

    let mut events = follow(&broker, "k", &token);
    let text = within(events.collect_all().allow_missed().text("token"))
        .await
        .unwrap();
    let kept: String = stored
        .iter()
        .filter(|event| event.event == "token")
        .filter_map(|event| event.data.as_deref())
        .collect();
    assert_eq!(text, kept);
    let missed = events.missed().unwrap();
    assert_eq!((missed.count, missed.known), (lost, true));
    assert_eq!(events.status().unwrap().as_str(), "ended");
}

#[tokio::test]
async fn a_stream_keeps_a_long_answer_by_default() {
    let broker = Broker::start().await;
    let client = broker.client();
    let token = client.create_stream("k").await.unwrap().token;
    write_words(&client, "k").await;
    let mut events = follow(&broker, "k", &token);
    assert_eq!(
        within(events.collect_all().text("token")).await.unwrap(),
        words().concat()
    );
    assert_eq!(events.missed(), None);
}

#[tokio::test]
async fn a_dropped_writer_stores_the_written_events_and_fails() {
    let broker = Broker::start().await;
    let client = broker.client();
    for transport in transports() {
        let key = format!("{transport:?}");
        client.create_stream(&*key).await.unwrap();
        let mut writer = client.publish(&key).transport(transport).start().unwrap();
        for n in 0..300 {
            writer.write("token", n).await.unwrap();
        }
        drop(writer);
        within(async {
            while client.stream_info(&key).await.unwrap().status == "active" {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await;
        let stored: Vec<_> = client
            .stream_events(&key)
            .await
            .unwrap()
            .into_iter()
            .map(|event| event.data.unwrap_or(event.event))
            .collect();
        let expected: Vec<_> = [
            vec!["start".to_owned()],
            (0..300).map(|n: u32| n.to_string()).collect(),
            vec![FAILED.to_owned()],
        ]
        .concat();
        assert_eq!(stored, expected);
    }
}

/// The data of the last event of a stream whose writer was dropped.
const FAILED: &str = r#"{"code":"error","message":"The producer failed"}"#;

#[tokio::test]
async fn a_dropped_writer_waits_no_longer_than_its_flush_timeout() {
    let failed = Response::json(&json!({"status": "failed"}));
    let script = Script::start([Response::ThenSilence(String::new()), failed]).await;
    let client = Client::new(&script.url, API_KEY).unwrap();
    let hour = std::time::Duration::from_secs(3600);
    let mut writer = client
        .publish("k")
        .lease(std::time::Duration::ZERO)
        .retry_for(hour)
        .flush_timeout(std::time::Duration::from_millis(50))
        .start()
        .unwrap();
    writer.write("token", "x").await.unwrap();
    within(async {
        while script.requests().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    drop(writer);
    within(async {
        while script.requests().len() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(script.requests()[1].starts_with("POST /api/stream/fail"));
}

#[tokio::test]
async fn an_error_includes_its_causes() {
    let client = Client::new("http://127.0.0.1:1", API_KEY).unwrap();
    let error = client.stream_info("k").await.unwrap_err();
    let mut root: &dyn std::error::Error = &error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    assert!(error.source().is_some());
    assert!(error.to_string().ends_with(&root.to_string()), "{error}");

    let mut writer = client
        .publish("k")
        .retry_for(std::time::Duration::ZERO)
        .start()
        .unwrap();
    writer.write("token", "x").await.unwrap();
    let error = within(writer.flush()).await.unwrap_err();
    assert!(matches!(error, Error::Publish { .. }));
    assert!(error.to_string().ends_with(&root.to_string()), "{error}");
}

#[tokio::test]
async fn an_error_names_the_missing_setting_of_a_client() {
    let error = Client::new("", API_KEY).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the URL of the broker is missing"),
        "{error}"
    );
    let error = Client::new("http://127.0.0.1:1", "").unwrap_err();
    assert!(
        error.to_string().contains("the API key is missing"),
        "{error}"
    );
}

#[tokio::test]
async fn keys_may_be_any_kind_of_string() {
    let broker = Broker::start().await;
    let client = broker.client();
    let key = "k".to_owned();
    client.create_stream(&key).await.unwrap();
    client.stream_info(&key).await.unwrap();
    client.stream_events(key.clone()).await.unwrap();
    client.cancel_stream(&*key).await.unwrap();
    client.create_stream(key.clone()).await.unwrap();
    client.end_stream(key).await.unwrap();
}

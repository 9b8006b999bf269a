//! Strings that a writer gathers into one event.

use std::time::Duration;

use serde_json::json;
use tinistreamer_client::{Client, Publish};
use tokio::time::sleep;

use crate::common::{API_KEY, Broker, Response, Routes, healthy, transports, until, within};

/// A window that does not end while a test runs.
const HOUR: Duration = Duration::from_secs(3600);

/// The most text of one event.
const MAX_TEXT: usize = 64 << 10;

fn publish(broker: &Broker, key: &str) -> Publish {
    broker.client().publish(key).coalesce(HOUR)
}

/// The written events: names and data.
async fn written(broker: &Broker, key: &str) -> Vec<(String, String)> {
    let mut stored = broker.stored(key).await;
    stored.remove(0);
    stored.retain(|(name, _)| name != "end");
    stored
}

fn pairs(events: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, data): &(&str, &str)| ((*name).to_owned(), (*data).to_owned());
    events.iter().map(owned).collect()
}

#[tokio::test]
async fn consecutive_strings_of_one_name_become_one_event() {
    let broker = Broker::start().await;
    for transport in transports() {
        let key = format!("{transport:?}");
        broker.create(&key).await;
        let mut writer = publish(&broker, &key).transport(transport).start().unwrap();
        for word in ["Hel", "lo \"é\n", "", "😀"] {
            writer.write("token", word).await.unwrap();
        }
        assert_eq!((writer.acknowledged(), writer.pending()), (0, 1));
        // Another name, another kind of value, and no data come between.
        writer.write("thought", "hm").await.unwrap();
        writer.write("token", "a").await.unwrap();
        writer.write("token", json!({"b": 1})).await.unwrap();
        writer.write("token", "c".to_owned()).await.unwrap();
        writer.write("token", ()).await.unwrap();
        writer.write("token", "d").await.unwrap();
        writer.write("token", json!("e")).await.unwrap();
        assert_eq!(writer.acknowledged() + writer.pending(), 7);
        within(writer.finish()).await.unwrap();
        let expected = pairs(&[
            ("token", "Hello \"é\n😀"),
            ("thought", "hm"),
            ("token", "a"),
            ("token", "{\"b\":1}"),
            ("token", "c"),
            ("token", ""),
            ("token", "de"),
        ]);
        assert_eq!(written(&broker, &key).await, expected);
    }
}

#[tokio::test]
async fn without_it_each_string_is_an_event() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let mut writer = broker.client().publish("k").start().unwrap();
    writer.write("token", "a").await.unwrap();
    writer.write("token", "b").await.unwrap();
    within(writer.finish()).await.unwrap();
    let expected = pairs(&[("token", "a"), ("token", "b")]);
    assert_eq!(written(&broker, "k").await, expected);
}

#[tokio::test]
async fn gathered_text_is_sent_when_its_time_is_over() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let publish = broker.client().publish("k");
    let window = Duration::from_millis(30);
    let mut writer = publish.coalesce(window).start().unwrap();
    for round in 1..=3 {
        writer.write("token", "a").await.unwrap();
        writer.write("token", "b").await.unwrap();
        let writer = &writer;
        until(|| async move { writer.acknowledged() == round }).await;
    }
    let expected = pairs(&[("token", "ab"); 3]);
    assert_eq!(written(&broker, "k").await, expected);
}

#[tokio::test]
async fn flush_and_each_end_but_cancel_send_gathered_text() {
    let broker = Broker::start().await;
    for way in [
        "flush", "close", "finish", "leave", "fail", "drop", "cancel",
    ] {
        broker.create(way).await;
        let mut writer = publish(&broker, way).start().unwrap();
        writer.write("token", "a").await.unwrap();
        writer.write("token", "b").await.unwrap();
        match way {
            "flush" => {
                within(writer.flush()).await.unwrap();
                assert_eq!((writer.acknowledged(), writer.pending()), (1, 0));
            }
            "close" => within(writer.close()).await.unwrap(),
            "finish" => within(writer.finish()).await.unwrap(),
            "leave" => assert!(within(writer.leave()).await.unwrap()),
            "fail" => within(writer.fail("x")).await.unwrap(),
            "drop" => {
                drop(writer);
                broker.until_status(way, "failed").await;
            }
            _ => within(writer.cancel()).await.unwrap(),
        }
        let stored = broker.stored(way).await;
        let expected = if way == "cancel" { "" } else { "ab" };
        assert_eq!(stored[1].1, expected, "{way}");
    }
}

#[tokio::test]
async fn an_event_holds_no_more_than_64_kib_of_text() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let mut writer = publish(&broker, "k").start().unwrap();
    let mut expected = Vec::new();
    // It fits exactly. Two bytes each, so that bytes are counted.
    let half = "é".repeat(MAX_TEXT / 4);
    writer.write("token", &half).await.unwrap();
    writer.write("token", &half).await.unwrap();
    expected.push(half.repeat(2));
    // One byte too many begins the next event.
    let rest = "x".repeat(MAX_TEXT - 1);
    writer.write("token", "y").await.unwrap();
    writer.write("token", &rest).await.unwrap();
    expected.push(format!("y{rest}"));
    writer.write("token", "z").await.unwrap();
    expected.push("z".to_owned());
    // A string that is longer by itself stays whole.
    let long = "l".repeat(MAX_TEXT + 1);
    writer.write("token", &long).await.unwrap();
    expected.push(long);
    writer.write("token", "m").await.unwrap();
    expected.push("m".to_owned());
    within(writer.finish()).await.unwrap();
    let written = written(&broker, "k").await;
    let lengths = |texts: Vec<&str>| texts.iter().map(|text| text.len()).collect::<Vec<_>>();
    let found: Vec<_> = written.iter().map(|(_, data)| &**data).collect();
    assert_eq!(
        lengths(found.clone()),
        lengths(expected.iter().map(|text| &**text).collect())
    );
    assert!(found == expected);
}

#[tokio::test]
async fn a_writer_that_gathers_is_bounded_and_fails_like_any_other() {
    let routes = Routes::start(|request| {
        if request.contains("/api/event/add") {
            Response::ThenSilence(String::new())
        } else {
            healthy(request)
        }
    })
    .await;
    let client = Client::new(&routes.url, API_KEY).unwrap();
    let publish = client.publish("k").max_pending(1).coalesce(HOUR);
    let retry_for = Duration::from_millis(1500);
    let mut writer = publish.retry_for(retry_for).start().unwrap();
    // Text of one name needs no more room.
    for _ in 0..100 {
        writer.write("token", "a").await.unwrap();
    }
    let waits = tokio::time::timeout(Duration::from_millis(100), writer.write("other", "b"));
    assert!(waits.await.is_err(), "there is no room");
    assert_eq!(writer.pending(), 1);
    let error = within(writer.flush()).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    let error = writer.write("token", "c").await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
}

#[tokio::test]
async fn after_a_stop_no_text_is_gathered() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let mut writer = publish(&broker, "k").start().unwrap();
    let token = writer.stop_token();
    writer.write("token", "a").await.unwrap();
    broker.client().send_signal("k", "stop").await.unwrap();
    within(token.cancelled()).await;
    let error = writer.write("token", "b").await.unwrap_err();
    assert_eq!(error.code(), "stopped");
    drop(writer);
    broker.until_status("k", "cancelled").await;
    assert_eq!(broker.stored("k").await[1].1, "a");
}

#[tokio::test]
async fn many_short_strings_are_all_stored_in_order() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let publish = broker.client().publish("k").max_pending(3);
    let window = Duration::from_millis(1);
    let mut writer = publish.coalesce(window).start().unwrap();
    for n in 0..2000 {
        writer.write("token", format!("{n} ")).await.unwrap();
        if n % 50 == 0 {
            writer.write("n", n).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
    }
    within(writer.finish()).await.unwrap();
    let mut text = String::new();
    for (name, data) in written(&broker, "k").await {
        if name == "n" {
            assert!(text.ends_with(&format!("{data} ")), "{data} in its place");
        } else {
            text += &data;
        }
    }
    let expected: Vec<_> = (0..2000).map(|n| format!("{n} ")).collect();
    assert_eq!(text, expected.concat());
}

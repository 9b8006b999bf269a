//! Producers that run with a writer, and how they leave their stream.

use std::time::Duration;

use serde_json::{Value, json};
use tinistreamer_client::{Cancellation, Client, Error, Failure, Publish};
use tokio::sync::oneshot;

use crate::common::{
    API_KEY, Broker, Proxy, Response, Routes, healthy, no_active_stream, transports, within,
};

#[derive(Debug)]
enum ProducerError {
    Secret,
    Client(Error),
}

impl From<Error> for ProducerError {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

fn publish(broker: &Broker, key: &str) -> Publish {
    broker.client().publish(key)
}

/// The data of the last event.
async fn reason(broker: &Broker, key: &str) -> Value {
    let info = broker.client().stream_info(key).await.unwrap();
    info.reason.unwrap_or_default()
}

#[tokio::test]
async fn a_producer_that_returns_ends_its_stream() {
    let broker = Broker::start().await;
    for transport in transports() {
        let key = format!("{transport:?}");
        broker.create(&key).await;
        let publish = publish(&broker, &key).transport(transport);
        // The future can be sent to another thread.
        let running = tokio::spawn(publish.run(async |writer| {
            for n in 0..50 {
                writer.write("n", n).await?;
            }
            Ok::<_, Error>("value")
        }));
        let value = within(running).await.unwrap().unwrap();
        assert_eq!(value, Some("value"));
        assert_eq!(broker.status(&key).await, "ended");
        assert_eq!(broker.stored(&key).await.len(), 52);
    }
}

#[tokio::test]
async fn a_producer_that_fails_fails_its_stream_without_the_text_of_its_error() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let running = publish(&broker, "k").run(async |writer| {
        for n in 0..50 {
            writer.write("n", n).await?;
        }
        Err::<(), _>(ProducerError::Secret)
    });
    let error = within(running).await.unwrap_err();
    assert!(matches!(error, ProducerError::Secret));
    let stored = broker.stored("k").await;
    assert_eq!(stored.len(), 52, "the events are stored");
    let data = r#"{"code":"error","message":"The producer failed"}"#;
    assert_eq!(stored[51], ("fail".to_owned(), data.to_owned()));
    assert!(!format!("{stored:?}").contains("Secret"));
}

#[tokio::test]
async fn a_producer_says_what_its_stream_fails_with() {
    let broker = Broker::start().await;
    broker.create("run").await;
    let running = publish(&broker, "run").run(async |writer| {
        writer.set_failure(Failure::new("model-overloaded").message("Too much"));
        Err::<(), _>(ProducerError::Secret)
    });
    within(running).await.unwrap_err();
    let expected = json!({"code": "model-overloaded", "message": "Too much"});
    assert_eq!(reason(&broker, "run").await, expected);

    broker.create("dropped").await;
    let mut writer = publish(&broker, "dropped").start().unwrap();
    writer.set_failure("model-overloaded");
    drop(writer);
    broker.until_status("dropped", "failed").await;
    let expected = json!({"code": "model-overloaded", "message": ""});
    assert_eq!(reason(&broker, "dropped").await, expected);
}

#[tokio::test]
async fn a_producer_that_is_stopped_cancels_its_stream_and_is_no_error() {
    let broker = Broker::start().await;
    for way in ["write", "return", "fail"] {
        broker.create(way).await;
        let running = publish(&broker, way).run(async |writer| {
            let token = writer.stop_token();
            writer.write("token", "a").await?;
            broker.client().send_signal(way, "stop").await?;
            token.cancelled().await;
            match way {
                "write" => writer.write("token", "b").await?,
                "fail" => return Err(ProducerError::Secret),
                _ => {}
            }
            Ok("value")
        });
        assert_eq!(within(running).await.unwrap(), None, "{way}");
        let expected = json!({"reason": "stop", "by": "api-key"});
        assert_eq!(reason(&broker, way).await, expected);
        assert_eq!(broker.stored(way).await.len(), 3);
    }
}

#[tokio::test]
async fn a_producer_whose_stream_is_cancelled_elsewhere_is_no_error() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let running = publish(&broker, "k").run(async |writer| {
        writer.write("token", "a").await?;
        writer.flush().await?;
        broker.client().cancel_stream("k").await?;
        Ok::<_, ProducerError>(())
    });
    assert_eq!(within(running).await.unwrap(), None);
}

#[tokio::test]
async fn a_producer_whose_stream_is_ended_elsewhere_gets_the_error() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let running = publish(&broker, "k").run(async |_| {
        broker.client().end_stream("k").await?;
        Ok::<_, ProducerError>(())
    });
    let error = within(running).await.unwrap_err();
    let ProducerError::Client(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.code(), "no-active-stream");
    assert_eq!(error.stream_status(), Some("ended"));
}

#[tokio::test]
async fn a_producer_that_is_dropped_was_interrupted_and_one_that_panics_has_failed() {
    let broker = Broker::start().await;
    for panics in [false, true] {
        let key = if panics { "panic" } else { "dropped" };
        broker.create(key).await;
        let publish = publish(&broker, key);
        let (written, is_written) = oneshot::channel();
        let task = tokio::spawn(async move {
            let running = publish.run(async |writer| {
                writer.write("token", "a").await?;
                written.send(()).unwrap();
                assert!(!panics, "as the test has it");
                std::future::pending::<Result<(), Error>>().await
            });
            running.await
        });
        within(is_written).await.unwrap();
        if !panics {
            task.abort();
        }
        within(task).await.unwrap_err();
        broker.until_status(key, "failed").await;
        let expected = if panics {
            json!({"code": "error", "message": "The producer failed"})
        } else {
            json!({"code": "interrupted", "message": "The producer was interrupted"})
        };
        assert_eq!(reason(&broker, key).await, expected);
        assert_eq!(broker.stored(key).await[1].1, "a");
    }
}

#[tokio::test]
async fn a_stream_fails_and_is_cancelled_with_what_the_caller_says() {
    let broker = Broker::start().await;
    broker.create("fail").await;
    let mut writer = publish(&broker, "fail").start().unwrap();
    writer.write("token", "a").await.unwrap();
    let failure = Failure::new("model-overloaded").message("Too much");
    within(writer.fail(failure)).await.unwrap();
    let expected = json!({"code": "model-overloaded", "message": "Too much"});
    assert_eq!(reason(&broker, "fail").await, expected);
    assert_eq!(broker.stored("fail").await.len(), 3);

    broker.create("default").await;
    let writer = publish(&broker, "default").start().unwrap();
    within(writer.fail(Failure::default())).await.unwrap();
    let expected = json!({"code": "error", "message": ""});
    assert_eq!(reason(&broker, "default").await, expected);

    broker.create("cancel").await;
    let writer = publish(&broker, "cancel").start().unwrap();
    let cancellation = Cancellation::new("changed my mind").by("user-7");
    within(writer.cancel_with(cancellation)).await.unwrap();
    let expected = json!({"reason": "changed my mind", "by": "user-7"});
    assert_eq!(reason(&broker, "cancel").await, expected);
}

#[tokio::test]
async fn an_invalid_code_of_a_failure_is_the_brokers_error() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let writer = publish(&broker, "k").start().unwrap();
    let error = within(writer.fail("No code")).await.unwrap_err();
    assert_eq!(error.code(), "invalid-request");
}

#[tokio::test]
async fn a_fail_whose_response_is_lost_succeeds() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let proxy = Proxy::losing(&broker.url, "/api/stream/fail").await;
    let client = Client::new(&proxy.url, API_KEY).unwrap();
    let writer = client.publish("k").start().unwrap();
    within(writer.fail("x")).await.unwrap();
    assert_eq!(broker.status("k").await, "failed");
}

#[tokio::test]
async fn to_cancel_or_fail_a_finished_stream_is_a_success() {
    let broker = Broker::start().await;
    for key in ["cancel", "fail"] {
        broker.create(key).await;
        let writer = publish(&broker, key).start().unwrap();
        broker.client().end_stream(key).await.unwrap();
        match key {
            "cancel" => within(writer.cancel()).await.unwrap(),
            _ => within(writer.fail("x")).await.unwrap(),
        }
        assert_eq!(broker.status(key).await, "ended");
    }
    let writer = publish(&broker, "none").start().unwrap();
    let error = within(writer.cancel()).await.unwrap_err();
    assert_eq!(error.code(), "no-active-stream");
}

#[tokio::test]
async fn a_broker_that_says_no_status_is_asked_for_it() {
    for (status, succeeds) in [("ended", true), ("active", false)] {
        let routes = Routes::start(move |request| {
            if request.contains("/api/stream/cancel") {
                no_active_stream(None)
            } else if request.contains("/api/stream/info") {
                Response::json(&json!({
                    "key": "k", "status": status, "generation": "0", "length": 1, "ttl": 1,
                    "clients": 0, "created_at": "", "first_id": "5-0", "last_id": "5-0",
                }))
            } else {
                healthy(request)
            }
        })
        .await;
        let client = Client::new(&routes.url, API_KEY).unwrap();
        let writer = client.publish("k").start().unwrap();
        let cancelled = within(writer.cancel()).await;
        assert_eq!(cancelled.is_ok(), succeeds, "{cancelled:?}");
    }
}

#[tokio::test]
async fn a_fail_waits_no_longer_than_its_flush_timeout() {
    let routes = Routes::start(|request| {
        if request.contains("/api/event/add") {
            Response::ThenSilence(String::new())
        } else {
            healthy(request)
        }
    })
    .await;
    let client = Client::new(&routes.url, API_KEY).unwrap();
    let publish = client.publish("k").retry_for(Duration::from_secs(3600));
    let mut writer = publish
        .flush_timeout(Duration::from_millis(50))
        .start()
        .unwrap();
    writer.write("token", "a").await.unwrap();
    within(writer.fail("x")).await.unwrap();
    let bodies = routes.bodies("/api/stream/fail");
    assert_eq!(bodies, [json!({"key": "k", "code": "x"})]);
}

#[tokio::test]
async fn a_writer_takes_only_the_generation_that_it_names() {
    let broker = Broker::start().await;
    for transport in transports() {
        let key = format!("{transport:?}");
        let generation = broker.create(&key).await.generation.unwrap();
        let writing = |generation: &str| publish(&broker, &key).generation(generation);
        let mut writer = writing(&generation).transport(transport).start().unwrap();
        writer.write("token", "a").await.unwrap();
        within(writer.close()).await.unwrap();
        let other = "0".repeat(32);
        let mut writer = writing(&other).transport(transport).start().unwrap();
        writer.write("token", "b").await.unwrap();
        let error = within(writer.flush()).await.unwrap_err();
        assert_eq!(error.code(), "stale-generation");
        for failed in [
            within(writing(&other).start().unwrap().finish()).await,
            within(writing(&other).start().unwrap().cancel()).await,
            within(writing(&other).start().unwrap().fail("x")).await,
        ] {
            assert_eq!(failed.unwrap_err().code(), "stale-generation");
        }
        drop(writer);
        assert_eq!(broker.stored(&key).await.len(), 2);
    }
}

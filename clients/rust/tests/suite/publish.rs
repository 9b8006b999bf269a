//! Publishing with a writer.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tinistreamer_client::{Ack, Client, Error, Publish};

use crate::common::{API_KEY, Broker, Proxy, Response, Script, transports, within};

/// The events of the stream between its first and, if it is finished, its last.
async fn written(broker: &Broker, key: &str) -> Vec<(String, Option<String>)> {
    let events = broker.client().stream_events(key).await.unwrap();
    events
        .into_iter()
        .filter(|event| !matches!(&*event.event, "start" | "end" | "cancel" | "fail"))
        .map(|event| (event.event, event.data))
        .collect()
}

async fn status(broker: &Broker, key: &str) -> String {
    broker.client().stream_info(key).await.unwrap().status
}

async fn until_status(broker: &Broker, key: &str, wanted: &str) {
    within(async {
        while status(broker, key).await != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Records a writer's acknowledgements.
fn recording(publish: Publish) -> (Publish, Arc<Mutex<Vec<Ack>>>) {
    let acks = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&acks);
    (
        publish.on_ack(move |ack| noted.lock().unwrap().push(ack)),
        acks,
    )
}

#[tokio::test]
async fn written_events_are_stored_in_order() {
    let broker = Broker::start().await;
    for transport in transports() {
        let key = format!("{transport:?}");
        broker.create(&key).await;
        let (publish, acks) = recording(
            broker
                .client()
                .publish(&key)
                .transport(transport)
                .max_pending(7),
        );
        let mut writer = publish.start().unwrap();
        for n in 0..200 {
            writer.write("n", n).await.unwrap();
            assert!(writer.pending() <= 7);
        }
        writer.write("text", "a\nb\0").await.unwrap();
        writer.write("nothing", ()).await.unwrap();
        within(writer.flush()).await.unwrap();
        assert_eq!((writer.acknowledged(), writer.pending()), (202, 0));
        assert_eq!(status(&broker, &key).await, "active");
        within(writer.finish()).await.unwrap();

        let mut expected: Vec<_> = (0..200)
            .map(|n| ("n".to_owned(), Some(n.to_string())))
            .collect();
        expected.extend([
            ("text".to_owned(), Some("a\nb\0".to_owned())),
            ("nothing".to_owned(), None),
        ]);
        assert_eq!(written(&broker, &key).await, expected);
        assert_eq!(status(&broker, &key).await, "ended");

        let last = &broker.client().stream_events(&key).await.unwrap()[202];
        let acks = acks.lock().unwrap();
        assert!(acks.is_sorted_by_key(|ack| ack.count));
        let ack = acks.last().unwrap();
        assert_eq!((ack.count, &ack.last_id), (202, &Some(last.id.clone())));
    }
}

#[tokio::test]
async fn no_event_is_lost_or_written_twice_when_connections_break() {
    let broker = Broker::start().await;
    for transport in transports() {
        let key = format!("{transport:?}");
        broker.create(&key).await;
        let proxy = Proxy::cutting(&broker.url, 200).await;
        let client = Client::new(&proxy.url, API_KEY).unwrap();
        let mut writer = client
            .publish(&key)
            .transport(transport)
            .max_pending(20)
            .start()
            .unwrap();
        for n in 0..300 {
            within(writer.write("n", n)).await.unwrap();
        }
        within(writer.finish()).await.unwrap();
        let expected: Vec<_> = (0..300)
            .map(|n| ("n".to_owned(), Some(n.to_string())))
            .collect();
        assert_eq!(written(&broker, &key).await, expected);
        assert!(proxy.connections() > 2);
    }
}

#[tokio::test]
async fn a_name_that_the_broker_would_refuse_is_refused_before_it_is_sent() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let mut writer = broker.client().publish("k").start().unwrap();
    assert_eq!(
        writer.write("end", ()).await.unwrap_err().code(),
        "reserved-event"
    );
    assert_eq!(
        writer.write("a\nb", ()).await.unwrap_err().code(),
        "invalid-event"
    );
    writer.write("good", ()).await.unwrap();
    within(writer.close()).await.unwrap();
    assert_eq!(written(&broker, "k").await, [("good".to_owned(), None)]);
    assert_eq!(status(&broker, "k").await, "active");
}

#[tokio::test]
async fn a_stream_that_is_not_active_fails_the_writer() {
    let broker = Broker::start().await;
    for transport in transports() {
        let mut writer = broker
            .client()
            .publish("none")
            .transport(transport)
            .max_pending(1)
            .start()
            .unwrap();
        writer.write("a", ()).await.unwrap();
        let error = within(writer.flush()).await.unwrap_err();
        assert!(
            matches!(
                &error,
                Error::Publish {
                    acknowledged: 0,
                    ..
                }
            ),
            "{error:?}"
        );
        assert_eq!(error.code(), "no-active-stream");
        assert_eq!(
            within(writer.write("b", ())).await.unwrap_err().code(),
            "no-active-stream"
        );
        assert_eq!(
            within(writer.finish()).await.unwrap_err().code(),
            "no-active-stream"
        );
    }
}

#[tokio::test]
async fn a_stream_that_ends_meanwhile_fails_the_writer_after_the_confirmed_events() {
    let broker = Broker::start().await;
    for transport in transports() {
        let key = format!("{transport:?}");
        broker.create(&key).await;
        let mut writer = broker
            .client()
            .publish(&key)
            .transport(transport)
            .start()
            .unwrap();
        writer.write("a", ()).await.unwrap();
        within(writer.flush()).await.unwrap();
        broker.client().end_stream(&key).await.unwrap();
        // The broker reports the end within a second, so perhaps before this event.
        let error = match writer.write("b", ()).await {
            Ok(()) => within(writer.finish()).await.unwrap_err(),
            Err(error) => error,
        };
        assert!(
            matches!(
                &error,
                Error::Publish {
                    acknowledged: 1,
                    ..
                }
            ),
            "{error:?}"
        );
        assert_eq!(
            (error.code(), &*status(&broker, &key).await),
            ("no-active-stream", "ended")
        );
    }
}

#[tokio::test]
async fn an_event_that_is_too_large_fails_the_writer() {
    let broker = Broker::start_with(&[("MAX_LINE", "1024")]).await;
    for (transport, code) in transports().into_iter().zip(["invalid-event", "too-large"]) {
        let key = format!("{transport:?}");
        broker.create(&key).await;
        let mut writer = broker
            .client()
            .publish(&key)
            .transport(transport)
            .start()
            .unwrap();
        writer.write("large", "x".repeat(2000)).await.unwrap();
        assert_eq!(within(writer.flush()).await.unwrap_err().code(), code);
    }
}

#[tokio::test]
async fn a_dropped_writer_fails_its_stream() {
    let broker = Broker::start().await;
    for transport in transports() {
        let key = format!("{transport:?}");
        broker.create(&key).await;
        let mut writer = broker
            .client()
            .publish(&key)
            .transport(transport)
            .start()
            .unwrap();
        writer.write("a", ()).await.unwrap();
        drop(writer);
        until_status(&broker, &key, "failed").await;
    }
}

#[tokio::test]
async fn cancel_drops_events_that_were_not_sent() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let mut writer = broker.client().publish("k").start().unwrap();
    // The task has not run yet, as the test awaited nothing.
    futures::FutureExt::now_or_never(writer.write("a", ()))
        .expect("there is room")
        .unwrap();
    within(writer.cancel()).await.unwrap();
    assert_eq!(written(&broker, "k").await, []);
    assert_eq!(status(&broker, "k").await, "cancelled");
}

#[tokio::test]
async fn a_finish_whose_response_is_lost_succeeds() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let proxy = Proxy::losing(&broker.url, "/api/stream/end").await;
    let writer = Client::new(&proxy.url, API_KEY)
        .unwrap()
        .publish("k")
        .start()
        .unwrap();
    within(writer.finish()).await.unwrap();
    assert_eq!(status(&broker, "k").await, "ended");
}

#[tokio::test]
async fn a_stream_that_somebody_else_finished_is_an_error() {
    let broker = Broker::start().await;
    broker.create("k").await;
    broker.client().end_stream("k").await.unwrap();
    let writer = broker.client().publish("k").start().unwrap();
    assert_eq!(
        within(writer.finish()).await.unwrap_err().code(),
        "no-active-stream"
    );
}

#[tokio::test]
async fn a_lost_response_does_not_repeat_an_event() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let proxy = Proxy::losing(&broker.url, "/api/event/add/json-stream").await;
    let (publish, acks) = recording(Client::new(&proxy.url, API_KEY).unwrap().publish("k"));
    let mut writer = publish.start().unwrap();
    writer.write("a", ()).await.unwrap();
    within(writer.close()).await.unwrap();
    assert_eq!(written(&broker, "k").await, [("a".to_owned(), None)]);
    let acks = acks.lock().unwrap();
    assert_eq!((acks.len(), acks[0].count, &acks[0].last_id), (1, 1, &None));
}

#[tokio::test]
async fn an_upload_to_a_busy_broker_is_retried() {
    let stored = r#"{"ids": ["5-1"], "num_events": 1, "num_duplicates": 0, "num_errors": 0,
        "errors": [], "last_id": "5-1"}"#;
    let script = Script::start([
        Response::error(503, "store-unavailable", "retry-after: 0\r\n"),
        Response::error(429, "too-many-clients", "retry-after: 0\r\n"),
        Response::Bytes(format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{stored}",
            stored.len()
        )),
    ])
    .await;
    let mut writer = Client::new(&script.url, API_KEY)
        .unwrap()
        .publish("k")
        .lease(Duration::ZERO)
        .start()
        .unwrap();
    writer.write("a", ()).await.unwrap();
    within(writer.close()).await.unwrap();
    let requests = script.requests();
    assert!(
        requests.iter().all(|request| request.contains("sequence=0")
            && request.ends_with("{\"event\":\"a\",\"data\":null}\n")),
        "{requests:?}"
    );
    let producers: Vec<_> = requests
        .iter()
        .filter_map(|request| request.split("producer=").nth(1)?.split(['&', ' ']).next())
        .collect();
    assert!(
        producers.len() == 3 && producers.iter().all(|producer| *producer == producers[0]),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_permanent_error_fails_at_once() {
    let script = Script::start([Response::error(409, "sequence-gap", "")]).await;
    let mut writer = Client::new(&script.url, API_KEY)
        .unwrap()
        .publish("k")
        .lease(Duration::ZERO)
        .start()
        .unwrap();
    writer.write("a", ()).await.unwrap();
    assert_eq!(
        within(writer.flush()).await.unwrap_err().code(),
        "sequence-gap"
    );
    assert_eq!(script.requests().len(), 1);
}

#[tokio::test]
async fn an_unreachable_broker_fails_the_writer() {
    for transport in transports() {
        let script = Script::start([]).await;
        let publish = Client::new(&script.url, API_KEY)
            .unwrap()
            .publish("k")
            .lease(Duration::ZERO)
            .transport(transport);
        let mut writer = publish
            .retry_for(Duration::from_millis(300))
            .max_pending(1)
            .start()
            .unwrap();
        writer.write("a", ()).await.unwrap();
        // A caller that waits for a permit receives the error, too.
        assert_eq!(
            within(writer.write("b", ())).await.unwrap_err().code(),
            "unreachable"
        );
    }
}

#[tokio::test]
async fn a_panicking_on_ack_function_fails_the_writer() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let mut writer = broker
        .client()
        .publish("k")
        .on_ack(|ack| panic!("{ack:?}"))
        .start()
        .unwrap();
    writer.write("a", ()).await.unwrap();
    within(writer.flush()).await.unwrap();
    assert_eq!(
        within(writer.write("b", ())).await.unwrap_err().code(),
        "setup"
    );
    assert_eq!(within(writer.finish()).await.unwrap_err().code(), "setup");
}

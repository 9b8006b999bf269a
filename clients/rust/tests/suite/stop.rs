//! Stops, and the other signals that a writer hears.

use std::time::Duration;

use futures::StreamExt;
use serde_json::json;
use tinistreamer_client::{
    CancellationToken, Client, Error, Publish, Writer,
    types::{SendSignal, SignalRecord},
};

use crate::common::{
    API_KEY, Broker, Proxy, Response, Routes, healthy, no_active_stream, old_broker, signals,
    transports, within,
};

const SIGNALS: &str = "/api/stream/signals";

/// A writer without a lease, so that only its connection for signals can tell it of a stop.
fn publish(url: &str) -> Publish {
    let client = Client::new(url, API_KEY).unwrap();
    client.publish("k").lease(Duration::ZERO)
}

/// A server that answers requests for signals like this, and is healthy otherwise.
async fn answering_signals(answer: impl Fn(&str) -> Response + Send + Sync + 'static) -> Routes {
    Routes::start(move |request| {
        if request.contains(SIGNALS) {
            answer(request)
        } else {
            healthy(request)
        }
    })
    .await
}

fn assert_stopped(error: &Error, by: Option<&str>) {
    assert_eq!(error.code(), "stopped");
    let Error::Stopped { by: found, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(found.as_deref(), by);
}

async fn stop_heard(token: &CancellationToken) {
    within(token.cancelled()).await;
}

#[tokio::test]
async fn a_stop_is_heard_once_and_the_stream_is_cancelled_for_it() {
    let broker = Broker::start().await;
    for transport in transports() {
        let key = format!("{transport:?}");
        let access = broker.create_for_signals(&key).await;
        let publish = broker.client().publish(&key).lease(Duration::ZERO);
        let mut writer = publish.transport(transport).start().unwrap();
        let token = writer.stop_token();
        writer.write("token", "a").await.unwrap();
        let subscription = tinistreamer_client::subscribe(access.sse_url, access.token)
            .start()
            .unwrap();
        let first = within(subscription.request_stop()).await.unwrap();
        stop_heard(&token).await;
        let second = within(subscription.request_stop()).await.unwrap();
        assert_eq!((first, second), (Some(1), Some(1)));
        let error = writer.write("token", "b").await.unwrap_err();
        assert_stopped(&error, Some("user-7"));
        within(writer.flush()).await.unwrap();
        within(writer.cancel()).await.unwrap();
        let stored = broker.stored(&key).await;
        let data = r#"{"reason":"stop","by":"user-7"}"#;
        let expected = [("start", ""), ("token", "a"), ("cancel", data)];
        assert_eq!(
            stored,
            expected.map(|(name, data)| (name.to_owned(), data.to_owned()))
        );
        assert_eq!(within(subscription.request_stop()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn after_a_stop_a_writer_can_end_in_each_way() {
    let broker = Broker::start().await;
    for (way, status) in [
        ("finish", "ended"),
        ("fail", "failed"),
        ("close", "active"),
        ("leave", "cancelled"),
        ("drop", "cancelled"),
    ] {
        broker.create(way).await;
        let mut writer = broker.client().publish(way).start().unwrap();
        writer.write("token", "a").await.unwrap();
        let token = writer.stop_token();
        broker.client().send_signal(way, "stop").await.unwrap();
        stop_heard(&token).await;
        match way {
            "finish" => within(writer.finish()).await.unwrap(),
            "fail" => within(writer.fail("x")).await.unwrap(),
            "close" => within(writer.close()).await.unwrap(),
            "leave" => assert!(!within(writer.leave()).await.unwrap()),
            _ => drop(writer),
        }
        broker.until_status(way, status).await;
        assert_eq!(broker.stored(way).await[1].1, "a");
    }
}

#[tokio::test]
async fn a_write_that_waits_for_room_stops_at_once() {
    let (sender, wanted) = std::sync::mpsc::channel::<()>();
    let wanted = std::sync::Mutex::new(wanted);
    let routes = Routes::start(move |request| {
        if request.contains(SIGNALS) && wanted.lock().unwrap().try_recv().is_ok() {
            signals("active", &[(1, "stop")])
        } else if request.contains(SIGNALS) {
            Response::error(503, "store-unavailable", "")
        } else if request.contains("/api/event/add") {
            Response::ThenSilence(String::new())
        } else {
            healthy(request)
        }
    })
    .await;
    let mut writer = publish(&routes.url).max_pending(1).start().unwrap();
    let _token = writer.stop_token();
    writer.write("token", "a").await.unwrap();
    let mut waiting = Box::pin(writer.write("token", "b"));
    let waits = tokio::time::timeout(Duration::from_millis(100), waiting.as_mut());
    assert!(waits.await.is_err(), "there is no room");
    sender.send(()).unwrap();
    assert_stopped(&within(waiting).await.unwrap_err(), Some("user-7"));
}

#[tokio::test]
async fn a_writer_writes_on_after_a_stop_if_the_caller_wants_it() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let mut writer = publish(&broker.url).write_after_stop(true).start().unwrap();
    let token = writer.stop_token();
    broker.client().send_signal("k", "stop").await.unwrap();
    stop_heard(&token).await;
    writer.write("token", "late").await.unwrap();
    assert!(!within(writer.leave()).await.unwrap());
    let stored = broker.stored("k").await;
    let names: Vec<_> = stored.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["start", "token", "cancel"]);
}

#[tokio::test]
async fn a_stream_that_is_cancelled_elsewhere_is_a_stop() {
    let broker = Broker::start().await;
    for transport in transports() {
        for way in ["write", "hear", "finish", "cancel", "fail", "leave"] {
            let key = format!("{transport:?} {way}");
            broker.create(&key).await;
            let publish = broker.client().publish(&key).lease(Duration::ZERO);
            let mut writer = publish.transport(transport).start().unwrap();
            writer.write("token", "a").await.unwrap();
            within(writer.flush()).await.unwrap();
            broker.client().cancel_stream(&key).await.unwrap();
            match way {
                "write" => {
                    let error = within(write_until_error(&mut writer)).await;
                    assert_stopped(&error, None);
                    assert!(matches!(
                        error,
                        Error::Stopped {
                            acknowledged: 1,
                            ..
                        }
                    ));
                    assert_stopped(&within(writer.finish()).await.unwrap_err(), None);
                }
                "hear" => {
                    stop_heard(&writer.stop_token()).await;
                    assert_stopped(&writer.write("token", "b").await.unwrap_err(), None);
                    let signals = within(writer.signals().count()).await;
                    assert_eq!(signals, 0, "they are over");
                }
                "finish" => assert_stopped(&within(writer.finish()).await.unwrap_err(), None),
                "cancel" => within(writer.cancel()).await.unwrap(),
                "fail" => within(writer.fail("x")).await.unwrap(),
                _ => assert!(!within(writer.leave()).await.unwrap()),
            }
            assert_eq!(broker.status(&key).await, "cancelled");
        }
    }
}

async fn write_until_error(writer: &mut Writer) -> Error {
    loop {
        if let Err(error) = writer.write("token", "b").await {
            return error;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_sender_of_a_stop_is_known_after_the_broker_cancelled_the_stream() {
    let routes = Routes::start(|request| {
        if request.contains(SIGNALS) {
            signals("cancelled", &[(1, "stop")])
        } else if request.contains("/api/event/add") {
            no_active_stream(Some("cancelled"))
        } else {
            healthy(request)
        }
    })
    .await;
    let mut writer = publish(&routes.url).start().unwrap();
    writer.write("token", "a").await.unwrap();
    let error = within(writer.flush()).await.unwrap_err();
    assert_stopped(&error, Some("user-7"));
}

#[tokio::test]
async fn signals_that_never_come_do_not_hold_the_error_of_a_writer_up() {
    let routes = Routes::start(|request| {
        if request.contains("/api/event/add") {
            no_active_stream(Some("cancelled"))
        } else {
            healthy(request)
        }
    })
    .await;
    let mut writer = publish(&routes.url).start().unwrap();
    writer.write("token", "a").await.unwrap();
    assert_stopped(&within(writer.flush()).await.unwrap_err(), None);
}

#[tokio::test]
async fn the_token_is_cancelled_when_the_writer_fails_and_only_its_copy_by_the_caller() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let mut writer = publish(&broker.url).start().unwrap();
    writer.stop_token().cancel();
    let token = writer.stop_token();
    assert!(!token.is_cancelled());
    writer.write("token", "a").await.unwrap();
    within(writer.flush()).await.unwrap();
    broker.client().end_stream("k").await.unwrap();
    let error = within(write_until_error(&mut writer)).await;
    assert_eq!(error.code(), "no-active-stream");
    stop_heard(&token).await;
    assert_eq!(within(writer.signals().count()).await, 0, "they are over");
}

/// The numbers, names and data of signals.
fn heard(signals: &[SignalRecord]) -> Vec<(u64, &str, Option<&serde_json::Value>)> {
    signals
        .iter()
        .map(|signal| (signal.seq, &*signal.name, signal.data.as_ref()))
        .collect()
}

#[tokio::test]
async fn each_signal_is_heard_once_from_the_first_one_on_over_connections_that_break() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let proxy = Proxy::cutting(&broker.url, 700).await;
    let mut writer = publish(&proxy.url).start().unwrap();
    let client = broker.client();
    let steer = |step: u64| {
        let client = client.clone();
        async move {
            let signal = SendSignal {
                data: Some(json!({ "step": step })),
                ..SendSignal::from("steer")
            };
            client.send_signal("k", signal).await.unwrap();
        }
    };
    steer(1).await;
    let mut signals = writer.signals();
    let mut found = Vec::new();
    for step in 2..12 {
        found.push(within(signals.next()).await.unwrap().unwrap());
        steer(step).await;
    }
    found.push(within(signals.next()).await.unwrap().unwrap());
    let data: Vec<_> = (1..12).map(|step| json!({ "step": step })).collect();
    let expected: Vec<_> = (1..)
        .zip(&data)
        .map(|(seq, data)| (seq, "steer", Some(data)))
        .collect();
    assert_eq!(heard(&found), expected);
    assert!(proxy.connections() > 2, "the connections broke");
    // Another reader gets all of them, and both are over with the writer.
    let again = writer.signals();
    writer.write("token", "a").await.unwrap();
    within(writer.finish()).await.unwrap();
    assert!(within(signals.next()).await.is_none());
    let again: Vec<_> = within(again.map(Result::unwrap).collect()).await;
    assert_eq!(again, found);
}

#[tokio::test]
async fn signals_that_never_come_hold_no_writer_up() {
    let routes = Routes::start(healthy).await;
    let mut writer = publish(&routes.url).start().unwrap();
    let signals = writer.signals();
    routes.until_requests(SIGNALS, 1).await;
    writer.write("token", "a").await.unwrap();
    within(writer.finish()).await.unwrap();
    routes.until_closed(1).await;
    assert_eq!(within(signals.count()).await, 0);
}

#[tokio::test]
async fn a_writer_that_hears_nothing_makes_no_connection_for_signals() {
    let routes = Routes::start(healthy).await;
    let mut writer = publish(&routes.url).start().unwrap();
    writer.write("token", "a").await.unwrap();
    within(writer.finish()).await.unwrap();
    assert_eq!(routes.requests(SIGNALS).len(), 0);
}

#[tokio::test]
async fn a_broker_without_signals_is_an_error_of_the_signals_only() {
    let routes = Routes::start(old_broker).await;
    let mut writer = publish(&routes.url).start().unwrap();
    for _ in 0..2 {
        let found: Vec<_> = within(writer.signals().collect()).await;
        let [Err(error)] = &*found else {
            panic!("{found:?}")
        };
        assert_eq!(error.code(), "not-found");
        assert!(matches!(error, Error::Signals { .. }));
    }
    let token = writer.stop_token();
    writer.write("token", "a").await.unwrap();
    within(writer.finish()).await.unwrap();
    assert!(!token.is_cancelled());
    assert_eq!(routes.requests(SIGNALS).len(), 1);
}

#[tokio::test]
async fn signals_are_asked_for_again_after_failures_with_the_last_number() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let routes = answering_signals(move |_| {
        match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => Response::error(429, "too-many-producers", "retry-after: 1\r\n"),
            // Numbers that the writer has are skipped.
            1 => signals("active", &[(1, "a"), (2, "b")]),
            2 => signals("active", &[(2, "b"), (3, "c")]),
            // A broker that stops.
            3 => signals("active", &[]),
            4 => signals("ended", &[(4, "d")]),
            _ => signals("ended", &[]),
        }
    })
    .await;
    let writer = publish(&routes.url).generation("g").start().unwrap();
    let found: Vec<_> = within(writer.signals().map(Result::unwrap).collect()).await;
    let numbers: Vec<_> = found.iter().map(|signal| signal.seq).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let asked = |request: &String| {
        let (_, query) = request.split_once('?').unwrap();
        query.split(' ').next().unwrap().to_owned()
    };
    let queries: Vec<_> = routes.requests(SIGNALS).iter().map(asked).collect();
    let expected =
        [0, 0, 2, 3, 3, 4].map(|after| format!("key=k&generation=g&after={after}&wait=20"));
    assert_eq!(queries, expected);
}

//! The lease of a writer, which shows that its producer lives.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::json;
use tinistreamer_client::{Client, Publish, types::CreateStream};
use tokio::time::sleep;

use crate::common::{
    API_KEY, Broker, Response, Routes, healthy, no_active_stream, old_broker, signals, until,
    within,
};

const RENEW: &str = "/api/stream/renew";
const SHORTEST: Duration = Duration::from_secs(2);

/// A writer of the stream `k` with the shortest lease.
fn publish(url: &str) -> Publish {
    let client = Client::new(url, API_KEY).unwrap();
    client.publish("k").lease(SHORTEST)
}

#[tokio::test]
async fn a_silent_writer_keeps_its_stream_until_it_is_closed() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let mut writer = publish(&broker.url).start().unwrap();
    writer.write("token", "a").await.unwrap();
    sleep(Duration::from_secs(5)).await;
    let info = broker.client().stream_info("k").await.unwrap();
    assert_eq!(info.status, "active");
    assert!(info.lease_expires_at.is_some());
    within(writer.close()).await.unwrap();
    let info = broker.client().stream_info("k").await.unwrap();
    assert_eq!((&*info.status, info.lease_expires_at), ("active", None));
}

#[tokio::test]
async fn the_stream_of_a_producer_that_dies_is_abandoned() {
    let broker = Broker::start().await;
    broker.create("k").await;
    let url = broker.url.clone();
    let producer = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let writer = runtime.block_on(async {
            let mut writer = publish(&url).start().unwrap();
            writer.write("token", "a").await.unwrap();
            writer.flush().await.unwrap();
            let client = Client::new(&url, API_KEY).unwrap();
            until(|| async {
                let info = client.stream_info("k").await.unwrap();
                info.lease_expires_at.is_some()
            })
            .await;
            writer
        });
        // As if the process ended: nothing runs any more.
        runtime.shutdown_background();
        drop(writer);
    });
    within(tokio::task::spawn_blocking(|| producer.join().unwrap()))
        .await
        .unwrap();
    broker.until_status("k", "abandoned").await;
}

#[tokio::test]
async fn a_writer_renews_always_with_its_lease_and_ends_it_last() {
    let routes = Routes::start(healthy).await;
    let mut writer = publish(&routes.url).generation("g").start().unwrap();
    // The first renewal needs no write.
    routes.until_requests(RENEW, 3).await;
    writer.write("token", "a").await.unwrap();
    within(writer.close()).await.unwrap();
    let mut bodies = routes.bodies(RENEW);
    let last = bodies.pop().unwrap();
    assert_eq!(last, json!({"key": "k", "generation": "g", "lease": 0}));
    for body in bodies {
        assert_eq!(body, json!({"key": "k", "generation": "g", "lease": 2}));
    }
    let all = routes.requests("/api/");
    assert!(all.last().unwrap().contains(RENEW), "after the events");
}

#[tokio::test]
async fn other_ends_of_a_writer_do_not_end_the_lease() {
    let routes = Routes::start(healthy).await;
    let writer = publish(&routes.url).start().unwrap();
    routes.until_requests(RENEW, 1).await;
    within(writer.finish()).await.unwrap();
    let count = routes.requests(RENEW).len();
    sleep(SHORTEST / 2).await;
    let bodies = routes.bodies(RENEW);
    assert_eq!(bodies.len(), count, "no renewal follows the end");
    assert!(bodies.iter().all(|body| body["lease"] == 2), "{bodies:?}");
}

#[tokio::test]
async fn a_writer_without_a_lease_never_renews() {
    let routes = Routes::start(healthy).await;
    let mut writer = publish(&routes.url).lease(Duration::ZERO).start().unwrap();
    writer.write("token", "a").await.unwrap();
    sleep(SHORTEST / 2).await;
    within(writer.close()).await.unwrap();
    assert_eq!(routes.requests(RENEW).len(), 0);
}

#[tokio::test]
async fn a_broker_without_leases_is_asked_once_and_is_no_error() {
    for status in [404, 405] {
        let routes = Routes::start(move |request| match old_broker(request) {
            _ if request.contains(RENEW) => Response::error(status, "not-found", ""),
            response => response,
        })
        .await;
        let mut writer = publish(&routes.url).start().unwrap();
        routes.until_requests(RENEW, 1).await;
        sleep(SHORTEST / 2).await;
        writer.write("token", "a").await.unwrap();
        within(writer.close()).await.unwrap();
        assert_eq!(routes.requests(RENEW).len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_renewal_that_fails_is_tried_again_and_fails_no_writer() {
    let answers = [
        || Response::error(503, "store-unavailable", ""),
        || Response::error(429, "too-many-clients", ""),
        // The stream does not exist yet.
        || no_active_stream(None),
        || Response::Bytes("nonsense".to_owned()),
    ];
    let count = AtomicUsize::new(0);
    let routes = Routes::start(move |request| {
        if request.contains(RENEW) {
            answers[count.fetch_add(1, Ordering::Relaxed) % 4]()
        } else {
            healthy(request)
        }
    })
    .await;
    let mut writer = publish(&routes.url).start().unwrap();
    routes.until_requests(RENEW, 6).await;
    writer.write("token", "a").await.unwrap();
    within(writer.finish()).await.unwrap();
}

#[tokio::test]
async fn a_renewal_that_is_refused_for_good_is_the_last() {
    for answer in [
        || no_active_stream(Some("ended")),
        || Response::error(409, "stale-generation", ""),
        || Response::error(400, "invalid-request", ""),
        || Response::error(401, "unauthorized", ""),
        || Response::error(403, "forbidden", ""),
    ] {
        let routes = Routes::start(move |request| {
            if request.contains(RENEW) {
                answer()
            } else {
                healthy(request)
            }
        })
        .await;
        let mut writer = publish(&routes.url).start().unwrap();
        routes.until_requests(RENEW, 1).await;
        sleep(SHORTEST / 2).await;
        writer.write("token", "a").await.unwrap();
        within(writer.close()).await.unwrap();
        assert_eq!(routes.requests(RENEW).len(), 1);
    }
}

#[tokio::test]
async fn a_renewal_without_an_answer_delays_no_write_and_no_end() {
    for close in [false, true] {
        let routes = Routes::start(|request| {
            if request.contains(RENEW) {
                Response::ThenSilence(String::new())
            } else {
                healthy(request)
            }
        })
        .await;
        let mut writer = publish(&routes.url).start().unwrap();
        routes.until_requests(RENEW, 1).await;
        writer.write("token", "a").await.unwrap();
        within(writer.flush()).await.unwrap();
        if close {
            within(writer.close()).await.unwrap();
        } else {
            within(writer.finish()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_writer_that_hears_nothing_learns_of_a_stop_when_it_renews() {
    let broker = Broker::start().await;
    let client = broker.client();
    let stream = CreateStream {
        stop_grace: Some(600),
        ..CreateStream::from("k")
    };
    client.create_stream(stream).await.unwrap();
    let mut writer = publish(&broker.url).start().unwrap();
    writer.write("token", "a").await.unwrap();
    client.send_signal("k", "stop").await.unwrap();
    let error = within(async {
        loop {
            if let Err(error) = writer.write("token", "b").await {
                return error;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(error.code(), "stopped");
    assert!(error.to_string().contains("api-key"), "{error}");
    within(writer.cancel()).await.unwrap();
    let last = broker.stored("k").await.pop().unwrap();
    let data = r#"{"reason":"stop","by":"api-key"}"#;
    assert_eq!(last, ("cancel".to_owned(), data.to_owned()));
}

#[tokio::test]
async fn a_renewal_that_finds_a_cancelled_stream_is_a_stop() {
    let routes = Routes::start(|request| {
        if request.contains(RENEW) {
            no_active_stream(Some("cancelled"))
        } else if request.contains("/api/stream/signals") {
            signals("cancelled", &[(1, "steer"), (2, "stop")])
        } else {
            healthy(request)
        }
    })
    .await;
    let mut writer = publish(&routes.url).start().unwrap();
    routes.until_requests("/api/stream/signals", 1).await;
    let error = within(async {
        loop {
            if let Err(error) = writer.write("token", "b").await {
                return error;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(error.to_string().contains("user-7"), "{error:?}");
    assert_eq!(routes.requests(RENEW).len(), 1);
    assert!(routes.requests("/api/stream/signals")[0].contains("wait=0"));
}

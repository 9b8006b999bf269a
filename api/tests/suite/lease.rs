//! The broker abandons a stream whose producer goes silent.

use std::time::Duration;

use futures::{SinkExt, channel::mpsc::UnboundedSender, future::join_all};
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};
use tokio_tungstenite::tungstenite::Message;

use crate::common::{
    Broker, Kind, broker,
    broker::{API_KEY, answer},
    until, within,
    ws::Ws,
};

async fn create(broker: &Broker, key: &str, promise: Value) -> String {
    let mut body = promise;
    body["key"] = json!(key);
    broker.create_with(body).await
}

async fn info(broker: &Broker, key: &str) -> Value {
    broker.get(&format!("/api/stream/info?key={key}")).await.1
}

async fn renew(broker: &Broker, body: Value) -> Value {
    let (status, answer) = broker.post("/api/stream/renew", body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn is_abandoned(broker: &Broker, key: &str) {
    until("the stream is abandoned", || async {
        info(broker, key).await["status"] == "abandoned"
    })
    .await;
}

/// A producer's WebSocket.
async fn socket(broker: &Broker, key: &str) -> Ws {
    let path = format!("/api/event/add/ws-stream?key={key}");
    let url = broker.url.replacen("http", "ws", 1) + &path;
    Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap()
}

type Lines = UnboundedSender<Result<&'static str, std::io::Error>>;

/// An open upload, and its answer. It begins with a blank line, because the broker sees an upload
/// only once 14 bytes of it have arrived.
fn upload(broker: &Broker, key: &str) -> (Lines, JoinHandle<(StatusCode, Value)>) {
    let (lines, receiver) = futures::channel::mpsc::unbounded();
    lines.unbounded_send(Ok("               \n")).unwrap();
    let path = format!("/api/event/add/json-stream?key={key}");
    let request = broker.request(Method::POST, &path);
    let upload = tokio::spawn(answer(request.body(Body::wrap_stream(receiver))));
    (lines, upload)
}

async fn a_stream_whose_producer_is_silent_is_abandoned(broker: Broker) {
    let token = create(&broker, "chat", json!({"lease": 2})).await;
    let subscriber = broker.sse("chat", &token, None).await;
    let socket_subscriber = broker.ws("chat", &token, None).await;
    broker.add_events("chat", 0, 1).await;
    let before = info(&broker, "chat").await;
    assert!(before["lease_expires_at"].is_string(), "{before}");
    assert_eq!(before["stall_expires_at"], Value::Null);
    let (_lines, upload) = upload(&broker, "chat");

    let events = subscriber.rest().await;
    let names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(names, ["start", "n", "abandon"]);
    let reason = json!({"reason": "lease"});
    let last: Value = serde_json::from_str(&events[2].data).unwrap();
    assert_eq!(last, reason);
    let (messages, code) = socket_subscriber.rest().await;
    assert_eq!(messages.last().unwrap()["stream_status"], "abandoned");
    assert_eq!(code, Some(1000));
    let after = info(&broker, "chat").await;
    assert_eq!(
        (
            &after["status"],
            &after["reason"],
            &after["lease_expires_at"]
        ),
        (&json!("abandoned"), &reason, &Value::Null)
    );
    let resume = broker.subscribe_url("sse", "chat", &token, Some(&events[2].id));
    assert_eq!(broker.http.get(resume).send().await.unwrap().status(), 204);

    // The producer learns it, on an open upload at once.
    let (status, error) = within(upload).await.unwrap();
    assert_eq!(
        (status.as_u16(), &error["stream_status"]),
        (404, &json!("abandoned"))
    );
    for (path, body) in [
        ("event/add", json!({"key": "chat", "events": []})),
        ("stream/end", json!({"key": "chat"})),
        ("stream/renew", json!({"key": "chat"})),
    ] {
        let (status, error) = broker.post(&format!("/api/{path}"), body).await;
        assert_eq!(
            (status.as_u16(), &error["stream_status"]),
            (404, &json!("abandoned")),
            "{path}: {error}"
        );
    }
    until("it is counted", || async {
        let series = "streams_finished_total{status=\"abandoned\"}";
        broker.metrics().await.get(series) == 1
    })
    .await;
}

async fn every_sign_of_life_keeps_a_lease(broker: Broker) {
    for key in ["writes", "renews", "blank-lines", "pings", "pongs"] {
        create(&broker, key, json!({"lease": 2})).await;
    }
    let (lines, _upload) = upload(&broker, "blank-lines");
    let mut pinging = socket(&broker, "pings").await;
    let mut ponging = socket(&broker, "pongs").await;
    for round in 0..12 {
        broker.add_events("writes", round, 1).await;
        renew(&broker, json!({"key": "renews"})).await;
        lines.unbounded_send(Ok("\n")).unwrap();
        pinging
            .0
            .send(Message::Ping(Vec::new().into()))
            .await
            .unwrap();
        // A client library answers pings by itself, also where its program hangs.
        let pong = Message::Pong(Vec::new().into());
        let _ = ponging.0.send(pong).await;
        sleep(Duration::from_millis(400)).await;
    }
    for key in ["writes", "renews", "blank-lines", "pings"] {
        assert_eq!(info(&broker, key).await["status"], "active", "{key}");
    }
    assert_eq!(info(&broker, "pongs").await["status"], "abandoned");
    for key in ["writes", "renews", "blank-lines", "pings"] {
        is_abandoned(&broker, key).await;
    }
}

async fn only_events_keep_a_stall(broker: Broker) {
    let both = json!({"stall": 2, "lease": 60});
    create(&broker, "writes", both.clone()).await;
    create(&broker, "renews", both).await;
    let (lines, _upload) = upload(&broker, "renews");
    for round in 0..12 {
        broker.add_events("writes", round, 1).await;
        let (status, _) = broker
            .post("/api/stream/renew", json!({"key": "renews"}))
            .await;
        assert!([200, 404].contains(&status.as_u16()));
        let _ = lines.unbounded_send(Ok("\n"));
        sleep(Duration::from_millis(400)).await;
    }
    assert_eq!(info(&broker, "writes").await["status"], "active");
    let renews = info(&broker, "renews").await;
    assert_eq!(
        (&renews["status"], &renews["reason"]),
        (&json!("abandoned"), &json!({"reason": "stall"}))
    );
    is_abandoned(&broker, "writes").await;
}

async fn a_lease_begins_and_ends_with_a_renewal(broker: Broker) {
    create(&broker, "chat", json!({})).await;
    create(&broker, "freed", json!({"lease": 2, "stall": 2})).await;
    // The upload learns of a lease that begins after it.
    let (lines, _upload) = upload(&broker, "chat");
    lines.unbounded_send(Ok("{\"event\":\"n\"}\n")).unwrap();
    until("the first line is written", || async {
        info(&broker, "chat").await["length"] == 2
    })
    .await;
    assert_eq!(
        renew(&broker, json!({"key": "chat"})).await,
        json!({
            "lease_expires_at": null, "stall_expires_at": null,
            "stop_expires_at": null, "stop_requested_at": null,
        })
    );
    let begun = renew(&broker, json!({"key": "chat", "lease": 2})).await;
    assert!(begun["lease_expires_at"].is_string(), "{begun}");
    let freed = renew(&broker, json!({"key": "freed", "lease": 0, "stall": 0})).await;
    assert_eq!(
        freed,
        json!({
            "lease_expires_at": null, "stall_expires_at": null,
            "stop_expires_at": null, "stop_requested_at": null,
        })
    );
    for _ in 0..12 {
        lines.unbounded_send(Ok("\n")).unwrap();
        sleep(Duration::from_millis(400)).await;
    }
    for key in ["chat", "freed"] {
        assert_eq!(info(&broker, key).await["status"], "active", "{key}");
    }
    is_abandoned(&broker, "chat").await;
    let freed = info(&broker, "freed").await;
    assert_eq!(
        (&freed["status"], &freed["lease_expires_at"]),
        (&json!("active"), &Value::Null)
    );
    // Without deadlines it is like any other stream.
    broker.add_events("freed", 0, 1).await;
    broker.end("freed").await;
}

async fn a_stream_outlives_its_lease(broker: Broker) {
    let token = create(&broker, "chat", json!({"ttl": 1, "lease": 4})).await;
    let subscriber = broker.sse("chat", &token, None).await;
    broker.add_events("chat", 0, 1).await;
    sleep(Duration::from_millis(2_500)).await;
    let (_, list) = broker.get("/api/stream").await;
    assert_eq!(list[0]["key"], "chat", "{list}");
    assert_eq!(info(&broker, "chat").await["status"], "active");
    let events = subscriber.rest().await;
    assert_eq!(events.last().unwrap().event, "abandon", "it did not expire");
}

async fn the_earliest_deadline_decides(broker: Broker) {
    for (key, promise) in [
        ("stop", json!({"lease": 30, "stall": 30, "stop_grace": 1})),
        ("lease", json!({"lease": 2, "stall": 30, "stop_grace": 60})),
        ("stall", json!({"lease": 30, "stall": 2, "stop_grace": 60})),
    ] {
        create(&broker, key, promise).await;
        let path = format!("/api/client/signal?key={key}");
        assert_eq!(broker.post(&path, json!({"name": "stop"})).await.0, 200);
    }
    for (key, status, reason) in [
        (
            "stop",
            "cancelled",
            json!({"reason": "stop-timeout", "by": "broker"}),
        ),
        ("lease", "abandoned", json!({"reason": "lease"})),
        ("stall", "abandoned", json!({"reason": "stall"})),
    ] {
        until("it is finished", || async {
            info(&broker, key).await["status"] != "active"
        })
        .await;
        let info = info(&broker, key).await;
        assert_eq!(
            (&info["status"], &info["reason"]),
            (&json!(status), &reason),
            "{key}"
        );
    }
}

async fn a_stream_is_finished_once_by_its_producer_or_its_lease(broker: Broker) {
    let keys: Vec<String> = (0..24).map(|n| format!("chat-{n}")).collect();
    join_all(
        keys.iter()
            .map(|key| create(&broker, key, json!({"lease": 2}))),
    )
    .await;
    let finishing = keys.iter().zip(0..).map(|(key, n)| {
        let broker = &broker;
        async move {
            sleep(Duration::from_millis(1_600 + 75 * n)).await;
            let body = json!({"key": key, "code": "model"});
            let (status, _) = broker.post("/api/stream/fail", body).await;
            assert!(status == 200 || status == 404, "{status}");
            status == 200
        }
    });
    let failed = join_all(finishing).await;
    until("all are finished", || async {
        broker.get("/api/stream").await.1 == json!([])
    })
    .await;
    for (key, failed) in keys.iter().zip(failed) {
        let (_, events) = broker.get(&format!("/api/stream/events?key={key}")).await;
        let events = events.as_array().unwrap();
        let names: Vec<_> = events.iter().map(|event| &event["event"]).collect();
        let last = if failed { "fail" } else { "abandon" };
        assert_eq!(names, ["start", last], "{key}");
    }
}

async fn a_stream_at_the_key_of_a_leased_one_has_no_lease(broker: Broker) {
    create(&broker, "chat", json!({"lease": 2})).await;
    create(&broker, "chat", json!({"if_exists": "replace"})).await;
    create(&broker, "taken", json!({"lease": 60, "request_id": "r1"})).await;
    let repeated = json!({"key": "taken", "lease": 60, "request_id": "r1"});
    let attached = json!({"key": "taken", "if_exists": "attach"});
    for body in [repeated, attached] {
        let (status, access) = broker.post("/api/stream", body).await;
        assert_eq!(status, 200, "{access}");
    }
    sleep(Duration::from_secs(4)).await;
    assert_eq!(info(&broker, "chat").await["status"], "active");
    assert!(info(&broker, "taken").await["lease_expires_at"].is_string());
}

async fn a_bad_lease_is_refused(broker: Broker) {
    create(&broker, "chat", json!({"lease": 86_400, "stall": 2.0})).await;
    for (path, key) in [("stream", "other"), ("stream/renew", "chat")] {
        for member in ["lease", "stall"] {
            for bad in [json!(1), json!(86_401), json!(-2), json!(2.5), json!("2")] {
                let body = json!({"key": key, member: bad});
                let (status, error) = broker.post(&format!("/api/{path}"), body).await;
                assert_eq!(status, 400, "{member}: {bad}");
                assert_eq!(error["code"], "invalid-request", "{member}: {bad}");
            }
        }
    }
    let body = json!({"key": "other", "lease": 1});
    let (_, error) = broker.post("/api/stream", body).await;
    assert_eq!(error["message"], "lease is 0, or 2 to 86400 seconds, not 1");
}

on_every_store!(
    a_stream_whose_producer_is_silent_is_abandoned,
    every_sign_of_life_keeps_a_lease,
    only_events_keep_a_stall,
    a_lease_begins_and_ends_with_a_renewal,
    a_stream_outlives_its_lease,
    the_earliest_deadline_decides,
    a_stream_is_finished_once_by_its_producer_or_its_lease,
    a_stream_at_the_key_of_a_leased_one_has_no_lease,
    a_bad_lease_is_refused,
);

async fn another_node_abandons_the_stream_of_a_node_that_was_killed(kind: Kind) {
    let one = broker(kind).set("LEASE", 3).start().await;
    let others = [one.another_node().await, one.another_node().await];
    let token = create(&one, "chat", json!({})).await;
    create(&one, "off", json!({"lease": 0})).await;
    let subscriber = others[0].sse("chat", &token, None).await;
    one.signal("-KILL").await;
    let events = subscriber.rest().await;
    let abandons = events.iter().filter(|event| event.event == "abandon");
    assert_eq!(abandons.count(), 1);
    assert_eq!(info(&others[1], "chat").await["status"], "abandoned");
    assert_eq!(info(&others[1], "off").await["status"], "active");
}

over_kinds!(
    exclusive_nodes: Exclusive,
    shared_nodes: Shared;
    (another_node_abandons_the_stream_of_a_node_that_was_killed)
);

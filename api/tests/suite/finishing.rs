//! The ways to finish a stream: what its subscribers receive, and that it happens once.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{
    Broker, Kind, assert_contiguous, broker,
    broker::{API_KEY, answer},
    subscriber::{Outcome, Subscriber, Transport},
    ws::Ws,
};

/// A way to finish a stream: its path, what else the body has, the last event, its data, and the
/// status.
type Way = (
    &'static str,
    Value,
    &'static str,
    Option<Value>,
    &'static str,
);

fn ways() -> Vec<Way> {
    vec![
        ("end", json!({}), "end", None, "ended"),
        (
            "end",
            json!({"data": {"tokens": 12_345_678_901_234_567_890_u64}}),
            "end",
            Some(json!({"tokens": 12_345_678_901_234_567_890_u64})),
            "ended",
        ),
        ("cancel", json!({}), "cancel", None, "cancelled"),
        (
            "cancel",
            json!({"reason": "the user's \"stop\"\n", "by": "user-7"}),
            "cancel",
            Some(json!({"reason": "the user's \"stop\"\n", "by": "user-7"})),
            "cancelled",
        ),
        (
            "fail",
            json!({}),
            "fail",
            Some(json!({"code": "error", "message": ""})),
            "failed",
        ),
        (
            "fail",
            json!({"code": "model-overloaded", "message": "Überlastet \u{2028}"}),
            "fail",
            Some(json!({"code": "model-overloaded", "message": "Überlastet \u{2028}"})),
            "failed",
        ),
    ]
}

fn body(key: &str, mut more: Value) -> Value {
    more["key"] = json!(key);
    more
}

async fn each_way_to_finish_a_stream_reaches_its_subscribers_with_data(broker: Broker) {
    for (number, (path, more, event, data, status)) in ways().into_iter().enumerate() {
        let key = format!("chat-{number}");
        let token = broker.create(&key).await;
        broker.add_events(&key, 0, 3).await;
        // Some subscribers are connected when the stream is finished, others come later.
        let mut live: Vec<Subscriber> = Transport::ALL
            .map(|transport| Subscriber::new(&broker, transport, [&key], &token))
            .into();
        for subscriber in &mut live {
            for _ in 0..4 {
                subscriber.update().await;
            }
        }
        let path = format!("/api/stream/{path}");
        let answer = broker.post(&path, body(&key, more)).await;
        assert_eq!(
            (answer.0.as_u16(), &answer.1["status"]),
            (200, &json!(status))
        );
        for subscriber in &mut live {
            let rest = subscriber.rest().await;
            assert_eq!(rest.len(), 1, "{:?}", subscriber.transport);
            assert!(rest[0].is(event), "{rest:?}");
            let received = serde_json::from_str::<Value>(&rest[0].data).ok();
            assert_eq!(received, data, "{:?}", subscriber.transport);
        }
        for transport in Transport::ALL {
            let mut late = Subscriber::new(&broker, transport, [&key], &token);
            let all = late.rest().await;
            assert_contiguous(all.iter().filter_map(|update| update.id.as_deref()), 0);
            assert!(all[4].is(event));
            let last = all[4].id.clone().unwrap();
            // Who has the last event gets nothing more, on every transport.
            let mut again = Subscriber::new(&broker, transport, [&key], &token).after(last);
            assert_eq!(again.next().await, Outcome::Complete, "{transport:?}");
        }
        let (_, info) = broker.get(&format!("/api/stream/info?key={key}")).await;
        assert_eq!(info["status"], status);
        let reason = data.filter(|_| event != "end");
        assert_eq!(info["reason"], reason.unwrap_or(Value::Null));
    }
}

async fn the_last_event_has_the_status_of_the_stream_in_json(broker: Broker) {
    for (number, (path, more, _, _, status)) in ways().into_iter().enumerate() {
        let key = format!("chat-{number}");
        let token = broker.create(&key).await;
        let mut socket = broker.ws(&key, &token, None).await;
        assert_eq!(socket.next().await.unwrap()[0]["event"], "start");
        broker.add_events(&key, 0, 1).await;
        assert_eq!(socket.next().await.unwrap().get("stream_status"), None);
        let path = format!("/api/stream/{path}");
        broker.post(&path, body(&key, more)).await;
        assert_eq!(socket.next().await.unwrap()["stream_status"], status);
        assert_eq!(socket.close_code().await, Some(1000));

        let text = |transport| {
            let url = broker.subscribe_url(transport, &key, &token, None);
            let request = broker.http.get(url).send();
            async { request.await.unwrap().text().await.unwrap() }
        };
        let polled: Value = serde_json::from_str(&text("poll").await).unwrap();
        assert_eq!(polled["status"], status);
        let lines = text("ndjson").await;
        let lines = lines.lines().filter(|line| !line.trim().is_empty());
        let lines: Vec<Value> = lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for events in [polled["events"].as_array().unwrap(), &lines] {
            let of = |event: &Value| event["stream_status"].as_str().map(ToOwned::to_owned);
            let statuses: Vec<_> = events.iter().map(of).collect();
            assert_eq!(statuses, [None, None, Some(status.to_owned())]);
        }
    }
}

async fn a_finished_stream_takes_nothing_and_says_how_it_was_finished(broker: Broker) {
    for (path, status) in [
        ("end", "ended"),
        ("cancel", "cancelled"),
        ("fail", "failed"),
    ] {
        let key = path;
        broker.create(key).await;
        broker
            .post(&format!("/api/stream/{path}"), json!({ "key": key }))
            .await;
        let (_, before) = broker.get(&format!("/api/stream/events?key={key}")).await;
        let batch = json!({"key": key, "events": [{"event": "x"}]});
        let mut refusals = vec![broker.post("/api/event/add", batch).await];
        for path in ["end", "cancel", "fail"] {
            let path = format!("/api/stream/{path}");
            refusals.push(broker.post(&path, json!({ "key": key })).await);
        }
        let upload = format!("/api/event/add/json-stream?key={key}");
        let upload = broker
            .request(Method::POST, &upload)
            .body("{\"event\":\"x\"}\n");
        refusals.push(answer(upload).await);
        for (code, error) in refusals {
            assert_eq!(
                (code.as_u16(), &error["code"]),
                (404, &json!("no-active-stream"))
            );
            assert_eq!(error["stream_status"], status, "{error}");
            let message = error["message"].as_str().unwrap();
            assert!(
                message.contains(&format!("{key:?}")) && message.contains(status),
                "{message}"
            );
        }
        let url = format!(
            "{}/api/event/add/ws-stream?key={key}",
            broker.url.replacen("http", "ws", 1)
        );
        let Err((404, error)) = Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await else {
            panic!("a handshake is refused");
        };
        assert_eq!(error["stream_status"], status, "{error}");
        let (_, after) = broker.get(&format!("/api/stream/events?key={key}")).await;
        assert_eq!(before, after);
    }
    let (code, error) = broker
        .post("/api/stream/fail", json!({"key": "none"}))
        .await;
    assert_eq!(
        (code.as_u16(), &error["code"]),
        (404, &json!("no-active-stream"))
    );
    assert_eq!(error.get("stream_status"), None, "no stream is there");
}

async fn of_all_that_finish_a_stream_at_once_one_succeeds(broker: Broker) {
    for round in 0..10 {
        let key = format!("chat-{round}");
        let token = broker.create(&key).await;
        let mut subscriber = Subscriber::new(&broker, Transport::Ws, [&key], &token);
        subscriber.update().await;
        let finish = |path: &str| {
            let path = format!("/api/stream/{path}");
            let request = broker.request(Method::POST, &path);
            answer(request.body(json!({ "key": key }).to_string()))
        };
        let paths = ["end", "cancel", "fail"];
        let answers = join_all((0..12).map(|n| finish(paths[n % 3]))).await;
        let finished: Vec<_> = answers.iter().filter(|(code, _)| *code == 200).collect();
        assert_eq!(finished.len(), 1, "{answers:?}");
        let status = &finished[0].1["status"];
        for (code, error) in answers.iter().filter(|(code, _)| *code != 200) {
            assert_eq!((code.as_u16(), &error["stream_status"]), (404, status));
        }
        let rest = subscriber.rest().await;
        assert_eq!(rest.len(), 1, "{rest:?}");
        let (_, info) = broker.get(&format!("/api/stream/info?key={key}")).await;
        assert_eq!((&info["status"], &info["length"]), (status, &json!(2)));
    }
}

async fn what_a_stream_is_finished_with_is_checked(kind: Kind) {
    let broker = broker(kind).set("MAX_EVENT", "1000").start().await;
    broker.create("chat").await;
    let long = |length| "x".repeat(length);
    for (path, more, code) in [
        ("end", json!({"data": long(1_001)}), "too-large"),
        ("end", json!({"generation": "abc"}), "invalid-request"),
        ("cancel", json!({"reason": long(1_025)}), "invalid-request"),
        ("cancel", json!({"by": long(129)}), "invalid-request"),
        ("cancel", json!({"reason": 5}), "invalid-request"),
        ("fail", json!({"message": long(1_025)}), "invalid-request"),
        ("fail", json!({"code": long(65)}), "invalid-request"),
        ("fail", json!({"code": ""}), "invalid-request"),
        ("fail", json!({"code": "Not A Word"}), "invalid-request"),
    ] {
        let path = format!("/api/stream/{path}");
        let (_, error) = broker.post(&path, body("chat", more.clone())).await;
        assert_eq!(error["code"], code, "{path} {more}");
    }
    for event in ["fail", "abandon"] {
        let batch = json!({"key": "chat", "events": [{ "event": event }]});
        let (_, error) = broker.post("/api/event/add", batch).await;
        assert_eq!(error["code"], "reserved-event");
    }
    let (_, info) = broker.get("/api/stream/info?key=chat").await;
    assert_eq!(
        (&info["status"], &info["length"]),
        (&json!("active"), &json!(1))
    );
    let most = json!({"key": "chat", "code": long(64), "message": long(1_024)});
    assert_eq!(broker.post("/api/stream/fail", most).await.0, 200);
}

/// A publisher of an earlier version may have written an event that has a reserved name by now.
async fn a_stored_event_named_fail_is_an_ordinary_event(kind: Kind) {
    let broker = broker(kind).start().await;
    let redis = crate::common::redis::Redis::shared();
    let token = broker.create("chat").await;
    let meta = format!("{}{{*}}:meta:chat", broker.prefix());
    let meta = redis.cli(&["keys", &meta]);
    let events = meta.replace(":meta:", ":events:");
    let ms = redis.cli(&["hget", &meta, "last_ms"]);
    redis.cli(&["hset", &meta, "next", "2"]);
    redis.cli(&["xadd", &events, &format!("{ms}-1"), "event", "fail"]);
    broker.add_events("chat", 0, 1).await;
    broker.end("chat").await;
    for transport in Transport::ALL {
        let mut subscriber = Subscriber::new(&broker, transport, ["chat"], &token);
        let all = subscriber.rest().await;
        let names: Vec<_> = all
            .iter()
            .filter_map(|update| update.event.as_deref())
            .collect();
        assert_eq!(names, ["start", "fail", "n", "end"], "{transport:?}");
    }
    let mut socket = broker.ws("chat", &token, None).await;
    let all = socket.next().await.unwrap();
    let statuses: Vec<_> = (0..4).map(|n| all[n]["stream_status"].as_str()).collect();
    assert_eq!(statuses, [None, None, None, Some("ended")]);
}

on_every_store!(
    each_way_to_finish_a_stream_reaches_its_subscribers_with_data,
    the_last_event_has_the_status_of_the_stream_in_json,
    a_finished_stream_takes_nothing_and_says_how_it_was_finished,
    of_all_that_finish_a_stream_at_once_one_succeeds,
);

mod checks {
    use super::*;
    over_each_kind!(what_a_stream_is_finished_with_is_checked);
}

mod other_versions {
    use super::*;
    over_each_delivery!(a_stored_event_named_fail_is_an_ordinary_event);
}

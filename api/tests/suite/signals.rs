//! Signals: what senders may send, and what the broker stores.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::common::{Broker, broker::answer};

/// Sends a signal with a token.
pub(crate) async fn send(broker: &Broker, token: &str, body: Value) -> (StatusCode, Value) {
    let url = format!("{}/api/client/signal?key=chat", broker.url);
    let request = broker.http.post(url).bearer_auth(token);
    answer(request.body(body.to_string())).await
}

/// Sends a signal with the API key.
pub(crate) async fn send_as_backend(broker: &Broker, body: Value) -> (StatusCode, Value) {
    broker.post("/api/client/signal?key=chat", body).await
}

/// The signals of the stream, after the first so many.
pub(crate) async fn signals(broker: &Broker, after: u64) -> Value {
    let path = format!("/api/stream/signals?key=chat&after={after}");
    let (status, answer) = broker.get(&path).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// A stream, and a token that may send signals.
pub(crate) async fn create(broker: &Broker, subject: &str) -> String {
    let permissions = json!(["read", "signal"]);
    broker
        .create_with(json!({"key": "chat", "permissions": permissions, "subject": subject}))
        .await
}

fn names(answer: &Value) -> Vec<&str> {
    let signals = answer["signals"].as_array().unwrap();
    signals
        .iter()
        .map(|signal| signal["name"].as_str().unwrap())
        .collect()
}

async fn a_producer_reads_signals_in_order_with_their_senders(broker: Broker) {
    let token = create(&broker, "user-7").await;
    let nothing = signals(&broker, 0).await;
    assert_eq!(
        (&nothing["signals"], &nothing["stream_status"]),
        (&json!([]), &json!("active"))
    );
    let steer =
        json!({"name": "steer", "data": {"big": 12_345_678_901_234_567_890_u64, "by": "root"}});
    assert_eq!(
        send(&broker, &token, steer).await,
        (StatusCode::OK, json!({"seq": 1}))
    );
    let approve = json!({"name": "approve", "id": "a-1", "data": null});
    assert_eq!(send_as_backend(&broker, approve).await.1, json!({"seq": 2}));
    assert_eq!(
        send(&broker, &token, json!({"name": "stop"})).await.1,
        json!({"seq": 3})
    );

    let all = signals(&broker, 0).await;
    assert_eq!(names(&all), ["steer", "approve", "stop"]);
    let [first, second, third] = [0, 1, 2].map(|n| &all["signals"][n]);
    assert_eq!(
        first["data"],
        json!({"big": 12_345_678_901_234_567_890_u64, "by": "root"})
    );
    assert_eq!(
        (&first["by"], &first["id"]),
        (&json!("user-7"), &Value::Null)
    );
    assert_eq!(
        (&second["by"], &second["id"]),
        (&json!("api-key"), &json!("a-1"))
    );
    assert!(second.as_object().unwrap().get("data").is_none());
    assert_eq!((&third["by"], &third["seq"]), (&json!("user-7"), &json!(3)));
    let time = third["time"].as_str().unwrap();
    chrono::DateTime::parse_from_rfc3339(time).unwrap();
    assert_eq!(names(&signals(&broker, 2).await), ["stop"]);
    assert_eq!(names(&signals(&broker, 1 << 50).await), [""; 0]);

    let (_, info) = broker.get("/api/stream/info?key=chat").await;
    assert_eq!(all["generation"], info["generation"]);
    assert_eq!(info["stop_requested_at"], third["time"]);
    assert_eq!(
        info["status"], "active",
        "a stop finishes nothing by itself"
    );
}

async fn a_repeated_signal_is_stored_once(broker: Broker) {
    let token = create(&broker, "user-7").await;
    assert_eq!(
        send(&broker, &token, json!({"name": "stop"})).await.1["seq"],
        1
    );
    let (_, info) = broker.get("/api/stream/info?key=chat").await;
    for body in [
        json!({"name": "stop"}),
        json!({"name": "stop", "id": "x", "data": 1}),
    ] {
        assert_eq!(send(&broker, &token, body.clone()).await.1["seq"], 1);
        assert_eq!(send_as_backend(&broker, body).await.1["seq"], 1);
    }
    let (_, again) = broker.get("/api/stream/info?key=chat").await;
    assert_eq!(info["stop_requested_at"], again["stop_requested_at"]);

    let steer = |data: u64| json!({"name": "steer", "id": "s", "data": data});
    assert_eq!(send(&broker, &token, steer(1)).await.1["seq"], 2);
    assert_eq!(send(&broker, &token, steer(2)).await.1["seq"], 2);
    // An id is the sender's own.
    assert_eq!(send_as_backend(&broker, steer(3)).await.1["seq"], 3);
    let all = signals(&broker, 1).await;
    assert_eq!(
        (&all["signals"][0]["data"], &all["signals"][1]["data"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(all["signals"].as_array().unwrap().len(), 2);
}

async fn a_token_needs_the_permission(broker: Broker) {
    let reader = broker.create("chat").await;
    let stop = json!({"name": "stop"});
    let issue = |body: Value| {
        let broker = &broker;
        async move {
            let (status, access) = broker.post("/api/stream/token", body).await;
            assert_eq!(status, 200, "{access}");
            access["token"].as_str().unwrap().to_owned()
        }
    };
    let of_another = issue(json!({"prefix": "other", "permissions": ["signal"]})).await;
    for token in [&reader, &of_another] {
        let (status, error) = send(&broker, token, stop.clone()).await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (403, &json!("forbidden"))
        );
    }
    let (status, error) = send(&broker, "nonsense", stop.clone()).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (401, &json!("unauthorized"))
    );
    assert_eq!(signals(&broker, 0).await["signals"], json!([]));

    let sender = issue(json!({"key": "chat", "permissions": ["signal"]})).await;
    let url = broker.subscribe_url("sse", "chat", &sender, None);
    assert_eq!(
        broker.http.get(url).send().await.unwrap().status(),
        403,
        "it may not read"
    );
    let of_prefix = issue(json!({"prefix": "ch", "permissions": ["signal"], "subject": "é"})).await;
    let steer = json!({"name": "steer"});
    assert_eq!(send(&broker, &sender, steer.clone()).await.0, 200);
    assert_eq!(send(&broker, &of_prefix, steer.clone()).await.0, 200);
    let all = signals(&broker, 0).await;
    assert_eq!(
        all["signals"][0]["by"],
        Value::Null,
        "a token without a subject"
    );
    assert_eq!(all["signals"][1]["by"], "é");

    // A token of the stream that was replaced does not reach the new one. That of a prefix does.
    broker
        .create_with(json!({"key": "chat", "if_exists": "replace"}))
        .await;
    assert_eq!(
        signals(&broker, 0).await["signals"],
        json!([]),
        "signals go with their stream"
    );
    assert_eq!(send(&broker, &sender, steer.clone()).await.0, 403);
    assert_eq!(send(&broker, &of_prefix, steer).await.1["seq"], 1);
}

async fn a_finished_or_missing_stream_takes_no_signals(broker: Broker) {
    let token = create(&broker, "user-7").await;
    let (_, info) = broker.get("/api/stream/info?key=chat").await;
    let of = |generation: &str| json!({"name": "steer", "generation": generation});
    let other = "00112233445566778899aabbccddeeff";
    for (status, error) in [
        send(&broker, &token, of(other)).await,
        send_as_backend(&broker, of(other)).await,
    ] {
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (409, &json!("stale-generation"))
        );
    }
    let own = info["generation"].as_str().unwrap();
    assert_eq!(send(&broker, &token, of(own)).await.0, 200);
    broker.end("chat").await;
    let (status, error) = send(&broker, &token, json!({"name": "stop"})).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (404, &json!("no-active-stream"))
    );
    assert_eq!(error["stream_status"], "ended");
    let after = signals(&broker, 0).await;
    assert_eq!(
        (names(&after), &after["stream_status"]),
        (vec!["steer"], &json!("ended"))
    );

    for path in [
        "/api/client/signal?key=nobody",
        "/api/stream/signals?key=nobody",
    ] {
        let method = if path.contains("client") {
            Method::POST
        } else {
            Method::GET
        };
        let request = broker.request(method, path).body("{\"name\":\"stop\"}");
        assert_eq!(answer(request).await.0, 404, "{path}");
    }
}

async fn the_number_of_signals_is_bounded_and_a_stop_always_fits(broker: Broker) {
    let token = create(&broker, "user-7").await;
    let steer = json!({"name": "steer", "data": "x".repeat(100)});
    for n in 1..=100 {
        assert_eq!(send(&broker, &token, steer.clone()).await.1["seq"], n);
    }
    let (status, error) = send(&broker, &token, steer.clone()).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (429, &json!("too-many-signals"))
    );
    for n in 101..=1000 {
        assert_eq!(send_as_backend(&broker, steer.clone()).await.1["seq"], n);
    }
    assert_eq!(send_as_backend(&broker, steer).await.0, 429);
    assert_eq!(
        send(&broker, &token, json!({"name": "stop"})).await.1["seq"],
        1001
    );
    // An answer is bounded too: the producer asks again.
    let mut after = 0;
    let mut answers = 0;
    loop {
        let page = signals(&broker, after).await;
        let Some(last) = page["signals"].as_array().unwrap().last() else {
            break;
        };
        assert_eq!(page["signals"][0]["seq"], after + 1);
        (after, answers) = (last["seq"].as_u64().unwrap(), answers + 1);
    }
    assert!(
        after == 1001 && (2..10).contains(&answers),
        "{after} {answers}"
    );
}

async fn the_bytes_of_signals_are_bounded(broker: Broker) {
    create(&broker, "user-7").await;
    let large = json!({"name": "steer", "data": "x".repeat((16 << 10) - 2)});
    let mut stored = 0;
    while send_as_backend(&broker, large.clone()).await.0 == 200 {
        stored += 1;
    }
    assert_eq!(stored, 63, "1 MiB of signals");
    let stop = json!({"name": "stop", "data": "x".repeat(16_000)});
    assert_eq!(send_as_backend(&broker, stop).await.1["seq"], 64);
}

async fn bad_signals_are_refused(broker: Broker) {
    create(&broker, "user-7").await;
    for (body, code) in [
        (json!({}), "invalid-request"),
        (json!({"name": ""}), "invalid-request"),
        (json!({"name": "Stop"}), "invalid-request"),
        (json!({"name": "x".repeat(65)}), "invalid-request"),
        (json!({"name": 7}), "invalid-request"),
        (
            json!({"name": "a", "data": "x".repeat(16 << 10)}),
            "invalid-request",
        ),
        (json!({"name": "a", "id": ""}), "invalid-request"),
        (
            json!({"name": "a", "id": "x".repeat(65)}),
            "invalid-request",
        ),
        (json!({"name": "a", "id": "a\nb"}), "invalid-request"),
        (json!({"name": "a", "generation": "x"}), "invalid-request"),
        (json!([]), "invalid-request"),
    ] {
        let (status, error) = send_as_backend(&broker, body.clone()).await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (400, &json!(code)),
            "{body}"
        );
    }
    for query in ["after=x", "after=-1", "wait=61", "wait=x", "generation=x"] {
        let path = format!("/api/stream/signals?key=chat&{query}");
        assert_eq!(broker.get(&path).await.0, 400, "{query}");
    }
    assert_eq!(
        broker.get("/api/stream/signals").await.1["code"],
        "missing-parameter"
    );
    let unknown = format!("{}/api/stream/signals?key=chat", broker.url);
    assert_eq!(broker.http.get(unknown).send().await.unwrap().status(), 401);
    for (member, value) in [
        ("permissions", json!([])),
        ("permissions", json!(["write"])),
        ("permissions", json!(["read", "signal", "read"])),
        ("subject", json!("")),
        ("subject", json!("x".repeat(129))),
        ("subject", json!("a\nb")),
        ("subject", json!("api-key")),
        ("subject", json!("broker")),
    ] {
        let body = json!({"key": "chat", member: value});
        let (status, error) = broker.post("/api/stream/token", body.clone()).await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (400, &json!("invalid-request")),
            "{body}"
        );
    }
    assert_eq!(signals(&broker, 0).await["signals"], json!([]));
}

async fn signals_live_as_long_as_their_stream(broker: Broker) {
    broker.create_with(json!({"key": "chat", "ttl": 3})).await;
    assert_eq!(
        send_as_backend(&broker, json!({"name": "steer"})).await.0,
        200
    );
    for n in 0..10 {
        tokio::time::sleep(std::time::Duration::from_millis(800)).await;
        broker.add_events("chat", n, 1).await;
    }
    assert_eq!(names(&signals(&broker, 0).await), ["steer"]);
    broker.end("chat").await;
    assert_eq!(names(&signals(&broker, 0).await), ["steer"]);
}

on_every_store!(
    a_producer_reads_signals_in_order_with_their_senders,
    a_repeated_signal_is_stored_once,
    a_token_needs_the_permission,
    a_finished_or_missing_stream_takes_no_signals,
    the_number_of_signals_is_bounded_and_a_stop_always_fits,
    the_bytes_of_signals_are_bounded,
    bad_signals_are_refused,
    signals_live_as_long_as_their_stream,
);

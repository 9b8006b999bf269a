//! Signals on their way to the producers that wait for them.

use std::time::Duration;

use reqwest::{Body, Method};
use serde_json::{Value, json};

use crate::{
    common::{
        Broker, Kind, broker,
        broker::{API_KEY, answer},
        redis::Redis,
        sse::Sse,
        until, within,
        ws::Ws,
    },
    signals::{create, send, send_as_backend, signals},
};

/// Waits for signals over server-sent events.
async fn events(broker: &Broker, after: Option<&str>) -> reqwest::Response {
    let request = broker
        .request(Method::GET, "/api/stream/signals?key=chat")
        .header("Accept", "text/event-stream");
    let request = match after {
        Some(id) => request.header("Last-Event-ID", id),
        None => request,
    };
    request.send().await.unwrap()
}

async fn wait(broker: &Broker, after: u64) -> Value {
    let path = format!("/api/stream/signals?key=chat&after={after}&wait=60");
    let (status, answer) = within(broker.get(&path)).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn producer(broker: &Broker, query: &str) -> Ws {
    let url = format!(
        "{}/api/event/add/ws-stream?key=chat{query}",
        broker.url.replacen("http", "ws", 1)
    );
    Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap()
}

async fn a_waiting_request_gets_the_next_signal(broker: Broker) {
    let token = create(&broker, "user-7").await;
    let (received, sent) = tokio::join!(wait(&broker, 0), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        send(&broker, &token, json!({"name": "steer"})).await
    });
    assert_eq!(sent.1["seq"], 1);
    assert_eq!(received["signals"][0]["name"], "steer");
    // A producer that comes late has it at once. One that has it waits until the stream is over.
    assert_eq!(wait(&broker, 0).await["signals"][0]["name"], "steer");
    let (received, ()) = tokio::join!(wait(&broker, 1), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        broker
            .post("/api/stream/fail", json!({"key": "chat"}))
            .await;
    });
    assert_eq!(
        (&received["signals"], &received["stream_status"]),
        (&json!([]), &json!("failed"))
    );
    let short = broker
        .get("/api/stream/signals?key=chat&after=1&wait=1")
        .await;
    assert_eq!(short.1["signals"], json!([]));
}

async fn server_sent_events_bring_signals_until_the_stream_is_finished(broker: Broker) {
    let token = create(&broker, "user-7").await;
    assert_eq!(send(&broker, &token, json!({"name": "steer"})).await.0, 200);
    let mut early = Sse::new(events(&broker, None).await);
    let mut other = Sse::new(events(&broker, None).await);
    let first = early.next().await.unwrap();
    let data: Value = serde_json::from_str(&first.data).unwrap();
    assert_eq!(
        (first.event.as_str(), &data["name"]),
        ("signal", &json!("steer"))
    );
    let generation = signals(&broker, 0).await["generation"].clone();
    assert_eq!(first.id, format!("{}:1", generation.as_str().unwrap()));
    assert_eq!(other.next().await.unwrap().id, first.id);

    assert_eq!(send(&broker, &token, json!({"name": "stop"})).await.0, 200);
    for producer in [&mut early, &mut other] {
        let stop = producer.next().await.unwrap();
        assert!(
            stop.data.contains("\"stop\"") && stop.id.ends_with(":2"),
            "{stop:?}"
        );
    }
    let mut resumed = Sse::new(events(&broker, Some(&first.id)).await);
    assert!(resumed.next().await.unwrap().id.ends_with(":2"));
    let end = json!({"key": "chat", "reason": "asked", "by": "user-7"});
    broker.post("/api/stream/cancel", end).await;
    for producer in [&mut early, &mut other, &mut resumed] {
        assert!(producer.next().await.is_none());
    }
    let last = first.id.replace(":1", ":2");
    assert_eq!(events(&broker, Some(&last)).await.status(), 204);
    assert_eq!(events(&broker, Some(&first.id)).await.status(), 200);
    assert_eq!(events(&broker, Some("nonsense")).await.status(), 400);
    broker.create("chat").await;
    assert_eq!(events(&broker, Some(&last)).await.status(), 409);
}

async fn a_websocket_gets_the_signals_that_it_asks_for(broker: Broker) {
    let token = create(&broker, "user-7").await;
    let steer = json!({"name": "steer", "data": [1, 2]});
    assert_eq!(send(&broker, &token, steer).await.0, 200);
    let mut all = producer(&broker, "&signals=0").await;
    let mut later = producer(&broker, "&signals=1").await;
    let mut none = producer(&broker, "").await;
    let first = all.next().await.unwrap();
    assert_eq!(
        (&first["type"], &first["seq"]),
        (&json!("signal"), &json!(1))
    );
    assert_eq!(
        (&first["name"], &first["data"]),
        (&json!("steer"), &json!([1, 2]))
    );
    assert_eq!(first["by"], "user-7");
    assert_eq!(send(&broker, &token, json!({"name": "stop"})).await.0, 200);
    for socket in [&mut all, &mut later] {
        let stop = socket.next().await.unwrap();
        assert_eq!((&stop["seq"], &stop["name"]), (&json!(2), &json!("stop")));
        // A stop asks. The producer still writes what it has.
        socket.send("{\"event\":\"last-word\"}").await;
        assert_eq!(socket.next().await.unwrap()["type"], "success");
    }
    none.send("{\"event\":\"word\"}").await;
    assert_eq!(none.next().await.unwrap()["type"], "success");
    broker.end("chat").await;
    for socket in [&mut all, &mut later, &mut none] {
        assert_eq!(socket.ended().await, Some(1011));
    }
}

async fn an_upload_ends_when_its_producer_is_asked_to_stop(broker: Broker) {
    let token = create(&broker, "user-7").await;
    let mut follower = broker.sse("chat", &token, None).await;
    let path = "/api/event/add/json-stream?key=chat";
    for is_early in [false, true] {
        let (lines, receiver) = futures::channel::mpsc::unbounded::<Result<_, std::io::Error>>();
        let request = broker.request(Method::POST, &format!("{path}&signals=stop"));
        let upload = tokio::spawn(answer(request.body(Body::wrap_stream(receiver))));
        let line = "{\"event\":\"word\"}\n".to_owned();
        lines.unbounded_send(Ok(line)).unwrap();
        if !is_early {
            // Another signal does not end it.
            assert_eq!(follower.take(2).await[1].event, "word");
            assert_eq!(send(&broker, &token, json!({"name": "steer"})).await.0, 200);
            assert_eq!(send(&broker, &token, json!({"name": "stop"})).await.0, 200);
        }
        let (status, error) = within(upload).await.unwrap();
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (409, &json!("stop-requested"))
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("1 events of this upload"), "{error}");
    }
    // An upload that does not ask for signals goes on, and subscribers stay.
    let plain = broker
        .request(Method::POST, path)
        .body("{\"event\":\"last\"}\n");
    assert_eq!(answer(plain).await.0, 200);
    broker
        .post("/api/stream/cancel", json!({"key": "chat"}))
        .await;
    let events = follower.rest().await;
    let names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(names, ["word", "last", "cancel"]);
}

on_every_store!(
    a_waiting_request_gets_the_next_signal,
    server_sent_events_bring_signals_until_the_stream_is_finished,
    a_websocket_gets_the_signals_that_it_asks_for,
    an_upload_ends_when_its_producer_is_asked_to_stop,
);

async fn a_signal_reaches_producers_on_other_nodes(kind: Kind) {
    let one = broker(kind).start().await;
    let two = one.another_node().await;
    let token = create(&one, "user-7").await;
    let mut events = Sse::new(events(&two, None).await);
    let mut socket = producer(&two, "&signals=0").await;
    for seq in 1..=20 {
        assert_eq!(
            send(&one, &token, json!({"name": "steer"})).await.1["seq"],
            seq
        );
        assert!(
            events
                .next()
                .await
                .unwrap()
                .id
                .ends_with(&format!(":{seq}"))
        );
        assert_eq!(socket.next().await.unwrap()["seq"], seq);
    }
}

async fn a_producer_gets_signals_after_its_node_lost_redis(kind: Kind) {
    let redis = Redis::start(&[]);
    let broker = broker(kind).set("REDIS_URL", redis.url()).start().await;
    create(&broker, "user-7").await;
    let mut socket = producer(&broker, "&signals=0").await;
    let mut events = Sse::new(events(&broker, None).await);
    for seq in 1..=3 {
        redis.cli(&["client", "kill", "type", "pubsub"]);
        until("the signal is stored", || async {
            let steer = json!({"name": "steer", "id": seq.to_string()});
            send_as_backend(&broker, steer).await.0 == 200
        })
        .await;
        assert_eq!(socket.next().await.unwrap()["seq"], seq);
        assert!(
            events
                .next()
                .await
                .unwrap()
                .id
                .ends_with(&format!(":{seq}"))
        );
    }
}

async fn waiting_producers_have_a_limit_of_their_own(kind: Kind) {
    let broker = broker(kind)
        .set("MAX_PRODUCERS", 2)
        .set("MAX_CLIENTS", 2)
        .start()
        .await;
    let token = create(&broker, "user-7").await;
    let _subscribers = [
        broker.sse("chat", &token, None).await,
        broker.sse("chat", &token, None).await,
    ];
    let socket = producer(&broker, "&signals=0").await;
    let _events = events(&broker, None).await;
    assert_eq!(events(&broker, None).await.status(), 429);
    let path = "/api/stream/signals?key=chat&wait=60";
    assert_eq!(broker.get(path).await.1["code"], "too-many-producers");
    let upload = "/api/event/add/json-stream?key=chat&signals=stop";
    let upload = broker
        .request(Method::POST, upload)
        .body("{\"event\":\"word\"}\n");
    assert_eq!(answer(upload).await.1["code"], "too-many-producers");
    let metrics = broker.metrics().await;
    assert_eq!(
        [
            "waiting_producers",
            "producer_slots",
            "producers_refused_total"
        ]
        .map(|name| metrics.get(name)),
        [2, 2, 3]
    );
    // Without waiting, and without signals, there is no limit.
    signals(&broker, 0).await;
    let _third = producer(&broker, "").await;
    drop(socket);
    until("the permit is free", || async {
        events(&broker, None).await.status() == 200
    })
    .await;
}

over_kinds!(
    exclusive_nodes: Exclusive,
    shared_nodes: Shared;
    (
        a_signal_reaches_producers_on_other_nodes,
        a_producer_gets_signals_after_its_node_lost_redis,
        waiting_producers_have_a_limit_of_their_own,
    )
);

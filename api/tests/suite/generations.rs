//! Generations in requests; creating a stream where one exists; creating it again.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{
    Broker, Kind, assert_contiguous, broker,
    broker::{API_KEY, answer},
    subscriber::{Outcome, Subscriber, Transport, token},
    within,
    ws::Ws,
};

const OTHER: &str = "00112233445566778899aabbccddeeff";

async fn created(broker: &Broker, body: Value) -> (bool, String) {
    let (status, access) = broker.post("/api/stream", body).await;
    assert_eq!(status, 200, "{access}");
    let generation = access["generation"].as_str().unwrap().to_owned();
    (access["created"].as_bool().unwrap(), generation)
}

async fn the_generation_is_in_each_answer_about_a_stream(broker: Broker) {
    let (is_new, generation) = created(&broker, json!({"key": "chat"})).await;
    assert!(is_new);
    assert!(generation.len() == 32 && generation.bytes().all(|b| b.is_ascii_hexdigit()));
    let (_, access) = broker
        .post("/api/stream/token", json!({"key": "chat"}))
        .await;
    let (_, info) = broker.get("/api/stream/info?key=chat").await;
    let (_, list) = broker.get("/api/stream").await;
    for answer in [&access, &info, &list[0]] {
        assert_eq!(answer["generation"], generation, "{answer}");
    }
    broker.end("chat").await;
    let (_, next) = created(&broker, json!({"key": "chat"})).await;
    assert_ne!(next, generation);
}

async fn a_request_with_another_generation_does_nothing(broker: Broker) {
    let (_, generation) = created(&broker, json!({"key": "chat"})).await;
    let upload = |generation: &str| {
        let path = format!("/api/event/add/json-stream?key=chat&generation={generation}");
        answer(
            broker
                .request(Method::POST, &path)
                .body("{\"event\":\"x\"}\n"),
        )
    };
    let url = |generation: &str| {
        format!(
            "{}/api/event/add/ws-stream?key=chat&generation={generation}",
            broker.url.replacen("http", "ws", 1)
        )
    };
    let finish = |path: &str, generation: &str| {
        let body = json!({"key": "chat", "generation": generation});
        answer(
            broker
                .request(Method::POST, &format!("/api/stream/{path}"))
                .body(body.to_string()),
        )
    };
    let batch = |generation: &str| {
        let events = [json!({"event": "x"})];
        let body = json!({"key": "chat", "events": events, "generation": generation});
        answer(
            broker
                .request(Method::POST, "/api/event/add")
                .body(body.to_string()),
        )
    };
    let stale = || async {
        let mut refusals = vec![upload(OTHER).await, batch(OTHER).await];
        for path in ["end", "cancel", "fail"] {
            refusals.push(finish(path, OTHER).await);
        }
        for (status, error) in refusals {
            assert_eq!(
                (status.as_u16(), &error["code"]),
                (409, &json!("stale-generation"))
            );
        }
        let Err((409, error)) = Ws::connect(&url(OTHER), &[("X-API-KEY", API_KEY)]).await else {
            panic!("a handshake is refused");
        };
        assert_eq!(error["code"], "stale-generation");
    };
    stale().await;
    assert_eq!(broker.get("/api/stream/info?key=chat").await.1["length"], 1);

    assert_eq!(upload(&generation).await.0, 200);
    assert_eq!(batch(&generation).await.0, 200);
    let mut socket = Ws::connect(&url(&generation), &[("X-API-KEY", API_KEY)])
        .await
        .unwrap();
    socket.send("{\"event\":\"x\"}").await;
    assert_eq!(socket.next().await.unwrap()["type"], "success");
    assert_eq!(finish("end", &generation).await.0, 200);
    // Another stream, finished or not, is another stream.
    stale().await;
    let (status, error) = finish("end", &generation).await;
    assert_eq!(
        (status.as_u16(), &error["stream_status"]),
        (404, &json!("ended"))
    );
    assert_eq!(upload("abc").await.1["code"], "invalid-parameter");
    assert_eq!(batch("abc").await.1["code"], "invalid-request");
}

async fn a_create_attaches_replaces_or_fails_as_it_asks(broker: Broker) {
    let (_, first) = created(&broker, json!({"key": "chat"})).await;
    broker.add_events("chat", 0, 2).await;
    let with = |exists: &str, finished: &str| {
        let key = "chat";
        json!({"key": key, "if_exists": exists, "if_finished": finished})
    };
    assert_eq!(
        created(&broker, with("attach", "replace")).await,
        (false, first.clone())
    );
    let (status, error) = broker.post("/api/stream", with("error", "attach")).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (400, &json!("existing-stream"))
    );
    assert_eq!(error.get("stream_status"), None);

    broker
        .post("/api/stream/fail", json!({"key": "chat"}))
        .await;
    assert_eq!(
        created(&broker, with("error", "attach")).await,
        (false, first.clone())
    );
    let (status, error) = broker.post("/api/stream", with("attach", "error")).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (400, &json!("existing-stream"))
    );
    assert_eq!(error["stream_status"], "failed");

    let (is_new, second) = created(&broker, with("attach", "replace")).await;
    assert!(is_new && second != first);
    let (is_new, third) = created(&broker, with("replace", "error")).await;
    assert!(is_new && third != second);
    assert_eq!(broker.get("/api/stream/info?key=chat").await.1["length"], 1);
    // Without a stream each of them creates one.
    for (key, exists) in [("a", "error"), ("b", "attach"), ("c", "replace")] {
        let body = json!({"key": key, "if_exists": exists, "if_finished": exists});
        assert!(created(&broker, body).await.0);
    }
}

async fn subscribers_of_a_replaced_stream_learn_it_at_once(broker: Broker) {
    let keys = crate::common::keys::together(broker.kind, ["chat", "other"]);
    let mut tokens = Vec::new();
    for key in &keys {
        tokens.push(broker.create(key).await);
    }
    let both = token(&broker, json!({ "keys": keys })).await;
    let mut single = Subscriber::new(&broker, Transport::Ws, [&keys[0]], &tokens[0]);
    let mut keyed = Subscriber::new(&broker, Transport::Ws, &keys, &both);
    let start = single.update().await.id;
    keyed.update().await;
    keyed.update().await;
    // The subscribers of both nodes are idle: no message of the stream wakes them.
    created(&broker, json!({"key": keys[0], "if_exists": "replace"})).await;
    assert_eq!(single.next().await, Outcome::Disconnected(Some(1011)));
    let missed = keyed.update().await;
    assert_eq!(missed.key, keys[0]);
    assert_eq!(
        missed.missed(),
        json!({"after": start, "first": null, "missed": null})
    );
    assert_eq!(single.refused().await, (403, "forbidden".to_owned()));
    broker.end(&keys[1]).await;
    assert!(keyed.update().await.is("end"));
}

async fn an_upload_of_a_replaced_stream_writes_nothing_into_the_new_one(broker: Broker) {
    broker.create("chat").await;
    let (lines, receiver) = futures::channel::mpsc::unbounded::<Result<String, std::io::Error>>();
    let path = "/api/event/add/json-stream?key=chat";
    let request = broker.request(Method::POST, path);
    let upload = tokio::spawn(answer(request.body(reqwest::Body::wrap_stream(receiver))));
    lines
        .unbounded_send(Ok("{\"event\":\"old\"}\n".to_owned()))
        .unwrap();
    let url = format!(
        "{}/api/event/add/ws-stream?key=chat",
        broker.url.replacen("http", "ws", 1)
    );
    let mut socket = Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap();
    socket.send("{\"event\":\"old\"}").await;
    assert_eq!(socket.next().await.unwrap()["type"], "success");
    crate::common::until("the line is written", || async {
        broker.get("/api/stream/info?key=chat").await.1["length"] == 3
    })
    .await;
    created(&broker, json!({"key": "chat", "if_exists": "replace"})).await;

    lines
        .unbounded_send(Ok("{\"event\":\"old\"}\n".to_owned()))
        .unwrap();
    let (status, error) = within(upload).await.unwrap();
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (404, &json!("no-active-stream"))
    );
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("1 events of this upload"),
        "{error}"
    );
    socket.send("{\"event\":\"old\"}").await;
    // The notification may come before the event. It brings the same error.
    let (answers, close_code) = socket.rest().await;
    let refusals = answers
        .iter()
        .filter(|answer| answer["code"] == "no-active-stream");
    assert_eq!(refusals.count(), answers.len(), "{answers:?}");
    assert!(!answers.is_empty());
    assert_eq!(close_code, Some(1011));
    let (_, events) = broker.get("/api/stream/events?key=chat").await;
    assert_eq!(events.as_array().unwrap().len(), 1, "{events}");
}

async fn a_repeated_create_gets_the_first_answer(broker: Broker) {
    let with = |id: &str| json!({"key": "chat", "request_id": id});
    let (is_new, first) = created(&broker, with("a")).await;
    assert!(is_new);
    // As a caller whose response was lost would see it: also after the stream has gone on.
    broker.add_events("chat", 0, 1).await;
    assert_eq!(created(&broker, with("a")).await, (true, first.clone()));
    let (_, error) = broker.post("/api/stream", with("b")).await;
    assert_eq!(error["code"], "existing-stream");
    broker.end("chat").await;
    assert_eq!(created(&broker, with("a")).await, (true, first.clone()));
    let (is_new, second) = created(&broker, with("b")).await;
    assert!(is_new && second != first);
    // The id of the first request is of a stream that is no longer there.
    let (_, error) = broker.post("/api/stream", with("a")).await;
    assert_eq!(error["code"], "existing-stream");
    for id in ["", &"x".repeat(65), "a\nb"] {
        let (_, error) = broker.post("/api/stream", with(id)).await;
        assert_eq!(error["code"], "invalid-request");
    }
}

async fn of_many_that_attach_or_repeat_one_creates(broker: Broker) {
    for round in 0..10 {
        let key = format!("chat-{round}");
        let attach = json!({"key": key, "if_exists": "attach"});
        let answers = join_all((0..12).map(|_| created(&broker, attach.clone()))).await;
        assert_eq!(answers.iter().filter(|(is_new, _)| *is_new).count(), 1);
        assert!(
            answers
                .iter()
                .all(|(_, generation)| *generation == answers[0].1)
        );

        let repeat = json!({"key": format!("again-{round}"), "request_id": "one"});
        let answers = join_all((0..12).map(|_| created(&broker, repeat.clone()))).await;
        assert!(
            answers
                .iter()
                .all(|answer| *answer == (true, answers[0].1.clone()))
        );

        let replace = json!({"key": key, "if_exists": "replace"});
        let writers = join_all((0..12).map(|_| {
            let batch = json!({"key": key, "events": [{"event": "x"}, {"event": "x"}]});
            broker.post("/api/event/add", batch)
        }));
        let replacers = join_all((0..6).map(|_| created(&broker, replace.clone())));
        let (answers, _) = futures::join!(replacers, writers);
        let (_, info) = broker.get(&format!("/api/stream/info?key={key}")).await;
        let left =
            |(is_new, generation): &(bool, String)| *is_new && info["generation"] == **generation;
        assert_eq!(
            answers.iter().filter(|answer| left(answer)).count(),
            1,
            "{info}"
        );
        let (_, events) = broker.get(&format!("/api/stream/events?key={key}")).await;
        let ids = events.as_array().unwrap().iter();
        assert_contiguous(ids.map(|event| event["id"].as_str().unwrap()), 0);
    }
}

async fn an_api_key_attaches_also_when_it_may_start_no_more(kind: Kind) {
    let broker = broker(kind).set("MAX_STREAMS_PER_KEY", "1").start().await;
    let (_, first) = created(&broker, json!({"key": "a"})).await;
    let attach = |key: &str| json!({"key": key, "if_exists": "attach", "if_finished": "attach"});
    assert_eq!(created(&broker, attach("a")).await, (false, first.clone()));
    let other = broker.another_node().await;
    let (_, second) = created(&other, json!({"key": "b"})).await;
    // `b` was started on another node, and is not one of this node's streams.
    assert_eq!(created(&broker, attach("b")).await, (false, second));
    let (status, error) = broker.post("/api/stream", attach("c")).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (429, &json!("too-many-streams"))
    );
}

on_every_store!(
    the_generation_is_in_each_answer_about_a_stream,
    a_request_with_another_generation_does_nothing,
    a_create_attaches_replaces_or_fails_as_it_asks,
    subscribers_of_a_replaced_stream_learn_it_at_once,
    an_upload_of_a_replaced_stream_writes_nothing_into_the_new_one,
    a_repeated_create_gets_the_first_answer,
    of_many_that_attach_or_repeat_one_creates,
);

mod quota {
    use super::*;
    over_each_delivery!(an_api_key_attaches_also_when_it_may_start_no_more);
}

//! Long polling: the response comes at once when events exist, when events arrive, or when the wait
//! is over.

mod waiting;

use reqwest::{Response, header::HeaderMap};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::common::{
    Broker, assert_contiguous,
    keys::together,
    subscriber::{encoded, token, with_keys},
    until, within,
};

async fn ask(broker: &Broker, keys: &[&str], token: &str, more: &str) -> Response {
    let keys = with_keys(keys);
    within(
        broker
            .http
            .get(format!(
                "{}/api/client/poll?token={token}{keys}{more}",
                broker.url
            ))
            .send(),
    )
    .await
    .expect("an answer")
}

async fn poll(broker: &Broker, keys: &[&str], token: &str, more: &str) -> Value {
    let response = ask(broker, keys, token, more).await;
    let status = response.status();
    let answer = response.json().await.expect("JSON");
    assert_eq!(status, 200, "{answer}");
    answer
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap())
        .collect()
}

async fn stored_events_come_at_once_and_new_events_as_they_arrive(broker: Broker) {
    let [a, b] = together(broker.kind, ["a", "b"]);
    for key in [&a, &b] {
        broker.create(key).await;
    }
    let token = token(&broker, json!({"keys": [a, b]})).await;
    let written = broker
        .add(&a, json!([{"event": "n", "data": "1"}, {"event": "m"}]))
        .await;
    // A wait would fail the test by its length alone.
    let first = poll(&broker, &[&a], &token, "&wait=60").await;
    assert_eq!(
        first["events"][1],
        json!({"key": a, "id": written[0], "event": "n", "data": "1"})
    );
    assert_eq!(
        first["events"][2],
        json!({"key": a, "id": written[1], "event": "m"})
    );
    assert_eq!(
        (&first["cursor"], &first["status"]),
        (&json!(written[1]), &json!("active"))
    );
    let after = format!("&after={}", written[1]);

    // No event, at once; no event, after the wait; and events that arrive during the wait.
    let nothing = json!({"events": [], "cursor": written[1], "status": "active"});
    assert_eq!(
        poll(&broker, &[&a], &token, &format!("{after}&wait=0")).await,
        nothing
    );
    let begun = Instant::now();
    assert_eq!(
        poll(&broker, &[&a], &token, &format!("{after}&wait=1")).await,
        nothing
    );
    assert!(begun.elapsed().as_millis() >= 1000, "not before");
    let more = format!("{after}&wait=60");
    let keys = [a.as_str(), &b];
    let (answer, written) = tokio::join!(poll(&broker, &keys[..1], &token, &more), async {
        until("it waits", || async { broker.permits_in_use().await == 1 }).await;
        broker.add_events(&a, 0, 2).await
    });
    assert_eq!(
        (ids(&answer), &answer["cursor"]),
        (
            written.iter().map(String::as_str).collect(),
            &json!(written[1])
        )
    );
    until("its permit is free", || async {
        broker.permits_in_use().await == 0
    })
    .await;

    // The end comes with the last events. Of one stream it has the usual form; of several it comes
    // when all have ended.
    broker.post("/api/stream/cancel", json!({ "key": a })).await;
    let last = poll(&broker, &[&a], &token, &format!("&after={}", written[1])).await;
    assert_eq!(
        (last["events"].as_array().unwrap().len(), &last["status"]),
        (1, &json!("cancelled"))
    );
    let again = poll(
        &broker,
        &[&a],
        &token,
        &format!("&after={}", last["cursor"].as_str().unwrap()),
    )
    .await;
    assert_eq!(
        again,
        json!({"events": [], "cursor": last["cursor"], "status": "cancelled"})
    );
    let both = poll(&broker, &[&a, &b], &token, "").await;
    assert_eq!(
        (both["events"].as_array().unwrap().len(), &both["status"]),
        (7, &json!("active"))
    );
    let cursor = encoded(both["cursor"].as_str().unwrap());
    let more = format!("&after={cursor}&wait=60");
    let (answer, ()) = tokio::join!(poll(&broker, &keys, &token, &more), async {
        until("it waits", || async { broker.permits_in_use().await == 1 }).await;
        broker.end(&b).await;
    });
    assert_eq!(
        (&answer["events"][0]["event"], &answer["status"]),
        (&json!("end"), &json!("ended"))
    );
    let more = format!("&after={}", encoded(answer["cursor"].as_str().unwrap()));
    let rest = poll(&broker, &[&a, &b], &token, &more).await;
    assert_eq!(
        (&rest["events"], &rest["status"]),
        (&json!([]), &json!("ended"))
    );
}

async fn a_long_history_comes_response_by_response_and_ends_with_the_last(broker: Broker) {
    let keys = together(broker.kind, ["a", "b", "c"]);
    for key in &keys {
        broker
            .create_with(json!({"key": key, "max_events": 10_000}))
            .await;
        for batch in 0..3 {
            broker.add_events(key, batch * 1000, 1000).await;
        }
        broker.end(key).await;
    }
    let token = token(&broker, json!({ "keys": keys })).await;
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let (mut cursor, mut all, mut answers) = (String::new(), Vec::new(), 0);
    loop {
        let answer = poll(&broker, &keys, &token, &format!("&after={cursor}&wait=60")).await;
        all.extend(answer["events"].as_array().unwrap().clone());
        cursor = encoded(answer["cursor"].as_str().unwrap());
        answers += 1;
        match answer["status"].as_str().unwrap() {
            "active" => assert_ne!(answer["events"], json!([])),
            status => break assert_eq!(status, "ended"),
        }
    }
    assert!(answers > 1, "not all at once");
    for key in keys {
        let of_key: Vec<&str> = all
            .iter()
            .filter(|event| event["key"] == key)
            .map(|event| event["id"].as_str().unwrap())
            .collect();
        assert_eq!(of_key.len(), 3002);
        assert_contiguous(of_key, 0);
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

async fn a_response_that_cannot_change_any_more_is_cacheable(broker: Broker) {
    let keys = together(broker.kind, ["p:a", "p:b", "p:c"]);
    for key in &keys {
        broker
            .create_with(json!({"key": key, "ttl": 500, "max_events": 10_000}))
            .await;
        broker.add_events(key, 0, 700).await;
    }
    let bound = token(&broker, json!({ "keys": keys })).await;
    let prefix = token(&broker, json!({"prefix": "p:"})).await;
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for key in &keys[..2] {
        broker.end(key).await;
    }
    // One stream is still active: no response about it may be cached, and no refusal either.
    for response in [
        ask(&broker, &keys, &bound, "").await,
        ask(&broker, &keys[2..], &bound, "&wait=0").await,
    ] {
        assert_eq!(
            (
                header(response.headers(), "cache-control"),
                header(response.headers(), "etag")
            ),
            (Some("no-store"), None)
        );
    }
    broker.end(keys[2]).await;
    for keys in [&keys[..1], &keys[..]] {
        let response = ask(&broker, keys, &bound, "").await;
        let headers = response.headers().clone();
        let text = response.text().await.unwrap();
        let max_age = header(&headers, "cache-control")
            .unwrap()
            .strip_prefix("private, max-age=")
            .unwrap()
            .parse::<u64>()
            .unwrap();
        assert!((400..=500).contains(&max_age), "{max_age}");
        let tag = header(&headers, "etag").unwrap().to_owned();
        assert!(
            tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'),
            "{tag}"
        );
        for _ in 0..5 {
            let same = ask(&broker, keys, &bound, "").await;
            assert_eq!(
                header(same.headers(), "etag"),
                Some(tag.as_str()),
                "the answer never changes"
            );
            assert_eq!(same.text().await.unwrap(), text);
        }
        let of_prefix = ask(&broker, keys, &prefix, "").await;
        assert_eq!(
            header(of_prefix.headers(), "cache-control"),
            Some("private, no-cache")
        );
        assert_eq!(header(of_prefix.headers(), "etag"), Some(tag.as_str()));
        let conditional = async |if_none_match: String, more: &str| {
            let keys = with_keys(keys);
            let url = format!("{}/api/client/poll?token={bound}{keys}{more}", broker.url);
            let response = broker
                .http
                .get(url)
                .header("If-None-Match", if_none_match)
                .send()
                .await
                .unwrap();
            assert!(
                response.headers().contains_key("etag")
                    && response.headers().contains_key("cache-control")
            );
            (
                response.status().as_u16(),
                response.text().await.unwrap().is_empty(),
            )
        };
        for known in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"x\", {tag}"),
            "*".to_owned(),
        ] {
            assert_eq!(conditional(known.clone(), "").await, (304, true), "{known}");
        }
        assert_eq!(conditional("\"x\"".to_owned(), "").await, (200, false));
        // Another query has another response.
        assert_eq!(conditional(tag, "&events=x").await, (200, false));
    }
}

/// Otherwise the start position would be behind events that are written while the response is in
/// transit.
async fn a_poll_answers_at_once_with_its_start_position(broker: Broker) {
    let bound = broker.create("a").await;
    let written = broker.add_events("a", 0, 3).await;
    let answer = poll(&broker, &["a"], &bound, "&from=now&wait=60").await;
    assert_eq!(
        answer,
        json!({"events": [], "cursor": written[2], "status": "active"})
    );
    let prefix = token(&broker, json!({"prefix": "later"})).await;
    let answer = poll(&broker, &["later"], &prefix, "&from=now&wait=60&wait=true").await;
    assert_eq!(
        answer,
        json!({"events": [], "cursor": "later:", "status": "active"})
    );
}

/// This includes a stream from which the subscriber has received nothing.
async fn a_deleted_stream_is_reported_once(broker: Broker) {
    let [there, deleted] = together(broker.kind, ["p:there", "p:deleted"]);
    broker.create(&there).await;
    let prefix = token(&broker, json!({"prefix": "p:"})).await;
    let own = format!("&after={}:,{}:", encoded(&there), encoded(&deleted));
    let first = poll(&broker, &[&there, &deleted], &prefix, &own).await;
    let deletion = json!({
        "key": deleted,
        "event": "missedevents",
        "data": r#"{"after":null,"first":null,"missed":null}"#,
    });
    assert!(
        first["events"].as_array().unwrap().contains(&deletion),
        "{first}"
    );
    let second = poll(
        &broker,
        &[&there, &deleted],
        &prefix,
        &format!("&wait=0&after={}", first["cursor"].as_str().unwrap()),
    )
    .await;
    assert!(
        !second["events"].as_array().unwrap().contains(&deletion),
        "{second}"
    );
}

on_every_store!(
    a_poll_answers_at_once_with_its_start_position,
    a_deleted_stream_is_reported_once,
    stored_events_come_at_once_and_new_events_as_they_arrive,
    a_long_history_comes_response_by_response_and_ends_with_the_last,
    a_response_that_cannot_change_any_more_is_cacheable,
);

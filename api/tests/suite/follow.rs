//! SSE and WebSocket deliver a stream from its start, or from the position where a subscriber was
//! cut off.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Broker, Kind, assert_contiguous, broker, number, sse::ids};

async fn a_subscriber_receives_the_stream_from_its_first_event_to_its_end(broker: Broker) {
    let token = broker.create("chat").await;
    broker.add_events("chat", 0, 3).await;
    let mut subscriber = broker.sse("chat", &token, None).await;
    let headers = &subscriber.headers;
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(
        (&headers["cache-control"], &headers["x-accel-buffering"]),
        (
            &"no-store, no-transform".parse().unwrap(),
            &"no".parse().unwrap()
        )
    );
    subscriber.take(4).await;
    broker.add_events("chat", 3, 3).await;
    subscriber.take(3).await;
    broker
        .post("/api/stream/cancel", json!({"key": "chat"}))
        .await;
    let last = subscriber.rest().await;
    assert_eq!(last.len(), 1);
    assert_eq!((last[0].event.as_str(), number(&last[0].id)), ("cancel", 7));
}

async fn the_bytes_of_a_stream_follow_the_sse_standard(broker: Broker) {
    let token = broker.create("chat").await;
    let ids = broker
        .add(
            "chat",
            json!([{"event": "token", "data": " a\nb"}, {"event": "x"}]),
        )
        .await;
    broker.end("chat").await;
    let (_, info) = broker.get("/api/stream/info?key=chat").await;
    let text = broker
        .http
        .get(broker.subscribe_url("sse", "chat", &token, None))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let (first, last) = (
        info["first_id"].as_str().unwrap(),
        info["last_id"].as_str().unwrap(),
    );
    let wanted = format!(
        "retry: 1000\nevent: start\ndata: \nid: {first}\n\n\
         event: token\ndata:  a\ndata: b\nid: {}\n\n\
         event: x\ndata: \nid: {}\n\n\
         event: end\ndata: \nid: {last}\n\n",
        ids[0], ids[1]
    );
    assert_eq!(text, wanted);
}

async fn a_subscriber_resumes_after_any_id_in_every_form(broker: Broker) {
    let token = broker.create("chat").await;
    broker.add_events("chat", 0, 30).await;
    broker.end("chat").await;
    let all = broker.sse("chat", &token, None).await.rest().await;
    for at in [0, 1, 15, 29, 30] {
        let id = &all[at].id;
        let url = broker.subscribe_url("sse", "chat", &token, None);
        let other = &all[5].id;
        let by_header = broker
            .http
            .get(format!("{url}&last_event_id={other}&lastEventId={other}"))
            .header("last-event-id", id);
        let by_query = broker
            .http
            .get(format!("{url}&last_event_id={id}&lastEventId={other}"));
        let by_other_query = broker
            .http
            .get(format!("{url}&lastEventId={id}&last_event_id="));
        for request in [by_header, by_query, by_other_query] {
            let events = crate::common::sse::Sse::new(request.send().await.unwrap())
                .rest()
                .await;
            assert_contiguous(ids(&events), at as u64 + 1);
            assert_eq!(events.last().unwrap().event, "end");
        }
        let (events, code) = broker.ws("chat", &token, Some(id)).await.rest().await;
        assert_contiguous(
            events.iter().map(|event| event["id"].as_str().unwrap()),
            at as u64 + 1,
        );
        assert_eq!((events.len(), code), (31 - at, Some(1000)));
    }
}

async fn resuming_from_the_end_of_a_stream_ends_at_once(broker: Broker) {
    let token = broker.create("chat").await;
    broker.end("chat").await;
    let (_, info) = broker.get("/api/stream/info?key=chat").await;
    let last = info["last_id"].as_str().unwrap();
    for method in [reqwest::Method::GET, reqwest::Method::HEAD] {
        let response = broker
            .http
            .request(
                method,
                broker.subscribe_url("sse", "chat", &token, Some(last)),
            )
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 204);
        assert_eq!(response.text().await.unwrap(), "");
    }
    let mut socket = broker.ws("chat", &token, Some(last)).await;
    assert_eq!(socket.next().await.unwrap(), json!([]));
    assert_eq!(socket.close_code().await, Some(1000));
}

async fn an_invalid_id_is_refused(broker: Broker) {
    let token = broker.create("chat").await;
    for id in [
        "x",
        "5",
        "-",
        "1-",
        "1-1-1",
        "1.5-0",
        "%2B1-1",
        "99999999999999999999-0",
    ] {
        for transport in ["sse", "ws"] {
            let request = broker.http.get(
                broker
                    .subscribe_url(transport, "chat", &token, Some(id))
                    .replacen("ws:", "http:", 1),
            );
            let (status, error) = crate::common::broker::answer(request).await;
            assert_eq!(
                (status.as_u16(), &error["code"]),
                (400, &json!("invalid-event-id")),
                "{id}"
            );
        }
    }
}

async fn exactly_the_trimmed_events_are_reported_as_missed(broker: Broker) {
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 20}))
        .await;
    let mut all = Vec::new();
    for n in 0..300 {
        all.extend(broker.add_events("chat", n, 1).await);
    }
    let (_, info) = broker.get("/api/stream/info?key=chat").await;
    let first = info["first_id"].as_str().unwrap().to_owned();
    let kept = number(&first);
    assert!(kept > 150, "{kept}");

    // Without an id, with an old id, and with one just before the first kept event.
    let cases = [
        (None, kept),
        (Some(&all[0]), kept - 2),
        (Some(&all[usize::try_from(kept).unwrap() - 3]), 1),
    ];
    for (after, missed) in cases {
        let data = json!({"after": after, "first": first, "missed": missed});
        let mut subscriber = broker.sse("chat", &token, after.map(String::as_str)).await;
        let frame = subscriber.next().await.unwrap();
        assert_eq!(
            (frame.event.as_str(), frame.id.as_str()),
            ("missedevents", "")
        );
        assert_eq!(serde_json::from_str::<Value>(&frame.data).unwrap(), data);
        let events = subscriber.take(10).await;
        assert_contiguous(ids(&events), kept);

        let array = broker
            .ws("chat", &token, after.map(String::as_str))
            .await
            .next()
            .await
            .unwrap();
        assert_eq!(
            (&array[0]["event"], array[0].get("id")),
            (&json!("missedevents"), None)
        );
        assert_eq!(
            serde_json::from_str::<Value>(array[0]["data"].as_str().unwrap()).unwrap(),
            data
        );
        assert_contiguous(
            array.as_array().unwrap()[1..]
                .iter()
                .map(|event| event["id"].as_str().unwrap()),
            kept,
        );
    }
    // The id before the first kept event, and later ones, miss nothing.
    for at in [kept - 1, kept, 299] {
        let id = &all[usize::try_from(at).unwrap() - 1];
        let mut subscriber = broker.sse("chat", &token, Some(id)).await;
        assert_eq!(number(&subscriber.next().await.unwrap().id), at + 1);
    }
}

async fn an_impossible_id_is_reported_and_the_whole_stream_is_sent(broker: Broker) {
    let token = broker.create("chat").await;
    let written = broker.add_events("chat", 0, 5).await;
    let (ms, _) = written[4].split_once('-').unwrap();
    for foreign in [
        format!("{ms}-77"),
        "99999999999999-3".to_owned(),
        format!("{}-2", u64::MAX),
    ] {
        let mut subscriber = broker.sse("chat", &token, Some(&foreign)).await;
        let frame = subscriber.next().await.unwrap();
        let data: Value = serde_json::from_str(&frame.data).unwrap();
        assert_eq!(
            (frame.event.as_str(), &data["missed"], &data["after"]),
            ("missedevents", &Value::Null, &json!(foreign))
        );
        assert_contiguous(ids(&subscriber.take(6).await), 0);
    }
    // Before everything: from the start, and nothing is missing.
    assert_contiguous(
        ids(&broker.sse("chat", &token, Some("0-0")).await.take(6).await),
        0,
    );
}

async fn an_unknown_stream_is_not_found(broker: Broker) {
    let token = broker.create_with(json!({"key": "chat", "ttl": 1})).await;
    let token_that_lives = broker
        .post("/api/stream/token", json!({"key": "chat", "ttl": 60}))
        .await
        .1["token"]
        .as_str()
        .unwrap()
        .to_owned();
    // A token is valid to the end of the second in which it expires.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let (status, error) = crate::common::broker::answer(broker.http.get(broker.subscribe_url(
        "sse",
        "chat",
        &token_that_lives,
        None,
    )))
    .await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (404, &json!("stream-not-found"))
    );
    let (status, error) = crate::common::broker::answer(
        broker
            .http
            .get(broker.subscribe_url("sse", "chat", &token, None)),
    )
    .await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (401, &json!("token-expired"))
    );
}

async fn a_head_request_answers_like_a_get_and_takes_no_permit(broker: Broker) {
    let token = broker.create("chat").await;
    let response = broker
        .http
        .head(broker.subscribe_url("sse", "chat", &token, None))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            &response.headers()["content-type"]
        ),
        (200, &"text/event-stream".parse().unwrap())
    );
    assert_eq!(response.text().await.unwrap(), "");
    assert_eq!(broker.permits_in_use().await, 0);
    let response = broker
        .http
        .head(broker.subscribe_url("sse", "chat", "00", None))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 401);
    let response = broker
        .request(reqwest::Method::HEAD, "/api/stream/info?key=chat")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
}

on_every_store!(
    a_subscriber_receives_the_stream_from_its_first_event_to_its_end,
    the_bytes_of_a_stream_follow_the_sse_standard,
    a_subscriber_resumes_after_any_id_in_every_form,
    resuming_from_the_end_of_a_stream_ends_at_once,
    an_invalid_id_is_refused,
    exactly_the_trimmed_events_are_reported_as_missed,
    an_impossible_id_is_reported_and_the_whole_stream_is_sent,
    an_unknown_stream_is_not_found,
    a_head_request_answers_like_a_get_and_takes_no_permit,
);

#[tokio::test]
async fn any_node_serves_any_subscriber() {
    let one = broker(Kind::Exclusive).start().await;
    let two = one.another_node().await;
    let token = one.create("chat").await;
    let mut subscriber = two.sse("chat", &token, None).await;
    one.add_events("chat", 0, 5).await;
    let seen = subscriber.take(4).await;
    drop(subscriber);
    two.add_events("chat", 5, 5).await;
    one.end("chat").await;
    let rest = one
        .sse("chat", &token, Some(&seen[3].id))
        .await
        .rest()
        .await;
    assert_contiguous(ids(&rest), 4);
    assert_eq!(rest.len(), 8);
}

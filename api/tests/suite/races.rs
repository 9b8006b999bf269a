//! Every subscriber receives the stream once, in order and without a gap, whatever races.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use serde_json::{Value, json};

use crate::common::{Broker, assert_contiguous, number, sse::ids};

async fn of_many_creators_of_a_key_one_succeeds(broker: Broker) {
    let broker = Arc::new(broker);
    for round in 0..10 {
        let key = format!("chat-{round}");
        let creators = (0..16).map(|_| broker.post("/api/stream", json!({ "key": key })));
        let answers = futures::future::join_all(creators).await;
        let created = answers.iter().filter(|(status, _)| *status == 200).count();
        assert_eq!(created, 1);
        assert!(
            answers
                .iter()
                .all(|(status, body)| *status == 200 || body["code"] == "existing-stream")
        );
    }
}

async fn an_acknowledged_write_is_in_the_stream_and_a_refused_one_is_not(broker: Broker) {
    let broker = Arc::new(broker);
    for round in 0..5 {
        let key = format!("chat-{round}");
        broker
            .create_with(json!({"key": key, "max_events": 100_000}))
            .await;
        let writers = (0..6).map(|writer| {
            let (broker, key) = (Arc::clone(&broker), key.clone());
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0.. {
                    let events: Vec<Value> = (0..=n % 4)
                        .map(|part| json!({"event": "w", "data": format!("{writer}.{n}.{part}")}))
                        .collect();
                    let (status, answer) = broker
                        .post("/api/event/add", json!({"key": key, "events": events}))
                        .await;
                    if status != 200 {
                        assert_eq!(answer["code"], "no-active-stream");
                        break;
                    }
                    let ids: Vec<String> = serde_json::from_value(answer["ids"].clone()).unwrap();
                    assert_contiguous(ids.iter().map(String::as_str), number(&ids[0]));
                    acknowledged.extend(ids.into_iter().zip(events));
                }
                acknowledged
            })
        });
        let writers: Vec<_> = writers.collect();
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        let enders = futures::future::join_all(
            (0..3).map(|_| broker.post("/api/stream/end", json!({ "key": key }))),
        )
        .await;
        assert_eq!(
            enders.iter().filter(|(status, _)| *status == 200).count(),
            1
        );
        let mut acknowledged = Vec::new();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        acknowledged.sort_by_key(|(id, _)| number(id));
        let (_, stored) = broker.get(&format!("/api/stream/events?key={key}")).await;
        let stored = stored.as_array().unwrap();
        assert_contiguous(stored.iter().map(|event| event["id"].as_str().unwrap()), 0);
        assert_eq!(stored.last().unwrap()["event"], "end");
        let between: Vec<_> = stored[1..stored.len() - 1]
            .iter()
            .map(|event| {
                (
                    event["id"].as_str().unwrap().to_owned(),
                    event["data"].clone(),
                )
            })
            .collect();
        let wanted: Vec<_> = acknowledged
            .into_iter()
            .map(|(id, event)| (id, event["data"].clone()))
            .collect();
        assert_eq!(between, wanted);
    }
}

async fn readers_that_join_and_resume_at_random_receive_every_event_once(broker: Broker) {
    const EVENTS: u64 = 3_000;
    let broker = Arc::new(broker);
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 100_000}))
        .await;
    let (done, left) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(EVENTS)),
    );
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let (broker, left) = (Arc::clone(&broker), Arc::clone(&left));
            tokio::spawn(async move {
                let mut random = fastrand::Rng::with_seed(writer);
                loop {
                    let count = random.u64(1..20);
                    let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                        (left > 0).then(|| left.saturating_sub(count))
                    });
                    let Ok(before) = taken else { return };
                    broker.add_events("chat", 0, before.min(count)).await;
                    if random.bool() {
                        tokio::time::sleep(std::time::Duration::from_millis(random.u64(0..5)))
                            .await;
                    }
                }
            })
        })
        .collect();
    let readers: Vec<_> = (0..8)
        .map(|reader| {
            let (broker, token, done) = (Arc::clone(&broker), token.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut random = fastrand::Rng::with_seed(100 + reader);
                let (mut seen, mut cuts) = (Vec::<String>::new(), 0);
                loop {
                    tokio::time::sleep(std::time::Duration::from_millis(random.u64(0..20))).await;
                    // The reader is cut off at random while the stream is active. At the end each
                    // may read to the end.
                    let take = if done.load(Ordering::Relaxed) && cuts >= 50 {
                        usize::MAX
                    } else {
                        random.usize(1..60)
                    };
                    let ended = if reader % 2 == 0 {
                        read_sse(&broker, &token, &mut seen, take).await
                    } else {
                        read_ws(&broker, &token, &mut seen, take).await
                    };
                    if ended {
                        return (seen, cuts);
                    }
                    cuts += 1;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    broker.end("chat").await;
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        let (seen, cuts) = reader.await.unwrap();
        assert_contiguous(seen.iter().map(String::as_str), 0);
        assert_eq!(seen.len() as u64, EVENTS + 2, "after {cuts} cuts");
        assert!(cuts > 20, "{cuts}");
    }
}

/// Reads up to this many events and leaves. Returns whether the stream ended.
async fn read_sse(broker: &Broker, token: &str, seen: &mut Vec<String>, take: usize) -> bool {
    let response = broker
        .http
        .get(broker.subscribe_url("sse", "chat", token, seen.last().map(String::as_str)))
        .send()
        .await
        .unwrap();
    if response.status() == 204 {
        return true;
    }
    assert_eq!(response.status(), 200);
    let mut subscriber = crate::common::sse::Sse::new(response);
    for _ in 0..take {
        let Some(event) = subscriber.next().await else {
            return true;
        };
        assert_ne!(event.event, "missedevents");
        seen.push(event.id);
    }
    false
}

async fn read_ws(broker: &Broker, token: &str, seen: &mut Vec<String>, take: usize) -> bool {
    let mut socket = broker
        .ws("chat", token, seen.last().map(String::as_str))
        .await;
    let mut taken = 0;
    while taken < take {
        match socket.next().await {
            Ok(Value::Array(events)) => {
                taken += events.len();
                seen.extend(
                    events
                        .iter()
                        .map(|event| event["id"].as_str().unwrap().to_owned()),
                );
            }
            Ok(event) => {
                taken += 1;
                seen.push(event["id"].as_str().unwrap().to_owned());
            }
            Err(frame) => {
                assert_eq!(frame.map(|frame| u16::from(frame.code)), Some(1000));
                return true;
            }
        }
    }
    false
}

async fn a_reader_slower_than_the_trimming_receives_every_gap(broker: Broker) {
    let broker = Arc::new(broker);
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 100}))
        .await;
    let mut subscriber = broker.sse("chat", &token, None).await;
    let data = "x".repeat(20_000);
    // Far more than the buffers between the store and a subscriber that does not read can hold.
    for _ in 0..40 {
        let events: Vec<_> = (0..50)
            .map(|_| json!({"event": "big", "data": data}))
            .collect();
        broker.add("chat", json!(events)).await;
    }
    broker.end("chat").await;
    let (mut next, mut gaps) = (0, 0);
    while let Some(event) = subscriber.next().await {
        if event.event == "missedevents" {
            let data: Value = serde_json::from_str(&event.data).unwrap();
            next += data["missed"].as_u64().unwrap();
            assert_eq!(number(data["first"].as_str().unwrap()), next);
            gaps += 1;
        } else {
            assert_eq!(number(&event.id), next);
            next += 1;
        }
    }
    assert_eq!(next, 2002);
    assert!(gaps > 0, "the test wants a gap");
}

async fn readers_of_a_replaced_stream_never_mix_the_two(broker: Broker) {
    let broker = Arc::new(broker);
    let mut token = broker.create("chat").await;
    for round in 0..20 {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (broker, token) = (Arc::clone(&broker), token.clone());
                tokio::spawn(async move { broker.sse("chat", &token, None).await.rest().await })
            })
            .collect();
        broker
            .add(
                "chat",
                json!([{"event": "round", "data": round.to_string()}]),
            )
            .await;
        // The readers must be connected, because a token of a replaced stream opens nothing.
        crate::common::until("all are connected", || async {
            broker.permits_in_use().await >= 4
        })
        .await;
        broker.end("chat").await;
        token = broker.create("chat").await;
        for reader in readers {
            let events = reader.await.unwrap();
            assert_contiguous(ids(&events), 0);
            assert!(
                events
                    .iter()
                    .all(|event| event.event != "round" || event.data == round.to_string())
            );
        }
    }
}

on_every_store!(
    of_many_creators_of_a_key_one_succeeds,
    an_acknowledged_write_is_in_the_stream_and_a_refused_one_is_not,
    readers_that_join_and_resume_at_random_receive_every_event_once,
    a_reader_slower_than_the_trimming_receives_every_gap,
    readers_of_a_replaced_stream_never_mix_the_two,
);

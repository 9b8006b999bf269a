//! Rollup: consecutive events come as one, and nothing is lost or repeated.

use serde_json::{Value, json};

use crate::common::{
    Broker,
    keys::together,
    subscriber::{Outcome, Subscriber, Transport, token},
};

/// Writes `count` deltas of one letter each, in batches. Returns their text.
async fn write_deltas(broker: &Broker, key: &str, from: usize, count: usize) -> String {
    let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap()).to_string();
    let deltas: Vec<String> = (from..from + count).map(letter).collect();
    for batch in deltas.chunks(500) {
        let events: Vec<Value> = batch
            .iter()
            .map(|data| json!({"event": "t", "data": data}))
            .collect();
        broker.add(key, json!(events)).await;
    }
    deltas.concat()
}

/// The text of all updates named `t`.
fn text<'a>(updates: impl IntoIterator<Item = &'a crate::common::subscriber::Update>) -> String {
    let updates = updates.into_iter().filter(|update| update.is("t"));
    updates.map(|update| update.data.as_str()).collect()
}

async fn body(broker: &Broker, transport: &str, key: &str, token: &str, more: &str) -> String {
    let url = broker.subscribe_url(transport, key, token, None) + more;
    let response = broker.http.get(url).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.text().await.unwrap()
}

async fn ten_thousand_deltas_join_in_one_frame(broker: Broker) {
    let create = json!({"key": "chat", "max_events": 100_000});
    let token = broker.create_with(create).await;
    let expected = write_deltas(&broker, "chat", 0, 10_000).await;
    broker.end("chat").await;
    for transport in Transport::ALL {
        let mut subscriber =
            Subscriber::new(&broker, transport, ["chat"], &token).with("&rollup=t");
        let all = subscriber.rest().await;
        let names: Vec<_> = all
            .iter()
            .filter_map(|update| update.event.as_deref())
            .collect();
        assert_eq!(names, ["start", "t", "end"], "{transport:?}");
        assert_eq!(all[1].data, expected);
        assert!(all[1].id.as_deref().unwrap().ends_with("-10000"));
    }
    let joined = body(&broker, "sse", "chat", &token, "&rollup=t").await;
    let single = body(&broker, "sse", "chat", &token, "").await;
    assert!(joined.contains("\n:rollup 10000\nevent: t\n"));
    assert!(
        joined.len() * 20 < single.len(),
        "{} of {}",
        joined.len(),
        single.len()
    );

    let lines = body(&broker, "ndjson", "chat", &token, "&rollup=t").await;
    let lines: Vec<Value> = lines
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let polled = body(&broker, "poll", "chat", &token, "&rollup=t").await;
    let polled: Value = serde_json::from_str(&polled).unwrap();
    let url = broker.subscribe_url("ws", "chat", &token, None) + "&rollup=t";
    let mut socket = crate::common::ws::Ws::connect(&url, &[]).await.unwrap();
    let array = socket.next().await.unwrap();
    for events in [
        &lines,
        polled["events"].as_array().unwrap(),
        array.as_array().unwrap(),
    ] {
        let counts: Vec<_> = events.iter().map(|event| event["count"].as_u64()).collect();
        assert_eq!(counts, [None, Some(10_000), None]);
    }
}

async fn a_subscriber_resumes_at_each_id_inside_of_a_frame(broker: Broker) {
    let token = broker.create("chat").await;
    let expected = write_deltas(&broker, "chat", 0, 20).await;
    let (_, stored) = broker.get("/api/stream/events?key=chat").await;
    for transport in Transport::ALL {
        for (n, event) in stored.as_array().unwrap().iter().enumerate().take(20) {
            let id = event["id"].as_str().unwrap();
            let mut subscriber = Subscriber::new(&broker, transport, ["chat"], &token)
                .with("&rollup=t")
                .after(id);
            let update = subscriber.update().await;
            assert_eq!(update.data, expected[n..], "{transport:?} after {id}");
            assert_eq!(update.id, stored[20]["id"].as_str().map(ToOwned::to_owned));
        }
    }
}

async fn other_events_paths_and_filters_separate_frames(broker: Broker) {
    let token = broker.create("chat").await;
    let delta = |index: u64, text: &str| {
        let data = json!({"index": index, "delta": {"text": text}, "n": 0.10}).to_string();
        json!({"event": "t", "data": data})
    };
    let events = json!([
        delta(0, "a"),
        delta(0, "\"b\n"),
        delta(1, "c"),
        {"event": "other"},
        delta(1, "d"),
        {"event": "t", "data": "no JSON"},
        {"event": "t"},
        delta(1, "é\u{2028}"),
        delta(1, "f"),
        {"event": "u", "data": "1"},
        {"event": "u", "data": "2"},
    ]);
    broker.add("chat", events).await;
    broker.end("chat").await;
    let more = "&rollup=t&rollup=u&rollup_path=/delta/text&rollup_path=";
    for (filter, expected) in [
        (
            "",
            "1 start 0; 2 t 2; 1 t 3; 1 other 4; 1 t 5; 1 t 6; 1 t 7; 2 t 9; 2 u 11; 1 end 12",
        ),
        (
            "&events=t",
            "1 start 0; 2 t 2; 1 t 3; 1 t 5; 1 t 6; 1 t 7; 2 t 9; 1 end 12",
        ),
        ("&events=u", "1 start 0; 2 u 11; 1 end 12"),
    ] {
        let lines = body(
            &broker,
            "ndjson",
            "chat",
            &token,
            &format!("{more}{filter}"),
        )
        .await;
        let frame = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap();
            let count = event["count"].as_u64().unwrap_or(1);
            let number = crate::common::number(event["id"].as_str().unwrap());
            format!("{count} {} {number}", event["event"].as_str().unwrap())
        };
        let lines = lines
            .lines()
            .filter(|line| line.contains("\"id\":\"") && line.contains("event"));
        let frames: Vec<_> = lines.map(frame).collect();
        assert_eq!(frames.join("; "), expected, "{filter}");
    }
    let polled = body(&broker, "poll", "chat", &token, more).await;
    let polled: Value = serde_json::from_str(&polled).unwrap();
    let data: Value = serde_json::from_str(polled["events"][1]["data"].as_str().unwrap()).unwrap();
    assert_eq!(
        data,
        json!({"index": 0, "delta": {"text": "a\"b\n"}, "n": 0.1})
    );
}

/// Writers, cuts and joins race; each subscriber has the text of each stream once.
async fn subscribers_that_are_cut_have_the_text_once(broker: Broker) {
    let keys = together(broker.kind, ["one", "two"]);
    for key in &keys {
        let create = json!({"key": key, "max_events": 100_000});
        broker.create_with(create).await;
    }
    let both = token(&broker, json!({ "keys": keys })).await;
    let mut expected = [String::new(), String::new()];
    for (key, text) in keys.iter().zip(&mut expected) {
        *text += &write_deltas(&broker, key, 0, 1_300).await;
    }
    let writes = async {
        for round in 0..20 {
            for (key, text) in keys.iter().zip(&mut expected) {
                *text += &write_deltas(&broker, key, round * 7, 5).await;
            }
        }
        for key in &keys {
            broker.end(key).await;
        }
    };
    let follow = |transport, more: &'static str, cut_every: usize| {
        let mut subscriber = Subscriber::new(&broker, transport, &keys, &both).with(more);
        async move {
            let (mut all, mut number) = (Vec::new(), 0);
            loop {
                match subscriber.next().await {
                    Outcome::Update(update) => all.push(update),
                    Outcome::Disconnected(_) => {}
                    Outcome::Complete => return all,
                    Outcome::Refused(..) => panic!("refused"),
                }
                number += 1;
                if number % cut_every == 0 {
                    subscriber.cut();
                }
            }
        }
    };
    let followers = Transport::ALL.into_iter().flat_map(|transport| {
        let follow = &follow;
        [
            "&rollup=t",
            "&rollup=t&rollup_ms=40",
            "&rollup=t&rollup_ms=3&events=t",
        ]
        .into_iter()
        .flat_map(move |more| [3, 1_000].map(|cut| follow(transport, more, cut)))
    });
    let followers = futures::future::join_all(followers);
    let ((), received) = futures::join!(writes, followers);
    for all in received {
        for (key, expected) in keys.iter().zip(&expected) {
            let own: Vec<_> = all.iter().filter(|update| update.key == *key).collect();
            assert!(!own.iter().any(|update| update.is("missedevents")));
            assert_eq!(text(own), *expected);
        }
    }
}

async fn trimmed_events_are_reported_before_the_frame(broker: Broker) {
    let create = json!({"key": "chat", "max_events": 50});
    let token = broker.create_with(create).await;
    let all = write_deltas(&broker, "chat", 0, 1_000).await;
    broker.end("chat").await;
    let (_, info) = broker.get("/api/stream/info?key=chat").await;
    let first = crate::common::number(info["first_id"].as_str().unwrap());
    for transport in Transport::ALL {
        let mut subscriber =
            Subscriber::new(&broker, transport, ["chat"], &token).with("&rollup=t");
        let updates = subscriber.rest().await;
        assert_eq!(updates[0].missed()["missed"], first, "{transport:?}");
        let first = usize::try_from(first).unwrap();
        assert_eq!(updates[1].data, all[first - 1..]);
        assert_eq!(updates.len(), 3);
    }
}

async fn gathered_events_come_before_the_report_that_their_stream_was_deleted(broker: Broker) {
    let keys = together(broker.kind, ["one", "two"]);
    for key in &keys {
        broker.create(key).await;
    }
    let both = token(&broker, json!({ "keys": keys })).await;
    let mut subscriber =
        Subscriber::new(&broker, Transport::Ws, &keys, &both).with("&rollup=t&rollup_ms=500");
    subscriber.update().await;
    subscriber.update().await;
    write_deltas(&broker, &keys[0], 0, 1).await;
    write_deltas(&broker, &keys[0], 1, 2).await;
    // Whether the replacement comes before or after the time for gathering, nothing is lost.
    let mut updates = vec![subscriber.update().await];
    let replace = json!({"key": keys[0], "if_exists": "replace"});
    broker.post("/api/stream", replace).await;
    while !updates.last().unwrap().is("missedevents") {
        updates.push(subscriber.update().await);
    }
    assert_eq!(text(&updates), "abc");
    let after = updates[updates.len() - 2].id.clone();
    assert_eq!(updates.last().unwrap().missed()["after"], json!(after));
}

async fn a_wrong_rollup_is_refused(broker: Broker) {
    let token = broker.create("chat").await;
    for transport in Transport::ALL {
        for more in [
            "&rollup=",
            "&rollup=t&rollup=t",
            "&rollup_path=/a",
            "&rollup_ms=5",
            "&rollup=t&rollup_ms=501",
            "&rollup=t&rollup_ms=x",
            "&rollup=t&rollup_path=a",
            "&rollup=t&rollup_path=/a&rollup_path=/b",
        ] {
            let mut subscriber = Subscriber::new(&broker, transport, ["chat"], &token).with(more);
            let refused = (400, "invalid-parameter".to_owned());
            assert_eq!(subscriber.refused().await, refused, "{transport:?} {more}");
        }
    }
}

on_every_store!(
    ten_thousand_deltas_join_in_one_frame,
    a_subscriber_resumes_at_each_id_inside_of_a_frame,
    other_events_paths_and_filters_separate_frames,
    subscribers_that_are_cut_have_the_text_once,
    trimmed_events_are_reported_before_the_frame,
    gathered_events_come_before_the_report_that_their_stream_was_deleted,
    a_wrong_rollup_is_refused,
);

//! Operators list the connected subscribers.

mod counts;
mod disconnect;
mod refusals;

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Broker, Kind, broker::answer, sse::Sse, until, within, ws::Ws};

/// The subscribers that the broker lists for this query.
async fn subscribers(broker: &Broker, query: &str) -> Vec<Value> {
    let (status, list) = broker.get(&format!("/api/clients{query}")).await;
    assert_eq!(status, 200, "{list}");
    list.as_array().unwrap().clone()
}

async fn disconnect(broker: &Broker, id: &str) -> (u16, Value) {
    let (status, body) =
        answer(broker.request(Method::DELETE, &format!("/api/clients/{id}"))).await;
    (status.as_u16(), body)
}

/// Follows a stream over SSE with further parameters.
async fn sse_with(broker: &Broker, key: &str, token: &str, parameters: &str) -> reqwest::Response {
    let url = format!(
        "{}&{parameters}",
        broker.subscribe_url("sse", key, token, None)
    );
    let response = broker.http.get(url).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response
}

fn number(row: &Value, field: &str) -> u64 {
    row[field]
        .as_u64()
        .unwrap_or_else(|| panic!("a number: {row}"))
}

async fn the_list_describes_the_connected_subscribers(broker: Broker) {
    assert_eq!(subscribers(&broker, "").await, Vec::<Value>::new());
    let (one, other) = (broker.create("one").await, broker.create("other/ö").await);
    let mut sse = Sse::new(
        sse_with(
            &broker,
            "one",
            &one,
            "client_name=J%C3%BCrgen%27s+tab&tags=web,eu&tags=web",
        )
        .await,
    );
    sse.take(1).await;
    let url = format!(
        "{}&tags=eu",
        broker.subscribe_url("ws", "other/ö", &other, None)
    );
    let mut ws = Ws::connect(&url, &[]).await.unwrap();
    ws.next().await.unwrap();
    let mut plain = broker.sse("one", &one, None).await;
    plain.take(1).await;
    broker.add_events("one", 0, 2).await;
    let frames = sse.take(2).await;
    plain.take(2).await;

    let list = subscribers(&broker, "/").await;
    let [first, second, third] = &list[..] else {
        panic!("three, and not {list:?}")
    };
    assert_eq!(
        (&first["name"], &first["tags"], &first["keys"]),
        (
            &json!("Jürgen's tab"),
            &json!(["web", "eu"]),
            &json!(["one"])
        )
    );
    assert_eq!(
        (
            &first["transport"],
            &first["address"],
            &first["events"],
            &first["lag"]
        ),
        (&json!("sse"), &json!("127.0.0.1"), &json!(3), &json!(0))
    );
    assert!(
        number(first, "bytes")
            >= frames
                .iter()
                .map(|frame| frame.data.len() + frame.id.len())
                .sum::<usize>() as u64
                + 30
    );
    assert_eq!(
        (&second["name"], &second["tags"], &second["keys"]),
        (&Value::Null, &json!(["eu"]), &json!(["other/ö"]))
    );
    assert_eq!(
        (&second["transport"], &second["events"], &second["lag"]),
        (&json!("ws"), &json!(1), &json!(0))
    );
    assert_eq!(
        (&third["tags"], third.get("filter"), &third["events"]),
        (&json!([]), None, &json!(3))
    );
    assert!(third.get("name").is_none());
    let mut since: Vec<_> = list
        .iter()
        .map(|row| chrono::DateTime::parse_from_rfc3339(row["since"].as_str().unwrap()).unwrap())
        .collect();
    assert!(
        since.is_sorted()
            && first["since"].as_str().unwrap().len() == "2026-01-01T00:00:00.000Z".len()
    );
    assert!((chrono::Utc::now() - since.remove(0).to_utc()).num_minutes() < 5);
    let ids: std::collections::BTreeSet<_> =
        list.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert!(
        ids.len() == 3
            && ids
                .iter()
                .all(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()))
    );

    for (query, wanted) in [
        ("?key=one", vec![first, third]),
        ("?key=other%2F%C3%B6", vec![second]),
        ("?key=on", vec![]),
        ("?tag=eu", vec![first, second]),
        ("?tag=e", vec![]),
        ("?tag=eu&key=one", vec![first]),
        ("?key=one&tag=none", vec![]),
    ] {
        let ids = |rows: Vec<Value>| rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
        assert_eq!(
            ids(subscribers(&broker, query).await),
            ids(wanted.into_iter().cloned().collect()),
            "{query}"
        );
    }
    let (status, error) = broker.get("/api/clients?key=").await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (400, &json!("invalid-key"))
    );

    drop(ws);
    until("it has left", || async {
        subscribers(&broker, "").await.len() == 2
    })
    .await;
    broker.end("one").await;
    sse.rest().await;
    plain.rest().await;
    until("no subscriber is connected", || async {
        subscribers(&broker, "").await.is_empty()
    })
    .await;
}

async fn a_subscriber_that_does_not_read_lags_and_a_resumed_one_does_not(broker: Broker) {
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 1000}))
        .await;
    let stalled = sse_with(&broker, "chat", &token, "client_name=stalled").await;
    let data = "x".repeat(100_000);
    let mut last = String::new();
    for _ in 0..15 {
        let events: Vec<_> = (0..20)
            .map(|_| json!({"event": "big", "data": data}))
            .collect();
        last = broker.add("chat", json!(events)).await.pop().unwrap();
    }
    let row = || async { subscribers(&broker, "?key=chat").await.remove(0) };
    until("the lag is the number of unsent events", || async {
        let row = row().await;
        number(&row, "lag") > 0 && number(&row, "lag") + number(&row, "events") == 301
    })
    .await;
    let _resumed = broker.ws("chat", &token, Some(&last)).await;
    let list = subscribers(&broker, "").await;
    assert_eq!(
        (number(&list[1], "lag"), number(&list[1], "events")),
        (0, 0),
        "{:?}",
        list[1]
    );
    let mut reads = Sse::new(stalled);
    reads.take(301).await;
    until("it was sent everything", || async {
        let row = row().await;
        number(&row, "events") == 301 && number(&row, "lag") == 0
    })
    .await;
}

async fn the_list_has_a_subscribers_active_streams_and_counts_no_filtered_event_as_lag(
    broker: Broker,
) {
    // Exclusive delivery on a Cluster cannot follow keys of two slots.
    if broker.kind == Kind::ExclusiveCluster {
        return;
    }
    broker.create("a").await;
    broker.create("b").await;
    let (_, access) = broker
        .post("/api/stream/token", json!({"keys": ["a", "b"]}))
        .await;
    let query = format!("key=a&key=b&token={}", access["token"].as_str().unwrap());
    let filtered = broker
        .http
        .get(format!(
            "{}/api/client/ndjson?{query}&events=z*,wanted,z*&tags=filtered",
            broker.url
        ))
        .send()
        .await
        .unwrap();
    let mut ws = Ws::connect(
        &format!(
            "{}/api/client/ws?{}",
            broker.url.replacen("http", "ws", 1),
            query.replace("key=a&", "")
        ),
        &[],
    )
    .await
    .unwrap();
    ws.next().await.unwrap();
    broker.add_events("a", 0, 5).await;
    broker.add("b", json!([{"event": "wanted"}])).await;
    let row = || async { subscribers(&broker, "?tag=filtered").await.remove(0) };
    until("it has no lag", || async {
        row().await["events"] == 3 && row().await["lag"] == 0
    })
    .await;
    let listed = row().await;
    assert_eq!(
        (&listed["transport"], &listed["keys"], &listed["filter"]),
        (&json!("ndjson"), &json!(["a", "b"]), &json!("wanted,z*"))
    );

    let keys = || async { subscribers(&broker, "").await.remove(1)["keys"].clone() };
    assert_eq!(keys().await, json!(["b"]));
    while ws.next().await.unwrap()["event"] != "wanted" {}
    ws.send(json!({"op": "subscribe", "key": "a"}).to_string())
        .await;
    assert_eq!(ws.next().await.unwrap()["op"], "subscribed");
    assert_eq!(
        (keys().await, subscribers(&broker, "?key=a").await.len()),
        (json!(["b", "a"]), 2)
    );
    ws.send(json!({"op": "unsubscribe", "key": "b"}).to_string())
        .await;
    while ws.next().await.unwrap()["op"] != "unsubscribed" {}
    assert_eq!(
        (keys().await, subscribers(&broker, "?key=b").await.len()),
        (json!(["a"]), 1)
    );

    let url = format!("{}/api/client/poll?{query}", broker.url);
    let now: Value = broker
        .http
        .get(format!("{url}&from=now"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let url = format!(
        "{url}&client_name=asks&wait=60&after={}",
        now["cursor"].as_str().unwrap()
    );
    let poll = tokio::spawn(broker.http.get(url).send().await.unwrap().text());
    until("it waits", || async {
        subscribers(&broker, "?key=b").await.len() == 2
    })
    .await;
    let polling = subscribers(&broker, "?key=b").await.remove(1);
    assert_eq!(
        (&polling["transport"], &polling["name"], &polling["lag"]),
        (&json!("poll"), &json!("asks"), &json!(0))
    );
    broker.end("a").await;
    assert!(within(poll).await.unwrap().unwrap().contains("\"end\""));
    until("it follows the other only", || async {
        row().await["keys"] == json!(["b"])
    })
    .await;
    assert_eq!(broker.get("/api/stream/info?key=b").await.1["clients"], 1);
    drop(filtered);
}

on_every_store!(
    the_list_describes_the_connected_subscribers,
    a_subscriber_that_does_not_read_lags_and_a_resumed_one_does_not,
    the_list_has_a_subscribers_active_streams_and_counts_no_filtered_event_as_lag,
);

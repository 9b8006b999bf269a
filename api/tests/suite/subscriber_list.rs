//! Operators list the connected subscribers, and disconnect them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{
    Broker, Kind, broker,
    broker::{API_KEY, answer},
    raw::UPGRADE,
    redis::Redis,
    sse::Sse,
    until, within,
    ws::Ws,
};

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
    until("nobody is there", || async {
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
    until("it was handed all", || async {
        let row = row().await;
        number(&row, "events") == 301 && number(&row, "lag") == 0
    })
    .await;
}

async fn one_subscriber_is_disconnected_and_the_others_stay(broker: Broker) {
    let token = broker.create("chat").await;
    let mut names = Vec::new();
    for name in ["goes", "stays"] {
        let mut sse =
            Sse::new(sse_with(&broker, "chat", &token, &format!("client_name={name}")).await);
        sse.take(1).await;
        names.push(sse);
    }
    let mut stays = names.pop().unwrap();
    let goes = names.pop().unwrap();
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let mut ws = broker.ws("chat", &token, None).await;
        ws.next().await.unwrap();
        sockets.push(ws);
    }
    let list = subscribers(&broker, "").await;
    let id = |index: usize| list[index]["id"].as_str().unwrap();
    assert_eq!(
        disconnect(&broker, id(0)).await,
        (200, json!({"status": "disconnected"}))
    );
    assert!(goes.rest().await.is_empty());
    assert_eq!(
        disconnect(&broker, id(2)).await,
        (200, json!({"status": "disconnected"}))
    );
    let frame = sockets[0].next().await.unwrap_err().unwrap();
    assert_eq!(
        (u16::from(frame.code), frame.reason.as_str()),
        (1008, "Disconnected by an operator")
    );
    for unknown in [id(0), id(2), "0123456789abcdef", "0", "x", "%00"] {
        let (status, error) = disconnect(&broker, unknown).await;
        assert_eq!(
            (status, &error["code"]),
            (404, &json!("client-not-found")),
            "{unknown}"
        );
    }

    let left: Vec<_> = subscribers(&broker, "")
        .await
        .iter()
        .map(|row| row["id"].clone())
        .collect();
    assert_eq!(left, [id(1), id(3)]);
    broker.add_events("chat", 0, 1).await;
    stays.take(1).await;
    sockets[1].next().await.unwrap();
    let measured = broker.metrics().await;
    for transport in ["sse", "ws"] {
        assert_eq!(
            measured.get(&format!(
                "clients_left_total{{reason=\"disconnected\",transport=\"{transport}\"}}"
            )),
            1
        );
        assert_eq!(
            measured.get(&format!("clients{{transport=\"{transport}\"}}")),
            1
        );
    }
    // Its token is still valid.
    broker.sse("chat", &token, None).await.take(2).await;
}

async fn the_subscribers_of_a_stream_are_counted(broker: Broker) {
    let (chat, token) = (broker.create("chat").await, broker.create("other").await);
    let counts = async |key: &str| {
        let (_, info) = broker.get(&format!("/api/stream/info?key={key}")).await;
        (info["clients"].clone(), info["clients_total"].clone())
    };
    assert_eq!(counts("chat").await, (json!(0), json!(0)));
    let (mut sse, mut ws) = (
        broker.sse("chat", &chat, None).await,
        broker.ws("chat", &chat, None).await,
    );
    let mut other = broker.sse("other", &token, None).await;
    sse.take(1).await;
    ws.next().await.unwrap();
    other.take(1).await;
    assert_eq!(
        (counts("chat").await, counts("other").await),
        ((json!(2), json!(2)), (json!(1), json!(1)))
    );
    assert_eq!(broker.metrics().await.get("streams_followed"), 2);
    broker.end("chat").await;
    sse.rest().await;
    ws.rest().await;
    until("they have left", || async {
        counts("chat").await == (json!(0), json!(0))
    })
    .await;
    assert_eq!(
        (
            counts("other").await,
            broker.metrics().await.get("streams_followed")
        ),
        ((json!(1), json!(1)), 1)
    );
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

async fn only_operators_may_list_and_disconnect_subscribers(broker: Broker) {
    let token = broker.create("chat").await;
    broker.sse("chat", &token, None).await.take(1).await;
    let id = subscribers(&broker, "").await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for (method, path) in [
        (Method::GET, "/api/clients".to_owned()),
        (Method::DELETE, format!("/api/clients/{id}")),
    ] {
        let request = || {
            broker
                .http
                .request(method.clone(), format!("{}{path}", broker.url))
        };
        for request in [
            request(),
            request().bearer_auth(&token),
            request().header("X-API-KEY", "wrong"),
        ] {
            let (status, error) = answer(request).await;
            assert_eq!(
                (status.as_u16(), &error["code"]),
                (401, &json!("unauthorized")),
                "{path}"
            );
        }
        let preflight = request()
            .header("Origin", "https://app.example")
            .header("Access-Control-Request-Method", method.as_str());
        let request = preflight.build().unwrap();
        let url = request.url().clone();
        let preflight = broker
            .http
            .request(Method::OPTIONS, url)
            .headers(request.headers().clone())
            .send()
            .await
            .unwrap();
        assert_eq!(preflight.status(), 204, "{path}");
        assert!(
            preflight.headers()["Access-Control-Allow-Methods"]
                .to_str()
                .unwrap()
                .contains(method.as_str())
        );
    }
    let (status, error) = answer(
        broker
            .http
            .post(format!("{}/api/clients/{id}", broker.url))
            .header("X-API-KEY", API_KEY),
    )
    .await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (405, &json!("method-not-allowed"))
    );
}

async fn a_client_name_or_tags_that_cannot_be_displayed_are_refused(broker: Broker) {
    let token = broker.create("chat").await;
    let long = "x".repeat(129);
    let many = (0..17).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    for bad in [
        format!("client_name={long}"),
        "client_name=%FF".into(),
        "client_name=a%0A".into(),
        format!("tags={many}"),
        format!("tags=a,{}", &long[64..]),
    ] {
        let url = format!(
            "{}&{bad}",
            broker.subscribe_url("sse", "chat", &token, None)
        );
        let (status, error) = answer(broker.http.get(&url)).await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (400, &json!("invalid-parameter")),
            "{bad}"
        );
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains(bad.split('=').next().unwrap()),
            "{error}"
        );
        assert_eq!(broker.http.head(&url).send().await.unwrap().status(), 400);
        let socket = Ws::connect(
            &format!("{}&{bad}", broker.subscribe_url("ws", "chat", &token, None)),
            &[],
        )
        .await;
        assert_eq!(
            socket
                .err()
                .map(|(status, error)| (status, error["code"].clone())),
            Some((400, json!("invalid-parameter"))),
            "{bad}"
        );
    }
    assert_eq!(subscribers(&broker, "").await, Vec::<Value>::new());
    let _subscriber = sse_with(&broker, "chat", &token, "client_name=&tags=").await;
    let row = subscribers(&broker, "").await.remove(0);
    assert_eq!((row.get("name"), &row["tags"]), (None, &json!([])));
}

async fn the_subscribers_of_all_nodes_add_up_and_those_of_a_dead_node_expire(broker: Broker) {
    if broker.kind == Kind::Memory {
        return;
    }
    let token = broker.create("chat").await;
    let (stops, dies) = (broker.another_node().await, broker.another_node().await);
    let total = async |node: &Broker| {
        node.get("/api/stream/info?key=chat").await.1["clients_total"].clone()
    };
    let mut open = Vec::new();
    for node in [&broker, &stops, &stops, &dies, &dies, &dies] {
        let mut sse = node.sse("chat", &token, None).await;
        sse.take(1).await;
        open.push(sse);
    }
    for node in [&broker, &stops, &dies] {
        until("every node has every count", || async {
            total(node).await == 6
        })
        .await;
    }
    assert_eq!(
        broker.get("/api/stream/info?key=chat").await.1["clients"],
        1
    );
    assert_eq!(stops.stop("-TERM").await.0, Some(0));
    assert_eq!(total(&broker).await, 4, "it counts its subscribers again");
    dies.stop("-KILL").await;
    until("its counts have expired", || async {
        total(&broker).await == 1
    })
    .await;
}

on_every_store!(
    the_list_describes_the_connected_subscribers,
    a_subscriber_that_does_not_read_lags_and_a_resumed_one_does_not,
    one_subscriber_is_disconnected_and_the_others_stay,
    the_subscribers_of_a_stream_are_counted,
    the_list_has_a_subscribers_active_streams_and_counts_no_filtered_event_as_lag,
    only_operators_may_list_and_disconnect_subscribers,
    a_client_name_or_tags_that_cannot_be_displayed_are_refused,
    the_subscribers_of_all_nodes_add_up_and_those_of_a_dead_node_expire,
);

/// A subscriber that reads nothing may be the one that keeps others out.
async fn an_operator_disconnects_a_subscriber_that_reads_nothing(kind: Kind, transport: &str) {
    let broker = broker(kind).set("MAX_CLIENTS", 1).start().await;
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 1000}))
        .await;
    let stalled = tokio::net::TcpStream::connect(broker.url.strip_prefix("http://").unwrap())
        .await
        .unwrap();
    let path = format!("/api/client/{transport}?key=chat&token={token}");
    let upgrade = if transport == "ws" { UPGRADE } else { "" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n");
    stalled.writable().await.unwrap();
    assert_eq!(
        stalled.try_write(request.as_bytes()).unwrap(),
        request.len()
    );
    until("it is admitted", || async {
        subscribers(&broker, "").await.len() == 1
    })
    .await;
    if kind == Kind::Exclusive {
        until("it has its connection", || async {
            broker.metrics().await.get("redis_pool_connections_in_use") == 1
        })
        .await;
    }
    let data = "x".repeat(100_000);
    for _ in 0..15 {
        let events: Vec<_> = (0..20)
            .map(|_| json!({"event": "big", "data": data}))
            .collect();
        broker.add("chat", json!(events)).await;
    }
    let row = || async { subscribers(&broker, "").await.remove(0) };
    until("it takes nothing more", || async {
        number(&row().await, "lag") > 0
    })
    .await;
    assert_eq!(
        disconnect(&broker, row().await["id"].as_str().unwrap())
            .await
            .0,
        200
    );
    let mut next = broker.sse("chat", &token, None).await;
    next.take(301).await;
    broker.add_events("chat", 0, 1).await;
    next.take(1).await;
    assert_eq!(subscribers(&broker, "").await.len(), 1);
    drop(stalled);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_disconnects_a_subscriber_that_reads_nothing_in_memory() {
    an_operator_disconnects_a_subscriber_that_reads_nothing(Kind::Memory, "sse").await;
    an_operator_disconnects_a_subscriber_that_reads_nothing(Kind::Memory, "ws").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_disconnects_a_subscriber_that_reads_nothing_in_exclusive() {
    an_operator_disconnects_a_subscriber_that_reads_nothing(Kind::Exclusive, "sse").await;
    an_operator_disconnects_a_subscriber_that_reads_nothing(Kind::Exclusive, "ws").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_redis_cannot_give_is_null_and_a_lost_count_is_published_again() {
    let mut redis = Redis::start(&[]);
    let broker = broker(Kind::Shared)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    let other = broker.another_node().await;
    let token = broker.create("chat").await;
    let mut sse = other.sse("chat", &token, None).await;
    sse.take(1).await;
    let counts = || async {
        let (status, info) = broker.get("/api/stream/info?key=chat").await;
        assert_eq!(status, 200);
        (info["clients"].clone(), info["clients_total"].clone())
    };
    until("the other node's count arrived", || async {
        counts().await == (json!(0), json!(1))
    })
    .await;
    let keys = redis.cli(&["keys", &format!("{}clients:*", broker.prefix())]);
    assert_eq!(
        keys.lines().count(),
        1,
        "a node without subscribers publishes nothing: {keys}"
    );
    assert!((1..=20_000).contains(&redis.cli(&["pttl", &keys]).parse::<u32>().unwrap()));
    redis.cli(&["del", &keys]);
    assert_eq!(counts().await, (json!(0), json!(0)));
    until("it was published again", || async {
        counts().await == (json!(0), json!(1))
    })
    .await;

    let nodes = format!("{}nodes", broker.prefix());
    redis.cli(&["set", &nodes, "not a sorted set"]);
    assert_eq!(counts().await, (json!(0), Value::Null));
    redis.cli(&["del", &nodes]);
    until("it is present again", || async {
        counts().await == (json!(0), json!(1))
    })
    .await;
    assert_eq!(subscribers(&other, "").await[0]["lag"], 0);
    redis.kill();
    assert_eq!(subscribers(&other, "").await[0]["lag"], Value::Null);
}

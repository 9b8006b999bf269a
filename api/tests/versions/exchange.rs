//! What one version creates, the other uses: streams, events, tokens, producer sequences, cursors,
//! subscriber counts.

mod life;
mod messages;
mod positions;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    common::{
        Broker, Kind,
        broker::{API_KEY, answer},
        keys::together,
        subscriber::{Outcome, Subscriber, Transport, Update, encoded, stored, token},
        until,
        ws::Ws,
    },
    pair::{Pair, over},
};

/// Data that an encoding could damage.
pub(crate) const DATA: [&str; 6] = [
    "",
    " two\nlines\r\nand a third ",
    "\u{0}\u{1f}\"\\",
    "🙂 é\u{2028}",
    "id: 1",
    "{\"a\": [1, null]}",
];

/// Keys that one connection can follow, also in exclusive delivery on a Cluster.
fn keys<const N: usize>(names: [&str; N]) -> [String; N] {
    together(Kind::ExclusiveCluster, names)
}

fn events() -> Vec<Value> {
    DATA.iter()
        .map(|data| json!({"event": "n", "data": data}))
        .chain([json!({"event": "é 🙂"})])
        .collect()
}

/// Writes the same events in each of the three ways.
async fn write_all_ways(node: &Broker, key: &str) {
    node.add(key, json!(events())).await;
    let lines: String = events()
        .iter()
        .flat_map(|event| [event.to_string(), "\n".to_owned()])
        .collect();
    let url = format!("/api/event/add/json-stream?key={}", encoded(key));
    let (status, answered) = answer(node.request(Method::POST, &url).body(lines)).await;
    assert_eq!(
        (status.as_u16(), &answered["num_events"]),
        (200, &json!(events().len())),
        "{answered}"
    );
    let url = format!(
        "{}/api/event/add/ws-stream?key={}",
        node.url.replacen("http", "ws", 1),
        encoded(key)
    );
    let mut socket = Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap();
    for event in events() {
        socket.send(event.to_string()).await;
        assert_eq!(socket.next().await.unwrap()["type"], "success");
    }
}

async fn info(node: &Broker, key: &str) -> Value {
    let (status, mut info) = node
        .get(&format!("/api/stream/info?key={}", encoded(key)))
        .await;
    assert_eq!(status, 200, "{info}");
    let members = info.as_object_mut().unwrap();
    // The TTL decreases between two requests. Another test compares the subscriber counts.
    for moving in ["ttl", "clients", "clients_total"] {
        members.remove(moving);
    }
    info
}

/// Whether the node lists the stream, with its length.
async fn listed_length(node: &Broker, key: &str) -> Option<u64> {
    // For a pattern that is a plain key, the node would not search the index.
    let (_, list) = node.get("/api/stream/").await;
    list.as_array()
        .unwrap()
        .iter()
        .find(|stream| stream["key"] == key)
        .and_then(|stream| stream["length"].as_u64())
}

/// The stored events of a stream, which must be equal on both nodes.
async fn stored_on_both(pair: &Pair, key: &str) -> Vec<Update> {
    let all = stored(&pair.first, key).await;
    assert_eq!(stored(&pair.second, key).await, all);
    all
}

/// Subscribers of both nodes, over each transport.
fn subscribers(pair: &Pair, keys: &[String], token: &str, more: &str) -> Vec<Subscriber> {
    let of = |node| {
        Transport::ALL.map(|transport| Subscriber::new(node, transport, keys, token).with(more))
    };
    pair.nodes().into_iter().flat_map(of).collect()
}

/// Waits until both nodes together have this many connected subscribers.
async fn subscribed(pair: &Pair, count: u64) {
    until("they are subscribed", || async {
        pair.first.permits_in_use().await + pair.second.permits_in_use().await == count
    })
    .await;
}

async fn one_version_writes_follows_and_ends_a_stream_of_the_other(pair: Pair) {
    let Pair { first, second } = &pair;
    let [key] = keys(["chat: é/{1}"]);
    let token = first
        .create_with(json!({"key": key, "max_events": 5000}))
        .await;
    let mut live = subscribers(&pair, std::slice::from_ref(&key), &token, "");
    let mut rests: Vec<_> = live
        .iter_mut()
        .map(|subscriber| Box::pin(subscriber.rest()))
        .collect();
    let write = async {
        subscribed(&pair, 8).await;
        for node in [second, first, second] {
            write_all_ways(node, &key).await;
        }
        for n in 0..40 {
            pair.nodes()[n % 2]
                .add_events(&key, n as u64, 1 + n as u64 % 3)
                .await;
        }
        assert_eq!(info(first, &key).await, info(second, &key).await);
        assert_eq!(
            listed_length(first, &key).await,
            listed_length(second, &key).await
        );
        assert!(listed_length(second, &key).await.is_some());
        let (status, error) = second.post("/api/stream/", json!({"key": key})).await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (400, &json!("existing-stream"))
        );
        second.end(&key).await;
        for node in pair.nodes() {
            let (status, error) = node
                .post(
                    "/api/event/add",
                    json!({"key": key, "events": [{"event": "n"}]}),
                )
                .await;
            assert_eq!(
                (status.as_u16(), &error["code"]),
                (404, &json!("no-active-stream"))
            );
            assert_eq!(listed_length(node, &key).await, None);
        }
    };
    let (all, ()) = tokio::join!(join_all(rests.drain(..)), write);
    drop(rests);
    let whole = stored_on_both(&pair, &key).await;
    assert!(whole.last().unwrap().is("end"));
    let data: Vec<&str> = whole
        .iter()
        .filter(|update| update.is("n"))
        .map(|update| update.data.as_str())
        .take(DATA.len())
        .collect();
    assert_eq!(data, DATA);
    for (subscriber, all) in live.iter().zip(all) {
        let wanted = whole
            .iter()
            .cloned()
            .map(|update| over(subscriber.transport, update));
        assert!(
            all.iter().cloned().eq(wanted),
            "{:?} {all:?}",
            subscriber.transport
        );
    }
    // A stream that ended on one node has ended on the other.
    for mut subscriber in subscribers(&pair, std::slice::from_ref(&key), &token, "") {
        subscriber.cursor = whole.last().unwrap().id.clone().unwrap();
        assert_eq!(subscriber.rest().await, []);
    }
}

async fn a_stream_that_one_version_replaces_is_deleted_for_subscribers_of_the_other(pair: Pair) {
    let Pair { first, second } = &pair;
    let [key] = keys(["chat"]);
    let token = first.create(&key).await;
    second.add_events(&key, 0, 3).await;
    second.end(&key).await;
    let old = stored_on_both(&pair, &key).await;
    let new_token = second.create(&key).await;
    for subscriber in &mut subscribers(&pair, std::slice::from_ref(&key), &token, "") {
        assert_eq!(
            subscriber.refused().await,
            (403, "forbidden".to_owned()),
            "{:?}",
            subscriber.transport
        );
    }
    first.add_events(&key, 0, 2).await;
    let (status, answer) = first.post("/api/stream/cancel", json!({"key": key})).await;
    assert_eq!(
        (status.as_u16(), answer),
        (200, json!({"status": "cancelled"}))
    );
    let new = stored_on_both(&pair, &key).await;
    assert!(new.last().unwrap().is("cancel") && !old.contains(&new[0]));
    for subscriber in &mut subscribers(&pair, std::slice::from_ref(&key), &new_token, "") {
        assert_eq!(subscriber.rest().await, new, "{:?}", subscriber.transport);
    }
    assert_eq!(info(first, &key).await, info(second, &key).await);
}

async fn tokens_of_one_version_open_streams_of_the_other(pair: Pair) {
    let Pair { first, second } = &pair;
    let [a, b, other, one, two] = keys(["p:a", "p:b é", "other", "p:one", "p:two"]);
    let of_key = first.create(&a).await;
    second.create(&b).await;
    first.create(&other).await;
    for (issuer, user, later) in [(first, second, one), (second, first, two)] {
        let of_list = token(issuer, json!({"keys": [a, b]})).await;
        let of_prefix = token(issuer, json!({"prefix": "p:"})).await;
        let of_any = token(issuer, json!({"keys": [b, later], "wait": true})).await;
        let again = token(issuer, json!({"key": a, "ttl": 60})).await;
        let cases: [(&str, &[&String], bool); 9] = [
            (&of_key, &[&a], true),
            (&of_key, &[&b], false),
            (&again, &[&a], true),
            (&of_list, &[&a, &b], true),
            (&of_list, &[&a, &other], false),
            (&of_prefix, &[&b, &a], true),
            (&of_prefix, &[&other], false),
            (&of_any, &[&b], true),
            (&of_any, &[&a], false),
        ];
        for (number, (token, keys, opens)) in cases.into_iter().enumerate() {
            for transport in Transport::ALL {
                let mut subscriber = Subscriber::new(user, transport, keys, token).with("&wait=0");
                if transport != Transport::Poll {
                    subscriber.more.clear();
                }
                match subscriber.next().await {
                    Outcome::Update(update) => {
                        assert!(opens && update.is("start"), "case {number}: {update:?}");
                    }
                    Outcome::Refused(status, error) => {
                        assert_eq!(
                            (opens, status, &error["code"]),
                            (false, 403, &json!("forbidden")),
                            "case {number}"
                        );
                    }
                    outcome => panic!("case {number}: {outcome:?}"),
                }
            }
        }
        // The token was issued before there was a stream. The other version creates it.
        let mut waiting =
            Subscriber::new(user, Transport::Ws, [&later], &of_any).with("&wait=true");
        let wait = waiting.rest();
        let create = async {
            until("it waits", || async { user.permits_in_use().await == 1 }).await;
            issuer.create(&later).await;
            issuer.end(&later).await;
        };
        let (updates, ()) = tokio::join!(wait, create);
        assert_eq!(updates, stored_on_both(&pair, &later).await);
    }
}

between_versions!(
    one_version_writes_follows_and_ends_a_stream_of_the_other,
    a_stream_that_one_version_replaces_is_deleted_for_subscribers_of_the_other,
    tokens_of_one_version_open_streams_of_the_other,
);

between_versions!(
    cluster: Cluster, ExclusiveCluster;
    one_version_writes_follows_and_ends_a_stream_of_the_other,
    a_stream_that_one_version_replaces_is_deleted_for_subscribers_of_the_other,
    tokens_of_one_version_open_streams_of_the_other
);

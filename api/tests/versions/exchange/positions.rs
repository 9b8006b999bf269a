//! Producers and subscribers of one version continue at the other.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{keys, stored_on_both, subscribers};
use crate::{
    common::{
        Broker,
        broker::answer,
        subscriber::{Outcome, Subscriber, Transport, Update, token},
    },
    pair::Pair,
};

async fn a_producer_of_one_version_continues_at_the_other(pair: Pair) {
    let Pair { first, second } = &pair;
    let [key] = keys(["chat"]);
    let token = first.create(&key).await;
    let mut subscriber = Subscriber::new(second, Transport::Ndjson, [&key], &token);
    let events = |sequence: u64, count: u64| -> Vec<Value> {
        (sequence..sequence + count)
            .map(|n| json!({"event": "n", "data": n.to_string()}))
            .collect()
    };
    let batch = async |node: &Broker, sequence: u64, count: u64| {
        let body = json!({
            "key": key,
            "events": events(sequence, count),
            "producer": "P_1-x",
            "sequence": sequence,
        });
        node.post("/api/event/add", body).await
    };
    let upload = async |node: &Broker, sequence: u64, count: u64| {
        let lines: String = events(sequence, count)
            .iter()
            .flat_map(|event| [event.to_string(), "\n".to_owned()])
            .collect();
        let url =
            format!("/api/event/add/json-stream?key={key}&producer=P_1-x&sequence={sequence}");
        answer(node.request(Method::POST, &url).body(lines)).await
    };
    for round in 0..4 {
        let (one, other) = if round % 2 == 0 {
            (first, second)
        } else {
            (second, first)
        };
        let from = round * 6;
        let (_, fresh) = batch(one, from, 3).await;
        assert_eq!(
            (&fresh["num_events"], &fresh["num_duplicates"]),
            (&json!(3), &json!(0)),
            "{fresh}"
        );
        let (_, again) = batch(other, from, 3).await;
        assert_eq!(
            (&again["num_events"], &again["num_duplicates"]),
            (&json!(0), &json!(3)),
            "{again}"
        );
        let (_, more) = upload(other, from + 1, 5).await;
        assert_eq!(
            (&more["num_events"], &more["num_duplicates"]),
            (&json!(3), &json!(2)),
            "{more}"
        );
        let (status, error) = batch(one, from + 7, 1).await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (409, &json!("sequence-gap"))
        );
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains(&(from + 6).to_string()),
            "{error}"
        );
    }
    first.end(&key).await;
    let updates = subscriber.rest().await;
    assert_eq!(updates, stored_on_both(&pair, &key).await);
    let numbers: Vec<u64> = updates
        .iter()
        .filter(|update| update.is("n"))
        .map(|update| update.data.parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..24).collect::<Vec<_>>());
}

/// Follows to the end, and changes to the other node after every few events. Returns the received
/// events without bare positions.
async fn hop(mut subscriber: Subscriber, pair: &Pair) -> Vec<Update> {
    let mut all = Vec::new();
    let mut turn = usize::from(subscriber.url == pair.second.url);
    loop {
        let hops = match subscriber.next().await {
            Outcome::Update(update) => {
                all.push(update);
                all.len() % 3 == 0
            }
            Outcome::Disconnected(_) => true,
            Outcome::Complete => break,
            refused @ Outcome::Refused(..) => panic!("{:?}: {refused:?}", subscriber.transport),
        };
        if hops {
            subscriber.cut();
            turn += 1;
            subscriber.url.clone_from(&pair.nodes()[turn % 2].url);
        }
    }
    all.retain(|update| update.event.is_some());
    all
}

async fn cursors_of_one_version_are_valid_at_the_other(pair: Pair) {
    let Pair { first, second } = &pair;
    let keys = keys(["a: é,1~!", "b", "done"]);
    for (turn, key) in keys.iter().enumerate() {
        pair.nodes()[turn % 2].create(key).await;
        pair.nodes()[1 - turn % 2].add_events(key, 0, 4).await;
    }
    second.end(&keys[2]).await;
    let list = token(second, json!({"keys": keys})).await;
    let single = token(first, json!({"key": keys[0]})).await;
    let mut hoppers = Vec::new();
    for more in ["", "&events=n,none*"] {
        hoppers.extend(subscribers(&pair, &keys, &list, more));
        hoppers.extend(subscribers(&pair, &keys[..1], &single, more));
    }
    let kinds: Vec<_> = hoppers
        .iter()
        .map(|subscriber| {
            (
                subscriber.transport,
                subscriber.keys.clone(),
                subscriber.more.clone(),
            )
        })
        .collect();
    let write = async {
        for n in 0..20 {
            let node = pair.nodes()[n % 2];
            node.add_events(&keys[n % 3 % 2], n as u64, 2).await;
            node.add(
                &keys[n % 2],
                json!([{"event": "m"}, {"event": "n"}, {"event": "m", "data": "x"}]),
            )
            .await;
        }
        first.end(&keys[0]).await;
        second.end(&keys[1]).await;
    };
    let (all, ()) = tokio::join!(
        join_all(hoppers.into_iter().map(|subscriber| hop(subscriber, &pair))),
        write
    );
    for ((transport, keys, more), updates) in kinds.into_iter().zip(all) {
        for key in &keys {
            let of_key: Vec<Update> = updates
                .iter()
                .filter(|update| update.key == *key)
                .cloned()
                .collect();
            let mut wanted = stored_on_both(&pair, key).await;
            wanted.retain(|update| more.is_empty() || !update.is("m"));
            assert_eq!(of_key, wanted, "{transport:?} {keys:?} {more}");
        }
    }
}

between_versions!(
    a_producer_of_one_version_continues_at_the_other,
    cursors_of_one_version_are_valid_at_the_other,
);

between_versions!(
    cluster: Cluster, ExclusiveCluster;
    a_producer_of_one_version_continues_at_the_other,
    cursors_of_one_version_are_valid_at_the_other
);

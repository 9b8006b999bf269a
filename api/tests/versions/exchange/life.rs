//! The life of an answer over both versions: statuses, signals, deadlines, generations.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use super::{info, keys, stored_on_both, subscribed, subscribers};
use crate::{
    common::{
        Broker, number,
        subscriber::{Subscriber, encoded, token},
        until,
    },
    pair::Pair,
};

async fn ask(node: &Broker, path: &str, body: Value) -> Value {
    let (status, answer) = node.post(path, body).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// Waits until this node says that the stream is finished so.
async fn finished(node: &Broker, key: &str, stream_status: &str) {
    until("the stream is finished", || async {
        info(node, key).await["status"] == stream_status
    })
    .await;
}

/// The signals of the stream, after the first so many.
async fn signals(node: &Broker, key: &str, after: u64) -> Value {
    let path = format!("/api/stream/signals?key={}&after={after}", encoded(key));
    let (status, answer) = node.get(&path).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn each_version_delivers_the_failure_that_the_other_wrote(pair: Pair) {
    let Pair { first, second } = &pair;
    let [key] = keys(["failing"]);
    let token = first.create(&key).await;
    let mut live = subscribers(&pair, std::slice::from_ref(&key), &token, "");
    let rests = join_all(live.iter_mut().map(Subscriber::rest));
    let fail = async {
        subscribed(&pair, 8).await;
        second.add_events(&key, 0, 2).await;
        let body = json!({"key": key, "code": "model-error", "message": "é\n"});
        ask(second, "/api/stream/fail", body).await;
    };
    let (all, ()) = tokio::join!(rests, fail);
    let whole = stored_on_both(&pair, &key).await;
    let last = whole.last().unwrap();
    assert!(last.is("fail"), "{last:?}");
    for received in all {
        assert_eq!(received, whole);
    }
    for node in pair.nodes() {
        let info = info(node, &key).await;
        let reason = json!({"code": "model-error", "message": "é\n"});
        assert_eq!(
            (&info["status"], &info["reason"]),
            (&json!("failed"), &reason)
        );
        let (status, error) = node.post("/api/stream/end", json!({"key": key})).await;
        assert_eq!(
            (status.as_u16(), &error["stream_status"]),
            (404, &json!("failed"))
        );
    }
}

/// Each version renews the lease and the stall of a stream of the other, and once its producer is
/// silent, both say `abandoned`, on each transport.
async fn a_producer_with_a_lease_goes_on_at_the_other_version(pair: Pair) {
    let Pair { first, second } = &pair;
    let [key] = keys(["leased"]);
    let body = json!({"key": key, "lease": 3, "stall": 6});
    let token = first.create_with(body).await;
    let mut live = subscribers(&pair, std::slice::from_ref(&key), &token, "");
    let rests = join_all(live.iter_mut().map(Subscriber::rest));
    let lead = async {
        subscribed(&pair, 8).await;
        // Longer than both deadlines: a version that does not renew them would lose the stream.
        for n in 0..8 {
            let node = pair.nodes()[n % 2];
            node.add_events(&key, n as u64, 1).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let other = pair.nodes()[1 - n % 2];
            let answer = ask(other, "/api/stream/renew", json!({"key": key})).await;
            assert!(answer["lease_expires_at"].is_string(), "{answer}");
        }
        assert_eq!(info(first, &key).await["status"], "active");
        finished(second, &key, "abandoned").await;
    };
    let (all, ()) = tokio::join!(rests, lead);
    let whole = stored_on_both(&pair, &key).await;
    assert!(whole.last().unwrap().is("abandon"));
    for received in all {
        assert_eq!(received, whole);
    }
    assert_eq!(info(first, &key).await, info(second, &key).await);
}

/// The version that did not create the stream abandons it while the other is away.
async fn a_version_alone_abandons_a_stream_of_the_other(pair: Pair) {
    let Pair { first, second } = pair;
    let [key] = keys(["orphaned"]);
    first.create_with(json!({"key": key, "lease": 3})).await;
    first.add_events(&key, 0, 1).await;
    first.stop("-TERM").await;
    finished(&second, &key, "abandoned").await;
    let (_, events) = second
        .get(&format!("/api/stream/events?key={}", encoded(&key)))
        .await;
    let last = events.as_array().unwrap().last().unwrap();
    assert_eq!(last["event"], "abandon", "{events}");
}

async fn a_signal_sent_to_one_version_reaches_the_producer_at_the_other(pair: Pair) {
    let [key] = keys(["steered"]);
    let permissions = json!(["read", "signal"]);
    let created = json!({"key": key, "permissions": permissions, "subject": "user-1"});
    pair.first.create_with(created).await;
    let ways = [(&pair.first, &pair.second), (&pair.second, &pair.first)];
    for (seq, (at, to)) in ways.into_iter().enumerate() {
        // Each version issues a token for the other.
        let wanted = json!({"key": key, "permissions": permissions, "subject": "user-2"});
        let token = token(to, wanted).await;
        let path = format!(
            "/api/stream/signals?key={}&after={seq}&wait=60",
            encoded(&key)
        );
        let wait = at.get(&path);
        let send = async {
            // Most often the producer waits by then. Otherwise the signal is there before it.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let url = format!("{}/api/client/signal?key={}", to.url, encoded(&key));
            let body = json!({"name": "steer", "data": "left", "id": format!("id-{seq}")});
            let sent = to.http.post(url).bearer_auth(&token).body(body.to_string());
            let (status, answer) = crate::common::broker::answer(sent).await;
            assert_eq!((status.as_u16(), answer), (200, json!({"seq": seq + 1})));
        };
        let ((status, answer), ()) = tokio::join!(wait, send);
        assert_eq!(status, 200, "{answer}");
        let signal = &answer["signals"][0];
        assert_eq!(
            (&signal["seq"], &signal["by"], &signal["data"]),
            (&json!(seq + 1), &json!("user-2"), &json!("left"))
        );
    }
    assert_eq!(
        signals(&pair.first, &key, 0).await,
        signals(&pair.second, &key, 0).await
    );
}

async fn a_stop_that_is_not_followed_ends_the_stream_for_both_versions(pair: Pair) {
    let [key] = keys(["stopping"]);
    let body = json!({"key": key, "stop_grace": 3});
    pair.first.create_with(body).await;
    let path = format!("/api/client/signal?key={}", encoded(&key));
    for node in [&pair.second, &pair.first] {
        let answer = ask(node, &path, json!({"name": "stop"})).await;
        assert_eq!(answer, json!({"seq": 1}));
    }
    for node in pair.nodes() {
        finished(node, &key, "cancelled").await;
        let reason = json!({"reason": "stop-timeout", "by": "broker"});
        assert_eq!(info(node, &key).await["reason"], reason);
    }
}

async fn generations_attach_and_repeated_creates_are_the_same_for_both_versions(pair: Pair) {
    let Pair { first, second } = &pair;
    let [key] = keys(["attached"]);
    let body = json!({"key": key, "request_id": "r-1"});
    let created = ask(first, "/api/stream/", body.clone()).await;
    assert_eq!(created["created"], true);
    let again = ask(second, "/api/stream/", body).await;
    assert_eq!(again["generation"], created["generation"]);
    let attach = json!({"key": key, "if_exists": "attach"});
    let attached = ask(second, "/api/stream/", attach).await;
    assert_eq!(
        (&attached["created"], &attached["generation"]),
        (&json!(false), &created["generation"])
    );
    let replace = json!({"key": key, "if_exists": "replace"});
    let replaced = ask(second, "/api/stream/", replace).await;
    assert_ne!(replaced["generation"], created["generation"]);
    for node in pair.nodes() {
        let add = |generation: &Value| {
            let events = json!([{"event": "n"}]);
            json!({"key": key, "events": events, "generation": generation})
        };
        let (status, error) = node
            .post("/api/event/add", add(&created["generation"]))
            .await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (409, &json!("stale-generation"))
        );
        ask(node, "/api/event/add", add(&replaced["generation"])).await;
    }
    let whole = stored_on_both(&pair, &key).await;
    assert_eq!(whole.len(), 3, "{whole:?}");
    assert!(number(whole[1].id.as_deref().unwrap()) < number(whole[2].id.as_deref().unwrap()));
}

between_versions!(
    each_version_delivers_the_failure_that_the_other_wrote,
    a_producer_with_a_lease_goes_on_at_the_other_version,
    a_version_alone_abandons_a_stream_of_the_other,
    a_signal_sent_to_one_version_reaches_the_producer_at_the_other,
    a_stop_that_is_not_followed_ends_the_stream_for_both_versions,
    generations_attach_and_repeated_creates_are_the_same_for_both_versions,
);

between_versions!(
    cluster: Cluster, ExclusiveCluster;
    each_version_delivers_the_failure_that_the_other_wrote,
    a_producer_with_a_lease_goes_on_at_the_other_version,
    a_signal_sent_to_one_version_reaches_the_producer_at_the_other,
    a_stop_that_is_not_followed_ends_the_stream_for_both_versions
);

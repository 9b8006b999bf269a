//! Two nodes over one Redis, each with a Lua state of its own.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use super::{Scripted, scripted_with};
use crate::common::{broker::answer, redis::Redis};

/// A prefix of keys that no other test has.
pub(super) fn prefix() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("test-tinysse-script-{}-{number}:", std::process::id())
}

pub(super) async fn node(script: &str, prefix: &str) -> Scripted {
    let url = Redis::shared().url();
    let environment = [
        ("STREAMER_REDIS_URL", &*url),
        ("STREAMER_KEY_PREFIX", prefix),
        // A busy machine may not run Redis for seconds.
        ("STREAMER_REDIS_TIMEOUT", "20"),
    ];
    scripted_with(script, &[], &environment).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_publish_adds_on_one_node_message_sees_on_the_other() {
    let script = |name: &str| {
        format!(
            "local published = 0
            function publish(pub)
              published = published + 1
              pub.from = {{ node = '{name}', number = published }}
              return pub
            end
            function subscribe(sub)
              sub.node = '{name}'
              return sub
            end
            function message(pub, sub)
              local from = pub.from
              pub.msg.event = from.node .. from.number .. ' at ' .. sub.node
              return pub
            end"
        )
    };
    let prefix = prefix();
    let a = node(&script("a"), &prefix).await;
    let b = node(&script("b"), &prefix).await;
    let mut subscribers = [("a", a.subscribe().await), ("b", b.subscribe().await)];
    for publisher in [&a, &a, &b] {
        publisher.publish(&json!({"data": "x"})).await;
    }
    for (name, subscriber) in &mut subscribers {
        // Globals are those of a node: the first message of b is its number 1.
        for from in ["a1", "a2", "b1"] {
            let frame = format!("event: {from} at {name}\ndata: x");
            assert_eq!(subscriber.next().await.unwrap(), frame);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_credential_of_a_publisher_is_stored_or_reaches_message() {
    let script = "
        function publish(pub)
          local h = pub.req.headers
          pub.msg.data = h.authorization and h.cookie and h['x-api-key'] and 'seen' or 'unseen'
          return pub
        end
        function message(pub, sub)
          local h = pub.req.headers
          local kept = h.authorization or h.cookie or h['x-api-key'] or h['proxy-authorization']
          pub.msg.event = tostring(kept) .. ' ' .. h['x-other']
          return pub
        end";
    let prefix = prefix();
    let server = node(script, &prefix).await;
    let mut subscriber = server.subscribe().await;
    let request = server
        .json(&json!({"data": "x"}))
        .header("Authorization", "Bearer credential-1")
        .header("Cookie", "session=credential-2")
        .header("Proxy-Authorization", "Basic credential-3")
        .header("X-API-KEY", "credential-4")
        .header("X-Other", "kept");
    assert_eq!(answer(request).await.0, 202);
    assert_eq!(
        subscriber.next().await.unwrap(),
        "event: nil kept\ndata: seen"
    );
    let redis = Redis::shared();
    let key = redis.cli(&["keys", &format!("{prefix}*:events:tinysse")]);
    let stored = redis.cli(&["xrange", &key, "-", "+"]);
    assert!(stored.contains("x-other"), "{stored}");
    assert!(!stored.contains("credential"), "{stored}");
}

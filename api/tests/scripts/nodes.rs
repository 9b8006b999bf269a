//! Several nodes: each has a script of its own, and globals of its own.

use serde_json::json;

use crate::{
    common::{
        Kind,
        subscriber::{Subscriber, Transport},
    },
    harness::scripted,
};

async fn a_subscriber_of_another_node_gets_what_the_hooks_of_both_say(kind: Kind) {
    let script = "count = 0
        function publish(pub)
          if asked(pub) then return pub end
          count = count + 1
          pub.msg.data = 'p' .. count
          return pub
        end
        function message(pub, sub)
          if pub.msg.event == 'ask' then return pub end
          pub.msg.data = pub.msg.data .. 'm' .. count
          return pub
        end";
    let first = scripted(kind, script).await;
    let second = first.another_node().await;
    let open = first.create("chat").await;
    let mut subscriber = Subscriber::new(&second, Transport::Sse, ["chat"], &open);
    assert!(subscriber.update().await.is("start"));
    first
        .add("chat", json!([{"event": "n"}, {"event": "n"}]))
        .await;
    // The second node has had no event to publish.
    assert_eq!(subscriber.update().await.data, "p1m0");
    assert_eq!(subscriber.update().await.data, "p2m0");
    second.add("chat", json!([{"event": "n"}])).await;
    assert_eq!(subscriber.update().await.data, "p1m1");
    assert_eq!(first.ask("count").await, "2");
}

over_each_delivery! { a_subscriber_of_another_node_gets_what_the_hooks_of_both_say }

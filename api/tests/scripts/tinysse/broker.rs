//! The module `broker` under tinysse: without a key it publishes to all subscribers of the server.

use serde_json::{Value, json};

use super::{field, nodes, scripted};
use crate::common::{until, within};

/// A message `call` runs a function of the module. The answer goes to all as `answer`.
const CALLS: &str = r#"
    local broker, json = require "broker", require "json"
    function publish(pub)
      if pub.msg.event == "call" then
        local call = json.decode(pub.msg.data)
        local ok, result = pcall(broker[call.name], table.unpack(call.with))
        pub.msg.event = "answer"
        pub.msg.data = json { ok = ok, result = ok and result or tostring(result) }
      else
        pub.by_hook = true
      end
      return pub
    end
    function message(pub, sub)
      if pub.to and pub.to ~= sub.req.query then return nil end
      if pub.by_hook then pub.msg.comment = "by hook" end
      if pub.req == nil then pub.msg.comment = "by script" end
      return pub
    end"#;

fn call(name: &str, with: Value) -> Value {
    let call = json!({ "name": name, "with": with });
    json!({ "event": "call", "data": call.to_string() })
}

/// The result in the frame of an answer.
fn answer(frame: &str) -> Value {
    assert_eq!(field(frame, "event: "), Some("answer"), "{frame}");
    serde_json::from_str(field(frame, "data: ").unwrap()).unwrap()
}

#[tokio::test]
async fn a_script_publishes_messages_that_message_sees_and_publish_does_not() {
    let server = scripted(CALLS).await;
    let mut ann = server.follow("ann").await;
    let mut bob = server.follow("bob").await;
    let message = json!({"id": "7", "event": "e", "data": "one\ntwo", "comment": ["c"]});
    server.publish(&call("publish", json!([message]))).await;
    let list = json!([[{"data": "a"}, {"msg": {"data": 5}, "to": "ann", "req": {"path": "x"}}]]);
    server.publish(&call("publish", list)).await;
    server.publish(&json!({"data": "by a publisher"})).await;
    for (subscriber, is_ann) in [(&mut ann, true), (&mut bob, false)] {
        let frame = "id: 7\nevent: e\ndata: one\ndata: two\n: by script";
        assert_eq!(subscriber.next().await.unwrap(), frame);
        let result = answer(&subscriber.next().await.unwrap());
        assert_eq!(result["ok"], true);
        assert!(result["result"].is_string(), "one id: {result}");
        assert_eq!(subscriber.next().await.unwrap(), "data: a\n: by script");
        if is_ann {
            assert_eq!(subscriber.next().await.unwrap(), "data: 5\n: by script");
        }
        let result = answer(&subscriber.next().await.unwrap());
        assert_eq!(result["result"].as_array().unwrap().len(), 2, "{result}");
        let frame = "data: by a publisher\n: by hook";
        assert_eq!(subscriber.next().await.unwrap(), frame);
    }
}

#[tokio::test]
async fn what_is_no_message_is_an_error_and_nothing_is_published() {
    let server = scripted(CALLS).await;
    let mut subscriber = server.subscribe().await;
    for (name, with, wanted) in [
        (
            "publish",
            json!([{"id": "a\nb"}]),
            "broker.publish: invalid-event: ",
        ),
        (
            "publish",
            json!([[{"data": "good"}, {"data": [1]}]]),
            "broker.publish: invalid-event: ",
        ),
        (
            "publish",
            json!(["tinysse-other", {"event": "e"}]),
            "no-active-stream",
        ),
        (
            "publish",
            json!(["text"]),
            "`events` must be a table, not nil",
        ),
        ("finish", json!([]), "`key` must be a string, not nil"),
    ] {
        server.publish(&call(name, with)).await;
        let result = answer(&subscriber.next().await.unwrap());
        assert_eq!(result["ok"], false, "{result}");
        assert!(
            result["result"].as_str().unwrap().contains(wanted),
            "{result}"
        );
    }
}

#[tokio::test]
async fn a_message_of_a_script_has_a_limit() {
    let script = r#"
        local broker = require "broker"
        function publish(pub)
          local ok, err = pcall(broker.publish, { data = ("x"):rep(tonumber(pub.msg.data)) })
          pub.msg.data = ok and "stored" or tostring(err):match("too%-large")
          return pub
        end"#;
    let server = scripted(script).await;
    let mut subscriber = server.subscribe().await;
    server.publish(&json!({"data": "10000000"})).await;
    assert_eq!(subscriber.next().await.unwrap(), "data: too-large");
}

#[tokio::test]
async fn all_learn_who_comes_and_who_leaves() {
    let script = r#"
        local broker = require "broker"
        local here = {}
        local function tell()
          local names = {}
          for name in pairs(here) do names[#names + 1] = name end
          table.sort(names)
          broker.publish { event = "here", data = table.concat(names, " ") }
        end
        function startup()
          -- The stream of messages is created where it is not there yet.
          assert(broker.publish { event = "up" })
        end
        function subscribe(sub)
          here[sub.req.query] = true
          tell()
          return sub
        end
        function unsubscribe(sub)
          here[sub.req.query] = nil
          tell()
        end"#;
    let server = scripted(script).await;
    let mut ann = server.follow("ann").await;
    let bob = server.follow("bob").await;
    let frame = |names: &str| Some(format!("event: here\ndata: {names}"));
    assert_eq!(ann.next().await, frame("ann bob"));
    drop(bob);
    // What a subscriber that has left is sent shows that it has left.
    server.publish(&json!({"event": "wake"})).await;
    let learns = async {
        while ann.next().await != frame("ann") {
            server.publish(&json!({"event": "wake"})).await;
        }
    };
    within(learns).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_are_one_server_for_scripts_too() {
    let prefix = nodes::prefix();
    let one = nodes::node(CALLS, &prefix).await;
    let other = nodes::node(CALLS, &prefix).await;
    let mut subscribers = [one.subscribe().await, other.subscribe().await];
    let message = json!([{"data": "from one"}]);
    one.publish(&call("publish", message)).await;
    for subscriber in &mut subscribers {
        let frame = subscriber.next().await.unwrap();
        assert_eq!(frame, "data: from one\n: by script");
        assert_eq!(answer(&subscriber.next().await.unwrap())["ok"], true);
    }
    let [here, _] = &mut subscribers;
    let here = tokio::sync::Mutex::new(here);
    until("a script counts the subscribers of both", || async {
        one.publish(&call("subscribers", json!([]))).await;
        answer(&here.lock().await.next().await.unwrap())["result"] == 2
    })
    .await;
    one.publish(&call("info", json!([]))).await;
    let info = answer(&here.lock().await.next().await.unwrap());
    assert_eq!(info["result"]["key"], "tinysse", "{info}");
}

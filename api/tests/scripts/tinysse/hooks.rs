//! Each hook: what it gets, and what its results do.

use serde_json::{Value, json};

use super::{field, scripted, scripted_with, server::Subscriber};
use crate::common::within;

#[tokio::test]
async fn startup_knows_the_options() {
    let script = r#"
        local json = require "json"
        function startup(cli)
          options = json(cli)
        end
        function publish(pub)
          pub.msg.data = options
          return pub
        end"#;
    let arguments = [
        "--script-data",
        "some data",
        "--script-tick",
        "250ms",
        "--keep-alive",
        "1m",
        "-K",
        "still here",
        "--timeout",
        "2m",
        "-r",
        "3s",
        "--capacity",
        "17",
        "-m",
        "1KB",
        "-L",
        "WARN",
    ];
    let server = scripted_with(script, &arguments, &[]).await;
    let mut subscriber = server.subscribe().await;
    server.publish(&json!({"event": "cli"})).await;
    let frame = subscriber.next().await.unwrap();
    let options: Value = serde_json::from_str(field(&frame, "data: ").unwrap()).unwrap();
    let expected = json!({
        "listen": "127.0.0.1:0", "log_level": "WARN", "keep_alive": 60_000,
        "keep_alive_text": "still here", "timeout": 120_000, "timeout_retry": 3_000,
        "capacity": 17, "script": server.script.to_str().unwrap(), "script_data": "some data",
        "script_tick": 250, "unsafe_script": false, "max_body_size": 1_000,
        "pub_path": "/sse", "sub_path": "/sse", "serve_static_path": "/",
    });
    assert_eq!(options, expected);
}

#[tokio::test]
async fn hooks_see_the_request() {
    let script = r#"
        local json = require "json"
        function publish(pub)
          pub.msg.data = json(pub.req)
          pub.req = nil
          return pub
        end
        function subscribe(sub)
          sub.seen = json(sub.req)
          sub.req.path = "changed"
          return sub
        end
        function message(pub, sub)
          pub.msg.comment = sub.seen .. sub.req.path
          pub.msg.event = pub.req.method
          return pub
        end"#;
    let server = scripted(script).await;
    let mut subscriber = server.follow("a=1&b").await;
    let request = server
        .http
        .post(format!("{}/sse?q", server.url))
        .header("X-Twice", "1")
        .header("X-Twice", "2")
        .header("Authorization", "Bearer seen")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body("data=x");
    assert_eq!(request.send().await.unwrap().status(), 202);
    let frame = subscriber.next().await.unwrap();
    let published: Value = serde_json::from_str(field(&frame, "data: ").unwrap()).unwrap();
    assert_eq!(published["method"], "POST");
    assert_eq!(
        (&published["path"], &published["query"]),
        (&json!("/sse"), &json!("q"))
    );
    assert_eq!(published["headers"]["x-twice"], "1, 2");
    assert_eq!(published["headers"]["authorization"], "Bearer seen");
    assert_eq!(published["addr"]["ip"], "127.0.0.1");
    assert!(published["addr"]["port"].as_u64().is_some());
    // What a hook changes in the request is not kept.
    let subscribed = field(&frame, ": ").unwrap().strip_suffix("/sse").unwrap();
    let subscribed: Value = serde_json::from_str(subscribed).unwrap();
    assert_eq!(
        (&subscribed["method"], &subscribed["query"]),
        (&json!("GET"), &json!("a=1&b"))
    );
    assert_eq!(field(&frame, "event: "), Some("POST"));
}

#[tokio::test]
async fn what_message_changes_is_for_one_subscriber() {
    let script = r#"
        function subscribe(sub)
          sub.n = 0
          return sub
        end
        function message(pub, sub)
          sub.n = sub.n + 1
          if pub.msg.data == "drop" then return nil end
          pub.msg.data = pub.msg.data .. " " .. sub.req.query .. " " .. sub.n
          return pub
        end"#;
    let server = scripted(script).await;
    let mut one = server.follow("one").await;
    let mut two = server.follow("two").await;
    for data in ["a", "drop", "b"] {
        server.publish(&json!({ "data": data })).await;
    }
    for (subscriber, name) in [(&mut one, "one"), (&mut two, "two")] {
        assert_eq!(
            subscriber.next().await.unwrap(),
            format!("data: a {name} 1")
        );
        assert_eq!(
            subscriber.next().await.unwrap(),
            format!("data: b {name} 3")
        );
    }
}

#[tokio::test]
async fn catchup_delivers_before_what_follows_and_without_message() {
    let script = r#"
        function catchup(sub, last_event_id)
          return {
            { id = "1", event = "old", data = "after " .. last_event_id },
            { msg = { data = "a publication" } },
          }
        end
        function message(pub, sub)
          pub.msg.data = pub.msg.data .. " by message"
          return pub
        end"#;
    let server = scripted(script).await;
    let request = |query: &str, header: Option<&str>| {
        let request = server.http.get(format!("{}/sse{query}", server.url));
        header.map_or_else(
            || server.http.get(format!("{}/sse{query}", server.url)),
            |id| request.header("Last-Event-ID", id),
        )
    };
    let mut subscribers = Vec::new();
    for (query, header, last) in [
        ("?last_event_id=q", None, Some("q")),
        ("?last_event_id=q", Some("h"), Some("h")),
        ("", Some("h"), Some("h")),
        ("", None, None),
    ] {
        let response = request(query, header).send().await.unwrap();
        let mut subscriber = Subscriber::new(response);
        assert_eq!(subscriber.next().await.as_deref(), Some(": ok"));
        if let Some(last) = last {
            let frame = format!("id: 1\nevent: old\ndata: after {last}");
            assert_eq!(subscriber.next().await.unwrap(), frame);
            assert_eq!(subscriber.next().await.unwrap(), "data: a publication");
        }
        subscribers.push(subscriber);
    }
    server.publish(&json!({"data": "live"})).await;
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.next().await.unwrap(), "data: live by message");
    }
}

#[tokio::test]
async fn timeout_names_the_delay_and_comes_before_unsubscribe() {
    let script = r#"
        local order = {}
        function timeout(sub, elapsed)
          assert(elapsed >= 1000, "too early")
          order[#order + 1] = "timeout " .. sub.req.query
          return tonumber(sub.req.query)
        end
        function unsubscribe(sub)
          order[#order + 1] = "left " .. sub.req.query
        end
        function publish(pub)
          if pub.msg.event == "done?" then return #order == 4 and pub or nil end
          pub.msg.data = table.concat(order, ",")
          return pub
        end"#;
    let arguments = ["--timeout", "1s", "--timeout-retry", "7s"];
    let server = scripted_with(script, &arguments, &[]).await;
    for (query, retry) in [("1234", "1234"), ("none", "7000")] {
        let subscriber = server.follow(query).await;
        let rest = subscriber.rest().await;
        assert_eq!(rest, [format!(": timeout\nretry: {retry}")]);
    }
    server.until_it_accepts("done?").await;
    let (_, body) = server.send(json!({"event": "x"})).await;
    assert!(body["queued"].is_number(), "{body}");
    let mut subscriber = server.follow("late").await;
    server.publish(&json!({"event": "order"})).await;
    let frame = subscriber.next().await.unwrap();
    let order = "timeout 1234,left 1234,timeout none,left none";
    assert_eq!(field(&frame, "data: "), Some(order));
}

#[tokio::test]
async fn tick_counts_from_one() {
    let script = r#"
        local seen, running = {}, false
        local sleep = require "sleep"
        function tick(count)
          assert(not running, "two at a time")
          running = true
          sleep(30)
          seen[#seen + 1] = count
          running = false
        end
        function publish(pub)
          if pub.msg.event == "three?" and #seen < 3 then return nil end
          pub.msg.data = table.concat(seen, " ", 1, math.min(#seen, 3))
          return pub
        end"#;
    let server = scripted_with(script, &["--script-tick", "10ms"], &[]).await;
    server.until_it_accepts("three?").await;
    let mut subscriber = server.subscribe().await;
    server.publish(&json!({"event": "x"})).await;
    let frame = subscriber.next().await.unwrap();
    assert_eq!(field(&frame, "data: "), Some("1 2 3"));
}

#[tokio::test]
async fn a_script_is_loaded_anew_at_sighup_and_connections_stay() {
    let script = "function message(pub, sub)
          pub.msg.data = 'old'
          return pub
        end";
    let server = scripted(script).await;
    let mut subscriber = server.subscribe().await;
    server.publish(&json!({"data": "x"})).await;
    assert_eq!(subscriber.next().await.unwrap(), "data: old");
    std::fs::write(&server.script, script.replace("old", "new")).unwrap();
    server.signal("-HUP");
    let changes = async {
        loop {
            server.publish(&json!({"data": "x"})).await;
            let frame = subscriber.next().await.unwrap();
            if frame == "data: new" {
                break;
            }
            assert_eq!(frame, "data: old");
        }
    };
    within(changes).await;
}

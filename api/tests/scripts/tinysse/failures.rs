//! A script that fails: it raises, or does not come back.

use serde_json::json;

use super::{file, scripted, scripted_with, server::refused};

/// A pattern that Lua's `string.find` needs years for.
const ENDLESS_FIND: &str = "string.find(('a'):rep(60), ('a?'):rep(60) .. ('a'):rep(60))";

/// Hooks that fail as the data of a message says.
const FAILING: &str = "
    local function fail(how)
      if how == 'raise' then error('no money') end
      if how == 'loop' then while true do end end
      if how == 'memory' then local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end end
      if how == 'find' then FIND end
    end";

fn failing(hook: &str) -> String {
    FAILING.replace("FIND", ENDLESS_FIND) + hook
}

#[tokio::test]
async fn a_publish_that_fails_is_500_and_the_next_one_is_not() {
    let script = failing(
        "
        function publish(pub)
          fail(pub.msg.data)
          return pub
        end",
    );
    let server = scripted(&script).await;
    let mut subscriber = server.subscribe().await;
    for data in ["raise", "loop", "memory"] {
        let (status, body) = server.send(json!({ "data": data })).await;
        assert_eq!(status, 500, "{data}: {body}");
        let text = body["error"].as_str().unwrap();
        assert!(text.contains("script failed"), "{body}");
        assert!(!text.contains("money"), "{body}");
        server.publish(&json!({"data": "good"})).await;
        assert_eq!(subscriber.next().await.unwrap(), "data: good");
    }
    let (_, log) = server.server.stop("-TERM").await;
    let line = log.lines().find(|line| line.contains("no money"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    assert!(
        line.contains("hooks.lua:3:") && line.contains("publish"),
        "{log}"
    );
    assert!(log.contains("STREAMER_SCRIPT_INSTRUCTIONS"), "{log}");
}

#[tokio::test]
async fn a_publish_that_hangs_in_c_is_500_and_the_script_runs_anew() {
    let script = failing(
        "
        calls = 0
        function publish(pub)
          fail(pub.msg.data)
          calls = calls + 1
          pub.msg.data = tostring(calls)
          return pub
        end",
    );
    let time = [("STREAMER_SCRIPT_TIMEOUT", "3")];
    let server = scripted_with(&script, &[], &time).await;
    let mut subscriber = server.subscribe().await;
    let (status, body) = server.send(json!({"data": "find"})).await;
    assert_eq!(status, 500, "{body}");
    crate::common::until("the script runs again", || async {
        server.send(json!({"data": "good"})).await.0 == 202
    })
    .await;
    assert_eq!(subscriber.next().await.unwrap(), "data: 1");
    let (_, log) = server.server.stop("-TERM").await;
    assert!(log.contains("does not come back"), "{log}");
}

#[tokio::test]
async fn a_message_that_fails_ends_that_connection_alone() {
    let script = failing(
        "
        function message(pub, sub)
          if sub.req.query == pub.msg.data then fail(pub.msg.data) end
          return pub
        end",
    );
    let server = scripted(&script).await;
    let mut other = server.follow("other").await;
    for how in ["raise", "loop", "memory"] {
        let subscriber = server.follow(how).await;
        server.publish(&json!({"data": "before"})).await;
        server.publish(&json!({ "data": how })).await;
        server.publish(&json!({"data": "after"})).await;
        let rest = subscriber.rest().await;
        assert_eq!(rest.len(), 2, "{how}: {rest:?}");
        assert_eq!(rest[0], "data: before");
        assert!(rest[1].starts_with("retry: "), "{rest:?}");
        for data in ["before", how, "after"] {
            assert_eq!(other.next().await.unwrap(), format!("data: {data}"));
        }
    }
}

#[tokio::test]
async fn a_message_that_hangs_in_c_ends_that_connection_and_the_script_runs_anew() {
    let script = failing(
        "
        function message(pub, sub)
          if pub.msg.data == 'find' then fail('find') end
          return pub
        end",
    );
    let time = [("STREAMER_SCRIPT_TIMEOUT", "3")];
    let server = scripted_with(&script, &[], &time).await;
    let subscriber = server.subscribe().await;
    server.publish(&json!({"data": "find"})).await;
    let rest = subscriber.rest().await;
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert!(rest[0].starts_with("retry: "), "{rest:?}");
    crate::common::until("a subscriber gets messages again", || async {
        let response = server.get("/sse").await;
        if response.status() != 200 {
            return false;
        }
        let mut subscriber = super::Subscriber::new(response);
        subscriber.next().await;
        server.publish(&json!({"data": "x"})).await;
        subscriber.next().await.as_deref() == Some("data: x")
    })
    .await;
}

#[tokio::test]
async fn subscribe_and_catchup_that_fail_are_500() {
    let script = failing(
        "
        function subscribe(sub)
          if sub.req.path == '/sse' and sub.req.query == 'raise' then fail('raise') end
          return sub
        end
        function catchup(sub, id)
          if id == 'no list' then return { a = 1 } end
          fail(id)
        end",
    );
    let server = scripted(&script).await;
    for query in [
        "raise",
        "last_event_id=raise",
        "last_event_id=loop",
        "last_event_id=memory",
        "last_event_id=no%20list",
    ] {
        let response = server.get(&format!("/sse?{query}")).await;
        assert_eq!(response.status(), 500, "{query}");
        let body: serde_json::Value = response.json().await.unwrap();
        assert!(body["error"].is_string(), "{body}");
    }
    server.subscribe().await;
}

#[tokio::test]
async fn tick_unsubscribe_and_timeout_that_fail_are_in_the_log() {
    let script = "
        local seen = {}
        function tick(count) seen.tick = true error('in tick') end
        function unsubscribe(sub) seen.left = true error('in unsubscribe') end
        function timeout(sub, elapsed) error('in timeout') end
        function publish(pub)
          if pub.msg.event == 'seen?' then return seen.tick and seen.left and pub or nil end
          return pub
        end";
    let arguments = ["--timeout", "1s", "-r", "9s"];
    let server = scripted_with(script, &arguments, &[]).await;
    let rest = server.subscribe().await.rest().await;
    assert_eq!(rest, [": timeout\nretry: 9000"]);
    server.until_it_accepts("seen?").await;
    let (code, log) = server.server.stop("-TERM").await;
    assert_eq!(code, Some(0));
    for (hook, line) in [("tick", 3), ("unsubscribe", 4), ("timeout", 5)] {
        let record = log
            .lines()
            .find(|record| record.contains(&format!("in {hook}")));
        let record = record.unwrap_or_else(|| panic!("{hook}: {log}"));
        assert!(record.contains(&format!("hooks.lua:{line}:")), "{record}");
    }
}

#[tokio::test]
async fn a_script_that_can_t_be_loaded_or_started_stops_the_start() {
    for (script, wanted) in [
        ("function publish(pub)\n  return pub +\nend", "hooks.lua:3:"),
        ("\nlocal x = nil\nprint(x.y)", "hooks.lua:3:"),
        (
            "function startup(cli)\n  error('no ' .. cli.script_data)\nend",
            "hooks.lua:2: no luck",
        ),
        ("while true do end", "STREAMER_SCRIPT_INSTRUCTIONS"),
        ("local json = require 'jsno'", "jsno"),
    ] {
        let (_folder, path) = file(script);
        let arguments = ["-l", "127.0.0.1:0", "--script", path.to_str().unwrap()];
        let arguments = [&arguments[..], &["--script-data", "luck"]].concat();
        let (code, text) = refused(&arguments, &[("STREAMER_SCRIPT_TIMEOUT", "30")]).await;
        assert_eq!(code, 1, "{text}");
        assert!(text.contains(wanted), "{text}");
    }
    let missing = ["-l", "127.0.0.1:0", "--script", "/no/such/hooks.lua"];
    let (code, text) = refused(&missing, &[]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("/no/such/hooks.lua"), "{text}");
}

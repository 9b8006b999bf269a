//! The hook `publish`.

use futures::SinkExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    common::{Kind, broker::API_KEY, redis::Redis, ws::Ws},
    harness::{Scripted, scripted},
};

/// Changes `up`, refuses `no`, fails for `break`, and returns what is no event for `odd`.
const SCRIPT: &str = r#"
function publish(pub)
  if asked(pub) then return pub end
  local name = pub.msg.event
  if name == "up" then
    pub.msg.event = "changed"
    pub.msg.data = string.upper(pub.msg.data) .. " in " .. pub.key
    pub.msg.id = "mine"
  elseif name == "no" then
    return nil
  elseif name == "break" then
    error("the data is " .. pub.msg.data)
  elseif name == "odd" then
    if pub.msg.data == "number" then return 7 end
    return { msg = pub.msg.data == "name" and { event = "end" } or {} }
  elseif name == "table" then
    pub.msg.data = { list = { 1, 2 }, text = "x" }
  elseif name == "nothing" then
    pub.msg.data = nil
  end
  return pub
end
"#;

async fn started(kind: Kind) -> Scripted {
    let node = scripted(kind, SCRIPT).await;
    node.create("chat").await;
    node
}

fn texts(events: &[(String, Value)]) -> Vec<(&str, &str)> {
    events
        .iter()
        .map(|(name, data)| (name.as_str(), data.as_str().unwrap_or("-")))
        .collect()
}

async fn a_batch_is_changed_before_it_is_stored(kind: Kind) {
    let node = started(kind).await;
    let events = json!([
        {"event": "up", "data": "one"},
        {"event": "plain", "data": "two"},
        {"event": "table"},
        {"event": "nothing", "data": "three"},
    ]);
    let ids = node.add("chat", events).await;
    assert!(ids[0].ends_with("-1"), "the broker's own id: {ids:?}");
    assert_eq!(
        texts(&node.events("chat").await),
        [
            ("changed", "ONE in chat"),
            ("plain", "two"),
            ("table", r#"{"list":[1,2],"text":"x"}"#),
            ("nothing", "-"),
        ]
    );
}

async fn a_refused_event_refuses_its_batch(kind: Kind) {
    let node = started(kind).await;
    let events = json!([{"event": "plain"}, {"event": "no"}, {"event": "plain"}]);
    let batch = json!({"key": "chat", "events": events});
    let (status, error) = node.post("/api/event/add", batch).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (403, &json!("refused-by-script"))
    );
    assert!(
        error["message"].as_str().unwrap().starts_with("events[1]"),
        "{error}"
    );
    assert_eq!(node.events("chat").await, []);
    let metrics = node.metrics().await;
    let refused = r#"script_calls_total{hook="publish",outcome="refused"}"#;
    assert_eq!(metrics.get(refused), 1);
    let counted = r#"refused_events_total{code="refused-by-script",way="batch"}"#;
    assert_eq!(metrics.get(counted), 1);
}

async fn a_failing_hook_writes_nothing_and_tells_no_data(kind: Kind) {
    let node = started(kind).await;
    for (event, data) in [
        ("break", "secret-data"),
        ("odd", "number"),
        ("odd", "name"),
        ("odd", "empty"),
    ] {
        let (status, error) = node.publish("chat", event, json!(data)).await;
        assert_eq!(
            (status, &error["code"]),
            (503, &json!("script-failed")),
            "{event} {data}"
        );
        assert!(!error.to_string().contains("secret-data"), "{error}");
    }
    assert_eq!(node.events("chat").await, []);
    assert_eq!(node.publish("chat", "plain", json!("x")).await.0, 200);
    let (_, log) = node.broker.stop("-TERM").await;
    assert!(
        log.contains("hooks.lua:"),
        "the log names file and line: {log}"
    );
    assert!(log.contains("publish"), "the log names the hook: {log}");
}

async fn an_upload_goes_on_after_a_refused_line(kind: Kind) {
    let node = started(kind).await;
    let lines = "{\"event\":\"up\",\"data\":\"a\"}\n{\"event\":\"no\"}\n{\"event\":\"plain\"}\n";
    let path = "/api/event/add/json-stream?key=chat";
    let request = node.request(Method::POST, path).body(lines);
    let (status, summary) = crate::common::broker::answer(request).await;
    assert_eq!(
        (status.as_u16(), &summary["num_events"]),
        (200, &json!(2)),
        "{summary}"
    );
    assert!(
        summary["errors"][0]
            .as_str()
            .unwrap()
            .starts_with("line 2: "),
        "{summary}"
    );
    assert_eq!(
        texts(&node.events("chat").await),
        [("changed", "A in chat"), ("plain", "-")]
    );
}

async fn an_upload_ends_at_the_line_where_the_hook_fails(kind: Kind) {
    let node = started(kind).await;
    let lines = "{\"event\":\"plain\",\"data\":\"a\"}\n{\"event\":\"break\",\"data\":\"b\"}\n\
                 {\"event\":\"plain\",\"data\":\"c\"}\n";
    let path = "/api/event/add/json-stream?key=chat";
    let request = node.request(Method::POST, path).body(lines);
    let (status, error) = crate::common::broker::answer(request).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (503, &json!("script-failed")),
        "{error}"
    );
    assert!(
        error["message"].as_str().unwrap().contains("1 events"),
        "{error}"
    );
    assert_eq!(texts(&node.events("chat").await), [("plain", "a")]);
}

async fn each_message_of_a_websocket_gets_its_answer(kind: Kind) {
    let node = started(kind).await;
    let base = node.url.replacen("http", "ws", 1);
    let url = format!("{base}/api/event/add/ws-stream?key=chat");
    let mut socket = Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap();
    for text in [
        r#"{"event":"up","data":"a"}"#,
        r#"{"event":"no"}"#,
        r#"{"event":"plain","data":"b"}"#,
    ] {
        socket.0.feed(Message::text(text)).await.unwrap();
    }
    socket.0.flush().await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(socket.next().await.unwrap());
    }
    assert_eq!(answers[0]["type"], "success");
    assert_eq!(answers[1]["code"], "refused-by-script");
    assert_eq!(answers[2]["type"], "success");
    assert_eq!(
        texts(&node.events("chat").await),
        [("changed", "A in chat"), ("plain", "b")]
    );
}

async fn a_numbered_producer_is_closed_where_the_hook_fails(kind: Kind) {
    let node = started(kind).await;
    let base = node.url.replacen("http", "ws", 1);
    let url = format!("{base}/api/event/add/ws-stream?key=chat&producer=p&sequence=0");
    let mut socket = Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap();
    socket.send(r#"{"event":"break","data":"a"}"#).await;
    assert_eq!(socket.next().await.unwrap()["code"], "script-failed");
    assert_eq!(socket.close_code().await, Some(1013));
    assert_eq!(node.events("chat").await, []);
}

over_each_kind! {
    a_batch_is_changed_before_it_is_stored,
    a_refused_event_refuses_its_batch,
    a_failing_hook_writes_nothing_and_tells_no_data,
    an_upload_goes_on_after_a_refused_line,
    an_upload_ends_at_the_line_where_the_hook_fails,
    each_message_of_a_websocket_gets_its_answer,
    a_numbered_producer_is_closed_where_the_hook_fails,
}

/// All values that a table holds, as one text.
const SHOWN: &str = r#"
function shown(value)
  if type(value) ~= "table" then return tostring(value) end
  local all = {}
  for name, member in pairs(value) do
    all[#all + 1] = tostring(name) .. "=" .. shown(member)
  end
  table.sort(all)
  return "{" .. table.concat(all, " ") .. "}"
end
"#;

#[tokio::test]
async fn a_publisher_s_request_has_no_credentials() {
    let script =
        format!("{SHOWN} function publish(pub) pub.msg.data = shown(pub.req) return pub end");
    let redis = Redis::start(&[]);
    let (setup, _folder, _) = crate::harness::setup(Kind::Shared, &script);
    let node = setup.set("REDIS_URL", redis.url()).start().await;
    node.create("chat").await;
    let batch = json!({"key": "chat", "events": [{"event": "x"}]});
    let request = node
        .request(
            Method::POST,
            "/api/event/add?strict=false&token=secret-token",
        )
        .header("Authorization", "Bearer secret-bearer")
        .header("Cookie", "session=secret-cookie")
        .header("X-Seen", "by the script")
        .body(batch.to_string());
    assert_eq!(crate::common::broker::answer(request).await.0, 200);
    let (_, events) = node.get("/api/stream/events?key=chat").await;
    let seen = events[1]["data"].as_str().unwrap();
    for wanted in [
        "x-seen=by the script",
        "method=POST",
        "path=/api/event/add",
        "127.0.0.1",
    ] {
        assert!(seen.contains(wanted), "{wanted}: {seen}");
    }
    assert!(seen.contains("query=strict=false"), "{seen}");
    // What the script has seen is in Redis. So is nothing that is secret.
    let everything: String = redis
        .cli(&["--scan"])
        .lines()
        .map(|key| redis.cli(&["DUMP", key]))
        .collect();
    assert!(everything.contains("by the script"));
    for secret in ["secret", API_KEY] {
        assert!(
            !seen.contains(secret) && !everything.contains(secret),
            "{secret}: {seen}"
        );
    }
}

#[tokio::test]
async fn hooks_interleave_only_where_they_wait() {
    // Two hooks that count do not lose an event, though 20 publishers write at a time.
    let script = "count = 0
        function publish(pub)
          if asked(pub) then return pub end
          local before = count
          for _ = 1, 1000 do end
          count = before + 1
          return pub
        end";
    let node = scripted(Kind::Memory, script).await;
    node.create("chat").await;
    let one = |n: u64| node.add_events("chat", n, 1);
    futures::future::join_all((0..200).map(one)).await;
    assert_eq!(node.ask("count").await, "200");
}

#[tokio::test]
async fn a_hook_may_wait_within_pcall() {
    let script = "function publish(pub)
          local ok, problem = pcall(function() coroutine.yield() error('caught', 0) end)
          pub.msg.data = tostring(ok) .. problem
          return pub
        end";
    let node = scripted(Kind::Memory, script).await;
    node.create("chat").await;
    node.add_events("chat", 0, 1).await;
    assert_eq!(node.events("chat").await[0].1, "falsecaught");
}

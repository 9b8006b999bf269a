//! The module `broker`: scripts that write, finish and ask.

use serde_json::{Value, json};

use crate::{
    common::{
        Kind,
        redis::{self, Redis},
        subscriber::{Subscriber, Transport},
        until,
    },
    harness::{Scripted, scripted, scripted_with, setup},
};

/// An event `call` runs a function of the module. Its data become what `pcall` returns.
const CALLS: &str = r#"
    local broker, json = require "broker", require "json"
    hooked = 0
    function publish(pub)
      if asked(pub) then return pub end
      hooked = hooked + 1
      if pub.msg.event == "call" then
        -- An event has a limit itself.
        local text = pub.msg.data:gsub("LONG", ("x"):rep(2000))
        local call = json.decode(text)
        local results = table.pack(pcall(broker[call.name], table.unpack(call.with)))
        local list = json.array()
        for i = 1, results.n do
          list[i] = type(results[i]) == "userdata" and tostring(results[i]) or results[i]
        end
        pub.msg.data = list
      end
      return pub
    end"#;

/// What the function returns; its text where it fails.
async fn call(node: &Scripted, name: &str, with: Value) -> Result<Vec<Value>, String> {
    let create = json!({ "key": "calls", "if_exists": "attach" });
    assert_eq!(node.post("/api/stream/", create).await.0, 200);
    let (status, answer) = node
        .publish("calls", "call", json!({ "name": name, "with": with }))
        .await;
    assert_eq!(status, 200, "{answer}");
    let last = node.events("calls").await.pop().unwrap().1;
    let mut list: Vec<Value> = serde_json::from_str(last.as_str().unwrap()).unwrap();
    if list.remove(0) == true {
        return Ok(list);
    }
    Err(list[0].as_str().unwrap().to_owned())
}

/// The error code in an error of the module.
fn code(error: &str) -> &str {
    let mut parts = error.split(": ");
    assert!(parts.next().unwrap().starts_with("broker."), "{error}");
    parts.next().unwrap()
}

async fn a_script_writes_one_event_and_many(kind: Kind) {
    let node = scripted(kind, CALLS).await;
    let open = node.create("room").await;
    let mut subscriber = Subscriber::new(&node, Transport::Sse, ["room"], &open);
    assert!(subscriber.update().await.is("start"));
    let one = call(
        &node,
        "publish",
        json!(["room", {"event": "e", "data": "text"}]),
    )
    .await;
    let one = one.unwrap();
    let update = subscriber.update().await;
    assert!(update.is("e"));
    assert_eq!(update.data, "text");
    assert_eq!(one, [json!(update.id)]);
    let many = json!(["room", [
        {"event": "json", "data": {"a": [1, 2.5, null, true]}}, {"event": "none"},
        {"event": "empty", "data": ""},
    ]]);
    let many = call(&node, "publish", many).await.unwrap();
    for (event, data, id) in [
        ("json", r#"{"a":[1,2.5,null,true]}"#, 0),
        ("none", "", 1),
        ("empty", "", 2),
    ] {
        let update = subscriber.update().await;
        assert!(update.is(event));
        assert_eq!(update.data, data);
        assert_eq!(many[0][id], json!(update.id));
    }
    let stored = node.events("room").await;
    assert_eq!((&stored[2].1, &stored[3].1), (&Value::Null, &json!("")));
    let nothing = call(&node, "publish", json!(["room", []])).await.unwrap();
    assert_eq!(nothing, [json!([])]);
    // Only the three events `call` went through the hook.
    assert_eq!(node.ask("hooked").await, "3");
}

async fn finish_writes_what_the_routes_write(kind: Kind) {
    let node = scripted(kind, CALLS).await;
    for (index, (route, body, options)) in [
        ("end", json!({}), json!(null)),
        (
            "end",
            json!({"data": {"n": 1}}),
            json!({"status": "ended", "data": {"n": 1}}),
        ),
        ("end", json!({"data": "text"}), json!({"data": "text"})),
        ("cancel", json!({}), json!({"status": "cancelled"})),
        (
            "cancel",
            json!({"reason": "ü", "by": "user-7"}),
            json!({"status": "cancelled", "reason": "ü", "by": "user-7"}),
        ),
        ("fail", json!({}), json!({"status": "failed"})),
        (
            "fail",
            json!({"code": "no-model", "message": "m"}),
            json!({"status": "failed", "code": "no-model", "message": "m"}),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let [by_route, by_script] = ["route", "script"].map(|way| format!("{way}-{index}"));
        node.create(&by_route).await;
        let open = node.create(&by_script).await;
        let mut body = body;
        body["key"] = by_route.clone().into();
        assert_eq!(
            node.post(&format!("/api/stream/{route}"), body).await.0,
            200
        );
        let with = if options.is_null() {
            json!([by_script])
        } else {
            json!([by_script, options])
        };
        let id = call(&node, "finish", with).await.unwrap();
        let [expected, written] = [node.events(&by_route).await, node.events(&by_script).await];
        assert_eq!(written, expected);
        let state = async |key: &str| node.get(&format!("/api/stream/info?key={key}")).await.1;
        let (expected, found) = (state(&by_route).await, state(&by_script).await);
        assert_eq!(found["status"], expected["status"]);
        assert_eq!(found["reason"], expected["reason"]);
        assert_eq!(found["last_id"], id[0]);
        let rest = Subscriber::new(&node, Transport::Ndjson, [&*by_script], &open)
            .rest()
            .await;
        assert_eq!(rest.len(), 2, "the subscriber gets the end");
        let again = call(&node, "finish", json!([by_script])).await.unwrap_err();
        assert_eq!(code(&again), "no-active-stream");
        assert!(again.contains(found["status"].as_str().unwrap()), "{again}");
    }
}

over_each_kind! {
    a_script_writes_one_event_and_many,
    finish_writes_what_the_routes_write,
}

#[tokio::test]
async fn errors_have_the_codes_of_the_routes_and_write_nothing() {
    let limits = [("MAX_EVENT", "1024"), ("MAX_BATCH", "3")];
    let node = scripted_with(Kind::Memory, CALLS, &limits).await;
    node.create("room").await;
    let long = "LONG";
    let expand = |body: Value| -> Value {
        let text = body.to_string().replace(long, &"x".repeat(2_000));
        serde_json::from_str(&text).unwrap()
    };
    let event = json!({"event": "e"});
    for (key, events) in [
        ("nobody", json!([event])),
        ("", json!([event])),
        ("room", json!([event, {"event": "end"}])),
        ("room", json!([event, {"event": ""}])),
        ("room", json!([event, {"event": "e", "data": long}])),
        ("room", json!([event, event, event, event])),
    ] {
        let batch = json!({ "key": key, "events": events });
        let (status, answer) = node.post("/api/event/add", expand(batch)).await;
        assert_ne!(status, 200, "{answer}");
        let error = call(&node, "publish", json!([key, events])).await;
        assert_eq!(code(&error.unwrap_err()), answer["code"], "{events}");
    }
    for (route, body, options) in [
        ("end", json!({"data": long}), json!({"data": long})),
        (
            "cancel",
            json!({"reason": long}),
            json!({"status": "cancelled", "reason": long}),
        ),
        (
            "cancel",
            json!({"by": long}),
            json!({"status": "cancelled", "by": long}),
        ),
        (
            "fail",
            json!({"code": "A"}),
            json!({"status": "failed", "code": "A"}),
        ),
        (
            "fail",
            json!({"message": long}),
            json!({"status": "failed", "message": long}),
        ),
    ] {
        let mut body = expand(body);
        body["key"] = "room".into();
        let (status, answer) = node.post(&format!("/api/stream/{route}"), body).await;
        assert_ne!(status, 200, "{answer}");
        let error = call(&node, "finish", json!(["room", options])).await;
        assert_eq!(code(&error.unwrap_err()), answer["code"], "{options}");
    }
    for (name, with, wanted) in [
        ("info", json!(["nobody"]), "stream-not-found"),
        ("publish", json!([{"event": "e"}]), "`key` must be a string"),
        (
            "publish",
            json!(["room"]),
            "`events` must be a table, not nil",
        ),
        (
            "publish",
            json!(["room", [1]]),
            "`event` must be a table, not the number 1",
        ),
        (
            "publish",
            json!(["room", {"event": 1}]),
            "`event` must be a string",
        ),
        (
            "publish",
            json!(["room", {"event": "e", "date": "x"}]),
            "no option the string \"date\"",
        ),
        (
            "finish",
            json!(["room", {"status": "done"}]),
            "ended, cancelled or failed",
        ),
        (
            "finish",
            json!(["room", {"status": "ended", "reason": "x"}]),
            "no option",
        ),
        (
            "finish",
            json!(["room", {"status": "failed", "code": 5}]),
            "`code` must be a string",
        ),
        ("subscribers", json!([]), "`key` must be a string, not nil"),
    ] {
        let error = call(&node, name, with).await.unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
    let (_, info) = node.get("/api/stream/info?key=room").await;
    assert_eq!(
        (&info["status"], &info["length"]),
        (&json!("active"), &json!(1))
    );
}

#[tokio::test]
async fn info_has_the_members_of_the_route() {
    let node = scripted(Kind::Memory, CALLS).await;
    let open = node
        .create_with(json!({"key": "room", "lease": 3_600, "stall": 7_200}))
        .await;
    let mut subscriber = Subscriber::new(&node, Transport::Sse, ["room"], &open);
    assert!(subscriber.update().await.is("start"));
    let (_, mut expected) = node.get("/api/stream/info?key=room").await;
    let mut found = call(&node, "info", json!(["room"]))
        .await
        .unwrap()
        .remove(0);
    let expected = expected.as_object_mut().unwrap();
    // Time goes on between the two.
    let [expected_ttl, ttl] = [&mut *expected, found.as_object_mut().unwrap()]
        .map(|table| table.remove("ttl").unwrap().as_u64().unwrap());
    assert!((1..=expected_ttl).contains(&ttl), "{ttl} of {expected_ttl}");
    // What is not known is not there, and the counts of other nodes are another function.
    expected.retain(|name, value| !value.is_null() && name != "clients_total");
    assert_eq!(found.as_object().unwrap(), expected);
    assert_eq!(found["clients"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_of_all_nodes_count() {
    let node = scripted(Kind::Shared, CALLS).await;
    let other = node.another_node().await;
    let open = node.create("room").await;
    assert_eq!(
        call(&node, "subscribers", json!(["room"])).await.unwrap(),
        [json!(0), json!(0)]
    );
    let mut subscribers = Vec::new();
    for at in [&*node, &other, &other] {
        let mut subscriber = Subscriber::new(at, Transport::Sse, ["room"], &open);
        assert!(subscriber.update().await.is("start"));
        subscribers.push(subscriber);
    }
    until("the node knows of the other's subscribers", || async {
        let counts = call(&node, "subscribers", json!(["room"])).await.unwrap();
        assert_eq!(counts[1], 1);
        counts[0] == 3
    })
    .await;
}

/// Redis does not answer: the hook fails at its limit, and works again afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_answer_costs_no_more_than_the_time_of_a_hook() {
    let redis = Redis::start(&[]);
    let script = r#"
        local broker = require "broker"
        function tick() broker.publish("ticks", { event = "tick" }) end"#;
    let (setup, folder, file) = setup(Kind::Shared, script);
    let setup = setup.set("REDIS_URL", redis.url()).set("SCRIPT_TIMEOUT", 2);
    let node = Scripted::of(setup.start().await, file, folder);
    node.create("ticks").await;
    let more_than = async |count: usize| node.events("ticks").await.len() > count;
    until("ticks are written", || more_than(0)).await;
    let failed = async || {
        let metrics = node.http.get(&node.metrics_url).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        let of_tick = |line: &&str| line.contains(r#"hook="tick""#) && line.contains("_total{");
        let lines = metrics.lines().filter(of_tick);
        let lines = lines.filter(|line| !line.contains("passed"));
        let counts = lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap());
        counts.sum::<u64>()
    };
    // Ticks before the stream was there have failed.
    let before = failed().await;
    let pid = redis.pid();
    redis::signal(pid, "-STOP");
    until("a tick fails", || async { failed().await > before }).await;
    redis::signal(pid, "-CONT");
    let written = node.events("ticks").await.len();
    until("ticks are written again", || more_than(written)).await;
}

#[tokio::test]
async fn tick_and_startup_publish_too() {
    let script = r#"
        local broker = require "broker"
        function startup()
          local ok, err = pcall(broker.publish, "none", { event = "e" })
          started = tostring(err):match("no%-active%-stream")
        end
        function unsubscribe(sub)
          broker.publish(sub.key, { event = "left", data = sub.claims.subject })
        end
        function subscribe(sub)
          broker.publish(sub.key, { event = "came", data = sub.claims.subject })
          return sub
        end
        function publish(pub) asked(pub) return pub end"#;
    let node = scripted(Kind::Memory, script).await;
    assert_eq!(node.ask("started").await, "no-active-stream");
    node.create("room").await;
    let open = crate::common::subscriber::token(&node, json!({"key": "room", "subject": "ann"}));
    let mut subscriber = Subscriber::new(&node, Transport::Ws, ["room"], &open.await);
    assert!(subscriber.update().await.is("start"));
    assert_eq!(subscriber.update().await.data, "ann");
    drop(subscriber);
    until("the script has written that she left", || async {
        node.events("room").await.last().unwrap().0 == "left"
    })
    .await;
}

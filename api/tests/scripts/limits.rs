//! Scripts that do not end, that allocate for ever, and that raise, in each hook.

use serde_json::json;

use crate::{
    common::{
        Kind,
        subscriber::{Outcome, Subscriber, Transport},
        until,
    },
    harness::{Scripted, scripted_with},
};

/// What a hook does that never ends well.
const MISCHIEF: &str = r#"
local a = string.rep("a", 60)
local pattern = string.rep("a?", 60) .. a
mischief = {
  loop = function() while true do end end,
  caught = function() while true do pcall(function() while true do end end) end end,
  coroutine = function()
    while true do pcall(coroutine.wrap(function() while true do end end)) end
  end,
  yield = function() while true do coroutine.yield() end end,
  find = function() return string.find(a, pattern) end,
  rep = function() return string.rep("x", 1 << 40) end,
  allocate = function()
    local all = {}
    while true do all[#all + 1] = string.rep("x", 1 << 16) end
  end,
  deep = function() local function down() return 1 + down() end return down() end,
  raise = function() error("mischief") end,
}
"#;

/// A script whose hooks make mischief where the data or the tag says so.
fn script() -> String {
    format!(
        "{MISCHIEF}
        function publish(pub)
          if asked(pub) then return pub end
          local what = mischief[pub.msg.event]
          if what then what() end
          return pub
        end
        function subscribe(sub)
          local what = mischief[sub.tags[1]]
          if what then what() end
          return sub
        end
        function message(pub, sub)
          local what = mischief[pub.msg.data]
          if what then what() end
          return pub
        end
        left = 0
        function unsubscribe(sub)
          left = left + 1
          local what = mischief[sub.tags[2]]
          if what then what() end
        end
        "
    )
}

const LIMITS: [(&str, &str); 2] = [("SCRIPT_TIMEOUT", "1"), ("SCRIPT_INSTRUCTIONS", "5000000")];

async fn started() -> Scripted {
    let node = scripted_with(Kind::Memory, &script(), &LIMITS).await;
    node.create("chat").await;
    node
}

/// Waits until the script answers again.
async fn recovers(node: &Scripted) {
    until("the script answers again", || async {
        node.publish("chat", "plain", json!("x")).await.0 == 200
    })
    .await;
}

/// The number of states that were replaced.
async fn replaced(node: &Scripted) -> u64 {
    let name = "script_states_replaced_total";
    node.metrics().await.get(name)
}

#[tokio::test]
async fn mischief_in_publish_costs_its_own_request() {
    let set = [
        ("SCRIPT_INSTRUCTIONS", "5000000"),
        ("SCRIPT_MEMORY", "8388608"),
    ];
    let node = scripted_with(Kind::Memory, &script(), &set).await;
    node.create("chat").await;
    for what in [
        "loop",
        "caught",
        "coroutine",
        "rep",
        "allocate",
        "deep",
        "raise",
    ] {
        let (status, error) = node.publish("chat", what, json!("x")).await;
        let code = &error["code"];
        assert_eq!((status, code), (503, &json!("script-failed")), "{what}");
        recovers(&node).await;
    }
    let (_, log) = node.broker.stop("-TERM").await;
    for wanted in [
        "hooks.lua:",
        "STREAMER_SCRIPT_INSTRUCTIONS",
        "not enough memory",
        "mischief",
    ] {
        assert!(log.contains(wanted), "{wanted}: {log}");
    }
}

#[tokio::test]
async fn a_hook_that_waits_for_ever_reaches_the_time_limit() {
    let node = started().await;
    let (status, error) = node.publish("chat", "yield", json!("x")).await;
    assert_eq!((status, &error["code"]), (503, &json!("script-failed")));
    recovers(&node).await;
    let (_, log) = node.broker.stop("-TERM").await;
    assert!(log.contains("STREAMER_SCRIPT_TIMEOUT"), "{log}");
}

#[tokio::test]
async fn a_hook_that_hangs_in_c_is_abandoned_and_others_go_on() {
    let node = started().await;
    let hanging = node.publish("chat", "find", json!("x"));
    let others = async {
        // They wait for the thread, and then for the next one.
        for _ in 0..3 {
            recovers(&node).await;
        }
    };
    let ((status, error), ()) = tokio::join!(hanging, others);
    assert_eq!((status, &error["code"]), (503, &json!("script-failed")));
    until("the state is replaced", || async {
        replaced(&node).await > 0
    })
    .await;
    let stuck = node.metrics().await.get("script_threads_stuck");
    assert_eq!(stuck, 1);
    let (_, log) = node.broker.stop("-TERM").await;
    assert!(log.contains("does not come back"), "{log}");
}

#[tokio::test]
async fn a_fresh_state_keeps_the_tables_of_subscribers() {
    let script = format!(
        r#"{MISCHIEF}
        function publish(pub)
          if pub.msg.event == "find" then mischief.find() end
          return pub
        end
        function subscribe(sub) sub.name = "Ann" return sub end
        function message(pub, sub) pub.msg.data = sub.name return pub end"#
    );
    let node = scripted_with(Kind::Memory, &script, &[("SCRIPT_TIMEOUT", "5")]).await;
    let open = node.create("chat").await;
    let mut subscriber = node.sse("chat", &open, None).await;
    assert_eq!(subscriber.take(1).await[0].event, "start");
    assert_eq!(node.publish("chat", "find", json!("x")).await.0, 503);
    recovers(&node).await;
    assert_eq!(subscriber.take(1).await[0].data, "Ann");
}

#[tokio::test]
async fn too_many_stuck_threads_stop_all_hooks() {
    let node = started().await;
    // Eight threads hang. There is no ninth.
    for _ in 0..200 {
        let (status, _) = node.publish("chat", "find", json!("x")).await;
        assert_eq!(status, 503);
        if node.metrics().await.get("script_threads_stuck") >= 8 {
            break;
        }
    }
    until("all hooks fail at once", || async {
        node.publish("chat", "plain", json!("x")).await.0 == 503
    })
    .await;
    let (_, log) = node.broker.stop("-TERM").await;
    assert!(
        log.contains("8 threads of the script do not come back"),
        "{log}"
    );
}

#[tokio::test]
async fn mischief_in_subscribe_refuses_the_subscriber() {
    let node = started().await;
    let open = node.create("other").await;
    for what in ["loop", "find", "allocate", "raise"] {
        let subscriber = Subscriber::new(&node.broker, Transport::Sse, ["other"], &open);
        let refused = subscriber.with(format!("&tags={what}")).refused().await;
        assert_eq!(refused, (503, "script-failed".to_owned()), "{what}");
        recovers(&node).await;
    }
}

#[tokio::test]
async fn mischief_in_unsubscribe_harms_nobody() {
    let node = started().await;
    let open = node.create("other").await;
    for what in ["loop", "find", "allocate", "raise"] {
        let subscriber = Subscriber::new(&node.broker, Transport::Ws, ["other"], &open);
        let mut subscriber = subscriber.with(format!("&tags=x,{what}"));
        // The broker may notice only now that the subscriber before has left.
        let first = loop {
            match subscriber.next().await {
                Outcome::Update(update) => break update,
                Outcome::Refused(503, _) => {}
                other => panic!("{what}: {other:?}"),
            }
        };
        assert!(first.is("start"), "{what}");
        drop(subscriber);
        recovers(&node).await;
    }
}

#[tokio::test]
async fn mischief_in_message_closes_the_connection_and_skips_nothing() {
    for what in ["loop", "find", "allocate", "raise"] {
        let node = started().await;
        let open = node.create("other").await;
        let ids = node
            .add(
                "other",
                json!([
                    {"event": "n", "data": "first"},
                    {"event": "n", "data": what},
                    {"event": "n", "data": "last"},
                ]),
            )
            .await;
        for transport in Transport::ALL {
            let mut subscriber = Subscriber::new(&node.broker, transport, ["other"], &open);
            let mut seen = Vec::new();
            // A thread that hangs fails others, too; they come back.
            while seen.len() < 2 {
                if let Outcome::Update(update) = subscriber.next().await {
                    seen.push(update.data);
                }
            }
            assert_eq!(seen, ["", "first"], "{what} {transport:?}");
            match subscriber.next().await {
                Outcome::Update(update) => {
                    panic!("{what} {transport:?}: nothing comes after the failure, not {update:?}")
                }
                _ => assert_eq!(subscriber.resume(), ids[0], "{what} {transport:?}"),
            }
            if what == "find" {
                break;
            }
        }
    }
}

#[tokio::test]
async fn mischief_in_tick_and_timeout_harms_nobody() {
    for what in ["loop", "find", "allocate", "raise"] {
        let script = format!(
            "{MISCHIEF}
            timed_out = 0
            function publish(pub) asked(pub) return pub end
            function tick(count) if count == 3 then mischief.{what}() end end
            function timeout(sub) timed_out = timed_out + 1 mischief.{what}() end"
        );
        let set = [
            ("SCRIPT_TIMEOUT", "1"),
            ("SCRIPT_TICK", "50"),
            ("CLIENT_TIMEOUT", "1"),
        ];
        let node = scripted_with(Kind::Memory, &script, &set).await;
        let open = node.create("chat").await;
        let events = node.sse("chat", &open, None).await.rest().await;
        assert_eq!(events.len(), 1, "{what}");
        recovers(&node).await;
    }
}

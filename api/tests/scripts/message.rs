//! The hook `message`: what each subscriber receives.

use futures::future::join_all;
use serde_json::json;

use crate::{
    common::{
        Kind,
        subscriber::{Subscriber, Transport, Update, token},
    },
    harness::{scripted, scripted_with},
};

/// Drops `drop`, shouts `up`, renames `rename`, and tells each subscriber its tag.
const SCRIPT: &str = r#"
function publish(pub) asked(pub) return pub end
calls = 0
function message(pub, sub)
  calls = calls + 1
  local name = pub.msg.event
  if name == "drop" then return nil end
  if name == "up" then pub.msg.data = pub.msg.data:upper() end
  if name == "rename" then pub.msg.event = "renamed" end
  if name == "tag" then pub.msg.data = sub.tags[1] .. " " .. pub.key .. " " .. pub.msg.id end
  return pub
end
"#;

fn shown(updates: &[Update]) -> Vec<(u64, &str, &str)> {
    let user = updates.iter().filter(|update| update.event.is_some());
    user.map(|update| {
        let number = crate::common::number(update.id.as_deref().unwrap());
        (
            number,
            update.event.as_deref().unwrap(),
            update.data.as_str(),
        )
    })
    .collect()
}

async fn events_are_dropped_and_changed_for_one_subscriber(kind: Kind) {
    let node = scripted(kind, SCRIPT).await;
    let open = node.create("chat").await;
    let events = json!([
        {"event": "up", "data": "a"},
        {"event": "drop", "data": "b"},
        {"event": "drop", "data": "c"},
        {"event": "rename", "data": "d"},
        {"event": "tag"},
        {"event": "drop", "data": "e"},
    ]);
    let ids = node.add("chat", events).await;
    // Half of them read history, and half of them live events.
    let (mut live, mut late) = (Vec::new(), Vec::new());
    for transport in Transport::ALL {
        let tag = format!("&tags={}", transport.name());
        let follow = || Subscriber::new(&node.broker, transport, ["chat"], &open).with(&tag);
        live.push(follow());
        late.push(follow());
    }
    for subscriber in &mut live {
        assert!(subscriber.update().await.is("start"));
    }
    node.add("chat", json!([{"event": "up", "data": "z"}]))
        .await;
    node.end("chat").await;
    for mut subscriber in live.into_iter().chain(late) {
        let tag = format!("{} chat {}", subscriber.transport.name(), ids[4]);
        let updates = subscriber.rest().await;
        let mut seen = shown(&updates);
        seen.retain(|(_, name, _)| *name != "start");
        let wanted = [
            (1, "up", "A"),
            (4, "renamed", "d"),
            (5, "tag", tag.as_str()),
            (7, "up", "Z"),
            (8, "end", ""),
        ];
        assert_eq!(seen, wanted, "{:?}", subscriber.transport);
    }
    // The store has what the producer wrote.
    assert_eq!(
        node.events("chat").await[1],
        ("drop".to_owned(), json!("b"))
    );
}

async fn a_subscriber_knows_its_position_behind_dropped_events(kind: Kind) {
    for transport in Transport::ALL {
        let node = scripted_with(kind, SCRIPT, &[("HEARTBEAT", "1")]).await;
        let open = node.create("chat").await;
        let mut subscriber = Subscriber::new(&node.broker, transport, ["chat"], &open);
        assert!(subscriber.update().await.is("start"));
        let drops = vec![json!({"event": "drop"}); 5];
        let ids = node.add("chat", json!(drops)).await;
        // The position comes with a heartbeat, or in the answer.
        while subscriber.resume() != ids[4] {
            if let crate::common::subscriber::Outcome::Update(update) = subscriber.next().await {
                assert_eq!(update.event, None, "{transport:?}");
            }
        }
        subscriber.cut();
        node.add("chat", json!([{"event": "up", "data": "x"}]))
            .await;
        let next = loop {
            let update = subscriber.update().await;
            if update.event.is_some() {
                break update;
            }
        };
        assert_eq!(
            (next.data.as_str(), next.id.unwrap().ends_with("-6")),
            ("X", true)
        );
    }
}

async fn a_filter_and_a_hook_go_together(kind: Kind) {
    let node = scripted(kind, SCRIPT).await;
    let open = node.create("chat").await;
    let events = json!([
        {"event": "up", "data": "a"},
        {"event": "rename", "data": "b"},
        {"event": "other", "data": "c"},
        {"event": "drop", "data": "d"},
    ]);
    node.add("chat", events).await;
    node.end("chat").await;
    for transport in Transport::ALL {
        let subscriber = Subscriber::new(&node.broker, transport, ["chat"], &open);
        let updates = subscriber.with("&events=up,rename,drop").rest().await;
        // The filter also looks at the new name.
        let names: Vec<_> = shown(&updates)
            .into_iter()
            .map(|(_, name, _)| name)
            .collect();
        assert_eq!(names, ["start", "up", "end"], "{transport:?}");
    }
    // The script was not asked about what the filter leaves out.
    assert_eq!(node.ask("calls").await, "12");
}

async fn a_rollup_joins_what_the_script_returns(kind: Kind) {
    let node = scripted(kind, SCRIPT).await;
    let open = node.create("chat").await;
    let mut events = vec![json!({"event": "up", "data": "a"}); 3];
    events.push(json!({"event": "up", "data": "b"}));
    node.add("chat", json!(events)).await;
    node.end("chat").await;
    for transport in Transport::ALL {
        let subscriber = Subscriber::new(&node.broker, transport, ["chat"], &open);
        let updates = subscriber.with("&rollup=up").rest().await;
        let seen = shown(&updates);
        assert_eq!(seen[1], (4, "up", "AAAB"), "{transport:?}");
    }
}

over_each_kind! {
    events_are_dropped_and_changed_for_one_subscriber,
    a_subscriber_knows_its_position_behind_dropped_events,
    a_filter_and_a_hook_go_together,
    a_rollup_joins_what_the_script_returns,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_subscribers_each_get_their_own_events() {
    let script = "function message(pub, sub)
          if pub.msg.event == sub.claims.subject then return pub end
        end";
    let set = [
        ("DELIVERY", "shared"),
        ("MAX_CLIENTS", "200"),
        ("SCRIPT_TIMEOUT", "30"),
    ];
    let node = scripted_with(Kind::Shared, script, &set).await;
    node.create("room").await;
    let mut subscribers = Vec::new();
    for n in 0..100 {
        let wanted = json!({"key": "room", "subject": format!("user-{n}")});
        let open = token(&node, wanted).await;
        let mut subscriber = Subscriber::new(&node.broker, Transport::Ws, ["room"], &open);
        assert!(subscriber.update().await.is("start"));
        subscribers.push(subscriber);
    }
    for round in 0..3 {
        let event = |n| json!({"event": format!("user-{n}"), "data": format!("{n}/{round}")});
        node.add("room", (0..100).map(event).collect()).await;
    }
    node.end("room").await;
    let all = join_all(subscribers.iter_mut().map(Subscriber::rest)).await;
    for (n, updates) in all.iter().enumerate() {
        let data: Vec<_> = shown(updates)
            .into_iter()
            .map(|(_, _, data)| data)
            .collect();
        let wanted: Vec<_> = (0..3).map(|round| format!("{n}/{round}")).collect();
        assert_eq!(data[..3], wanted, "user-{n}");
        assert_eq!(data.len(), 4, "and the end");
    }
}

#[tokio::test]
async fn no_answer_under_a_message_hook_is_for_a_cache() {
    for (script, is_cached) in [("", true), ("function message(pub) return pub end", false)] {
        let node = scripted(Kind::Memory, script).await;
        let open = node.create("chat").await;
        node.add_events("chat", 0, 3).await;
        node.end("chat").await;
        let url = node.subscribe_url("poll", "chat", &open, None);
        let answer = node.http.get(url).send().await.unwrap();
        assert_eq!(answer.headers().contains_key("etag"), is_cached, "{script}");
        let cache = answer.headers()["cache-control"].to_str().unwrap();
        assert_eq!(cache == "no-store", !is_cached, "{script}: {cache}");
    }
}

#[tokio::test]
async fn a_hook_can_t_forge_the_broker_s_events() {
    for bad in ["end", "missedevents", "", "a\\nb"] {
        let script = format!(
            "function message(pub)
               if pub.msg.event == 'n' then pub.msg.event = '{bad}' end
               return pub
             end"
        );
        let node = scripted(Kind::Memory, &script).await;
        let open = node.create("chat").await;
        node.add("chat", json!([{"event": "x"}, {"event": "n"}]))
            .await;
        let mut subscriber = Subscriber::new(&node.broker, Transport::Ws, ["chat"], &open);
        assert!(subscriber.update().await.is("start"));
        assert!(subscriber.update().await.is("x"));
        let closed = subscriber.next().await;
        assert_eq!(
            closed,
            crate::common::subscriber::Outcome::Disconnected(Some(1013)),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn the_broker_s_own_events_are_not_asked_about() {
    let node = scripted(Kind::Memory, "function message() end").await;
    let open = node.create("chat").await;
    node.add_events("chat", 0, 3).await;
    node.end("chat").await;
    for transport in Transport::ALL {
        let updates = Subscriber::new(&node.broker, transport, ["chat"], &open)
            .rest()
            .await;
        let names: Vec<_> = shown(&updates)
            .into_iter()
            .map(|(_, name, _)| name)
            .collect();
        assert_eq!(names, ["start", "end"], "{transport:?}");
    }
}

#[tokio::test]
async fn several_streams_over_one_connection_keep_their_keys() {
    let script = "function message(pub, sub)
          if pub.key == 'b' and pub.msg.data == '1' then return nil end
          pub.msg.data = pub.key .. pub.msg.data
          return pub
        end";
    let node = scripted(Kind::Shared, script).await;
    for key in ["a", "b"] {
        node.create(key).await;
        node.add_events(key, 0, 3).await;
        node.end(key).await;
    }
    let open = token(&node, json!({"keys": ["a", "b"]})).await;
    for transport in Transport::ALL {
        let mut subscriber = Subscriber::new(&node.broker, transport, ["a", "b"], &open);
        let updates = subscriber.rest().await;
        for (key, wanted) in [("a", vec!["a0", "a1", "a2"]), ("b", vec!["b0", "b2"])] {
            let of_key = updates
                .iter()
                .filter(|update| update.key == key && update.is("n"));
            let data: Vec<_> = of_key.map(|update| update.data.as_str()).collect();
            assert_eq!(data, wanted, "{transport:?}");
        }
    }
}

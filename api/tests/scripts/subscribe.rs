//! The hooks `subscribe`, `unsubscribe` and `timeout`.

use serde_json::json;

use crate::{
    common::{
        Kind,
        broker::answer,
        subscriber::{Subscriber, Transport, token},
        until,
    },
    harness::{scripted, scripted_with},
};

/// Refuses subscribers with the tag `no`, fails for the tag `fail`, and counts the others.
const SCRIPT: &str = r#"
present, came, left = 0, 0, ""
function publish(pub)
  asked(pub)
  return pub
end
function subscribe(sub)
  for _, tag in ipairs(sub.tags) do
    if tag == "no" then return nil end
    if tag == "fail" then error("no decision") end
    if tag == "odd" then return "a text" end
  end
  present, came = present + 1, came + 1
  sub.number = came
  return sub
end
function unsubscribe(sub)
  present = present - 1
  left = left .. sub.number .. " "
end
"#;

async fn a_subscriber_comes_and_goes(kind: Kind) {
    for transport in Transport::ALL {
        let node = scripted(kind, SCRIPT).await;
        let open = node.create("chat").await;
        node.add_events("chat", 0, 2).await;
        let mut subscriber = Subscriber::new(&node, transport, ["chat"], &open);
        for wanted in ["start", "n", "n"] {
            assert!(subscriber.update().await.is(wanted), "{transport:?}");
        }
        drop(subscriber);
        // A poll is over with its answer.
        until("it has left", || async {
            // Only a write shows that a subscriber left.
            node.add_events("chat", 2, 1).await;
            node.ask("left").await == "1 "
        })
        .await;
        assert_eq!(node.ask("present").await, "0");
    }
}

async fn a_refused_subscriber_gets_403_on_every_transport(kind: Kind) {
    let node = scripted(kind, SCRIPT).await;
    let open = node.create("chat").await;
    for transport in Transport::ALL {
        for (tag, status, code) in [
            ("no", 403, "refused-by-script"),
            ("fail", 503, "script-failed"),
            ("odd", 503, "script-failed"),
        ] {
            let subscriber = Subscriber::new(&node, transport, ["chat"], &open);
            let refused = subscriber.with(format!("&tags={tag}")).refused().await;
            assert_eq!(refused, (status, code.to_owned()), "{transport:?} {tag}");
        }
    }
    let head = format!("{}/api/client/sse?key=chat&token={open}&tags=no", node.url);
    assert_eq!(node.http.head(head).send().await.unwrap().status(), 403);
    assert_eq!(node.ask("came").await, "0");
    // Nobody was admitted, and nobody leaves.
    assert_eq!(node.ask("left").await, "");
}

over_each_kind! {
    a_subscriber_comes_and_goes,
    a_refused_subscriber_gets_403_on_every_transport,
}

#[tokio::test]
async fn the_token_is_checked_before_the_script() {
    let node = scripted(Kind::Memory, SCRIPT).await;
    let open = node.create("chat").await;
    node.create("other").await;
    let subscriber = Subscriber::new(&node.broker, Transport::Sse, ["other"], &open);
    let refused = subscriber.with("&tags=fail").refused().await;
    assert_eq!(refused, (403, "forbidden".to_owned()));
}

#[tokio::test]
async fn a_subscriber_s_table_says_who_it_is_without_credentials() {
    let script = r#"
        function shown(value)
          if type(value) ~= "table" then return tostring(value) end
          local all = {}
          for name, member in pairs(value) do
            all[#all + 1] = tostring(name) .. "=" .. shown(member)
          end
          table.sort(all)
          return "{" .. table.concat(all, " ") .. "}"
        end
        function publish(pub) asked(pub) return pub end
        function subscribe(sub) seen = shown(sub) return sub end"#;
    let node = scripted(Kind::Memory, script).await;
    node.create("chat").await;
    let wanted = json!({"key": "chat", "subject": "user-7", "permissions": ["read", "signal"]});
    let open = token(&node, wanted).await;
    let url = format!(
        "{}/api/client/sse?key=chat&client_name=Ann&tags=a,b&token={open}",
        node.url
    );
    let request = node
        .http
        .get(url)
        .header("Authorization", format!("Bearer {open}"))
        .header("X-API-KEY", "secret-key")
        .header("Cookie", "session=7f3a")
        .header("X-Forwarded-Host", "app.example.com");
    assert_eq!(request.send().await.unwrap().status(), 200);
    let seen = node.ask("seen").await;
    for wanted in [
        "client_name=Ann",
        "tags={1=a 2=b}",
        "key=chat",
        "keys={1=chat}",
        "subject=user-7",
        "signal=true",
        "cookie=session=7f3a",
        "x-forwarded-host=app.example.com",
        "query=key=chat&client_name=Ann&tags=a,b}",
        "path=/api/client/sse",
    ] {
        assert!(seen.contains(wanted), "{wanted}: {seen}");
    }
    assert!(
        !seen.contains(&open) && !seen.contains("secret-key"),
        "{seen}"
    );
}

#[tokio::test]
async fn a_stream_that_is_added_over_websocket_is_asked_about() {
    let script = r#"
        present = ""
        function publish(pub) asked(pub) return pub end
        function subscribe(sub)
          if sub.key == "secret" then return nil end
          present = present .. "+" .. sub.key
          return sub
        end
        function unsubscribe(sub) present = present .. "-" .. sub.key end"#;
    let node = scripted(Kind::Memory, script).await;
    for key in ["one", "two", "secret"] {
        node.create(key).await;
    }
    let open = token(&node, json!({"keys": ["one", "two", "secret"]})).await;
    let mut socket = node.ws("one", &open, None).await;
    assert!(socket.next().await.unwrap().is_array());
    socket.send(r#"{"op": "subscribe", "key": "secret"}"#).await;
    let refused = socket.next().await.unwrap();
    assert_eq!(refused["code"], "refused-by-script", "{refused}");
    socket.send(r#"{"op": "subscribe", "key": "two"}"#).await;
    assert_eq!(socket.next().await.unwrap()["op"], "subscribed");
    assert_eq!(node.ask("present").await, "+one+two");
    socket.send(r#"{"op": "unsubscribe", "key": "two"}"#).await;
    node.until_it_says("present", "+one+two-two").await;
    drop(socket);
    node.until_it_says("present", "+one+two-two-one").await;
}

#[tokio::test]
async fn a_subscriber_whose_time_is_over_gets_the_delay_of_the_script() {
    let script = r#"
        order = ""
        function publish(pub) asked(pub) return pub end
        function timeout(sub, elapsed)
          order = order .. "timeout " .. (elapsed >= 1000 and "late " or "early ")
          return 4321
        end
        function unsubscribe(sub) order = order .. "unsubscribe " end"#;
    let node = scripted_with(Kind::Memory, script, &[("CLIENT_TIMEOUT", "1")]).await;
    let open = node.create("chat").await;
    let url = node.subscribe_url("sse", "chat", &open, None);
    let text = node
        .http
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(text.ends_with("retry: 4321\n\n"), "{text:?}");
    node.until_it_says("order", "timeout late unsubscribe ")
        .await;
}

#[tokio::test]
async fn what_a_hook_changes_in_req_is_not_kept() {
    let script = r#"
        function publish(pub)
          if pub.msg.event == "path" then pub.msg.data = kept.req.path .. kept.mine end
          return pub
        end
        function subscribe(sub)
          sub.req.path, sub.mine = "/forged", "!"
          kept = sub
          return sub
        end"#;
    let node = scripted(Kind::Memory, script).await;
    let open = node.create("chat").await;
    let _subscriber = node.sse("chat", &open, None).await;
    assert_eq!(node.publish("chat", "path", json!(null)).await.0, 200);
    assert_eq!(node.events("chat").await[0].1, "/api/client/sse!");
}

#[tokio::test]
async fn without_a_script_nothing_is_asked() {
    let node = crate::common::broker(Kind::Memory).start().await;
    let open = node.create("chat").await;
    node.add_events("chat", 0, 1).await;
    assert_eq!(node.sse("chat", &open, None).await.take(2).await.len(), 2);
    let url = format!("{}/metrics", node.url);
    let text = node
        .http
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let mut calls = text
        .lines()
        .filter(|line| line.starts_with("tinistreamer_script_calls_total"));
    assert!(calls.all(|line| line.ends_with(" 0")), "{text}");
    let (status, _) = answer(node.request(reqwest::Method::GET, "/api/info")).await;
    assert_eq!(status, 200);
}

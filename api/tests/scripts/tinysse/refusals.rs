//! A script that says no.

use serde_json::{Value, json};

use super::{scripted, scripted_with};

#[tokio::test]
async fn a_refused_message_is_403_and_not_delivered() {
    let script = r#"
        function publish(pub)
          if pub.msg.data ~= "secret" then return pub end
        end"#;
    let server = scripted(script).await;
    let mut subscriber = server.subscribe().await;
    let refused = (403, json!({ "error": "message rejected by script" }));
    assert_eq!(server.send(json!({"data": "secret"})).await, refused);
    server.publish(&json!({"data": "open"})).await;
    assert_eq!(subscriber.next().await.unwrap(), "data: open");
}

#[tokio::test]
async fn a_refused_subscriber_is_403_and_unsubscribe_is_not_called() {
    let script = r#"
        local left = 0
        function subscribe(sub)
          if sub.req.headers.authorization == "Bearer good" then return sub end
        end
        function unsubscribe(sub) left = left + 1 end
        function publish(pub)
          pub.msg.data = tostring(left)
          return pub
        end"#;
    let server = scripted(script).await;
    let get = |token: &str| {
        let request = server.http.get(format!("{}/sse", server.url));
        request.header("Authorization", format!("Bearer {token}"))
    };
    let refused = get("bad").send().await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.headers()["content-type"], "application/json");
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body, json!({ "error": "subscribe rejected by script" }));
    let accepted = get("good").send().await.unwrap();
    let mut subscriber = super::Subscriber::new(accepted);
    assert_eq!(subscriber.next().await.as_deref(), Some(": ok"));
    server.publish(&json!({"data": "x"})).await;
    assert_eq!(subscriber.next().await.unwrap(), "data: 0");
}

#[tokio::test]
async fn what_is_no_message_after_the_hook_is_500() {
    let script = r#"
        function publish(pub)
          if pub.msg.data == "type" then pub.msg.data = {} end
          if pub.msg.data == "line" then pub.msg.id = "a\nb" end
          if pub.msg.data == "none" then pub.msg = nil end
          if pub.msg and pub.msg.data == "empty" then pub.msg = {} end
          return pub
        end"#;
    let server = scripted(script).await;
    let mut subscriber = server.subscribe().await;
    for data in ["type", "line", "none"] {
        let (status, body) = server.send(json!({ "data": data })).await;
        assert_eq!(status, 500, "{data}: {body}");
        assert!(body["error"].is_string(), "{body}");
    }
    // A message from which the script removed everything goes to nobody.
    assert_eq!(server.send(json!({"data": "empty"})).await.0, 202);
    server.publish(&json!({"data": "x"})).await;
    assert_eq!(subscriber.next().await.unwrap(), "data: x");
}

#[tokio::test]
async fn modules_that_need_a_setting_say_so() {
    for (module, variable) in [
        ("http", "STREAMER_SCRIPT_HTTP"),
        ("sqlite", "STREAMER_SCRIPT_SQLITE"),
    ] {
        let (_folder, path) = super::file(&format!("local it = require '{module}'"));
        let arguments = ["-l", "127.0.0.1:0", "--script", path.to_str().unwrap()];
        let (code, text) = super::server::refused(&arguments, &[]).await;
        assert_eq!(code, 1, "{text}");
        assert!(
            text.contains("hooks.lua:1:") && text.contains(variable),
            "{text}"
        );
        let script = format!("local it = require '{module}'");
        scripted_with(&script, &[], &[(variable, "on")]).await;
    }
}

//! What people do first: change messages, channels, publish from Lua, count subscribers.

use serde_json::json;

use super::{field, scripted, scripted_with};

#[tokio::test]
async fn a_script_changes_all_fields_and_prints() {
    let script = r#"
        local uuid = require "uuid"
        local left = 0
        function publish(pub)
          if pub.msg.event == "left?" then return left > 0 and pub or nil end
          pub.trace = uuid()
          pub.msg.data = (pub.msg.data or ""):reverse()
          pub.msg.id = pub.msg.id or uuid()
          pub.msg.event = "reversed"
          pub.msg.comment = { "by the script", pub.trace }
          return pub
        end
        function subscribe(sub)
          sub.name = uuid()
          return sub
        end
        function message(pub, sub)
          print("delivered", pub.trace, pub.msg.id, sub.name)
          return pub
        end
        function unsubscribe(sub)
          left = left + 1
          print("left", sub.name)
        end"#;
    let server = scripted(script).await;
    let mut subscriber = server.subscribe().await;
    server
        .publish(&json!({"id": "mine", "data": "hello"}))
        .await;
    let frame = subscriber.next().await.unwrap();
    let (start, trace) = frame.rsplit_once(": ").unwrap();
    let expected = "id: mine\nevent: reversed\ndata: olleh\n: by the script\n";
    assert_eq!(start, expected);
    assert_eq!(trace.len(), 36, "{frame}");
    server.publish(&json!({"data": "x"})).await;
    let frame = subscriber.next().await.unwrap();
    let id = field(&frame, "id: ").unwrap();
    assert_eq!(id.len(), 36, "{frame}");
    drop(subscriber);
    server.until_it_accepts("left?").await;
    let (_, log) = server.server.stop("-TERM").await;
    let line = log.lines().find(|line| line.contains("mine")).unwrap();
    assert!(line.contains("delivered") && line.contains(trace), "{log}");
    let name = line.split_whitespace().last().unwrap();
    let name = &name[name.len() - 36..];
    let left = log.lines().find(|line| line.contains("left")).unwrap();
    assert!(left.contains(name), "{log}");
    assert!(log.contains(id), "{log}");
}

#[tokio::test]
async fn the_query_of_a_url_names_the_channel() {
    let script = r#"
        local url = require "url"
        local function channel(req)
          local names = url.unquote(req.query).channel
          return names and names[1]
        end
        function publish(pub)
          pub.channel = channel(pub.req)
          return pub
        end
        function subscribe(sub)
          sub.channel = channel(sub.req)
          return sub.channel and sub
        end
        function message(pub, sub)
          if pub.channel == nil or pub.channel == sub.channel then return pub end
        end"#;
    let server = scripted(script).await;
    let mut news = server.follow("channel=the%20news").await;
    let mut sport = server.follow("channel=sport").await;
    assert_eq!(server.get("/sse").await.status(), 403, "no channel");
    for (query, data) in [
        ("?channel=sport", "goal"),
        ("?channel=the+news", "rain"),
        ("?channel=other", "nobody"),
        ("", "all"),
    ] {
        let request = server
            .http
            .post(format!("{}/sse{query}", server.url))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!("data={data}"));
        assert_eq!(request.send().await.unwrap().status(), 202);
    }
    for (subscriber, first) in [(&mut news, "data: rain"), (&mut sport, "data: goal")] {
        assert_eq!(subscriber.next().await.unwrap(), first);
        assert_eq!(subscriber.next().await.unwrap(), "data: all");
    }
}

/// A hook that waits for the server's own answer does not stop the hooks of that request.
#[tokio::test]
async fn a_script_publishes_over_http_to_its_own_server() {
    let script = r#"
        local http, json = require "http", require "json"
        function publish(pub)
          if pub.msg.event == "relay" then
            local r = http.post("http://" .. pub.req.headers.host .. pub.req.path, {
              headers = { ["content-type"] = "application/json" },
              body = json { event = "relayed", data = pub.msg.data },
            })
            pub.msg.data = r.status .. " " .. r.body
          end
          return pub
        end"#;
    let allowed = [("STREAMER_SCRIPT_HTTP", "on")];
    let server = scripted_with(script, &[], &allowed).await;
    let mut subscriber = server.subscribe().await;
    server
        .publish(&json!({"event": "relay", "data": "x"}))
        .await;
    assert_eq!(subscriber.next().await.unwrap(), "event: relayed\ndata: x");
    let answer = subscriber.next().await.unwrap();
    let data = field(&answer, "data: ").unwrap();
    assert!(data.starts_with("202 {\"queued\":"), "{answer}");
}

#[tokio::test]
async fn a_script_counts_who_is_there() {
    let script = r#"
        local present, count = {}, 0
        local uuid = require "uuid"
        local function change(by)
          count = count + by
        end
        function subscribe(sub)
          sub.id = uuid()
          present[sub.id] = true
          change(1)
          return sub
        end
        function unsubscribe(sub)
          assert(present[sub.id])
          present[sub.id] = nil
          change(-1)
        end
        function publish(pub)
          if pub.msg.event == "one?" then return count == 1 and pub or nil end
          pub.msg.data = tostring(count)
          return pub
        end"#;
    let server = scripted(script).await;
    let mut first = server.subscribe().await;
    let others = [server.subscribe().await, server.subscribe().await];
    server.publish(&json!({"data": "how many?"})).await;
    assert_eq!(first.next().await.unwrap(), "data: 3");
    drop(others);
    server.until_it_accepts("one?").await;
}

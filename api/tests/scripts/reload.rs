//! SIGHUP: the script is loaded anew, and connections stay.

use serde_json::json;

use crate::{common::Kind, harness::scripted};

/// A script that marks what it delivers.
fn marking(mark: &str) -> String {
    format!(
        r#"version = "{mark}"
        function publish(pub) asked(pub) return pub end
        function subscribe(sub) sub.count = 0 return sub end
        function message(pub, sub)
          sub.count = sub.count + 1
          pub.msg.data = "{mark} " .. sub.count
          return pub
        end"#
    )
}

async fn a_reload_keeps_connections_and_tables(kind: Kind) {
    let node = scripted(kind, &marking("one")).await;
    let open = node.create("chat").await;
    let mut subscriber = node.sse("chat", &open, None).await;
    assert_eq!(subscriber.take(1).await[0].event, "start");
    node.add_events("chat", 0, 2).await;
    let events = subscriber.take(2).await;
    assert_eq!([&events[0].data, &events[1].data], ["one 1", "one 2"]);
    node.write(&marking("two"));
    node.signal("-HUP").await;
    node.until_it_says("version", "two").await;
    node.add_events("chat", 2, 1).await;
    assert_eq!(subscriber.take(1).await[0].data, "two 3");
}

async fn a_bad_script_changes_nothing(kind: Kind) {
    let node = scripted(kind, &marking("one")).await;
    let open = node.create("chat").await;
    let mut subscriber = node.sse("chat", &open, None).await;
    for (n, bad) in ["function (", "error('no')", "while true do end"]
        .iter()
        .enumerate()
    {
        std::fs::write(&node.script, bad).unwrap();
        node.signal("-HUP").await;
        node.until_it_says("version", "one").await;
        node.add("chat", json!([{"event": "n", "data": n.to_string()}]))
            .await;
    }
    let events = subscriber.take(4).await;
    assert_eq!(events[3].data, "one 3");
    // The last of them is loaded after the one before, so that the log has all.
    node.write(&marking("two"));
    node.signal("-HUP").await;
    node.until_it_says("version", "two").await;
    let (_, log) = node.broker.stop("-TERM").await;
    assert!(log.contains("stays as it was"), "{log}");
}

over_each_kind! {
    a_reload_keeps_connections_and_tables,
    a_bad_script_changes_nothing,
}

#[tokio::test]
async fn a_reload_adds_and_removes_hooks_of_subscribers_that_are_there() {
    let plain = "version = 'plain' function publish(pub) asked(pub) return pub end";
    let node = scripted(Kind::Memory, plain).await;
    let open = node.create("chat").await;
    let mut subscriber = node.sse("chat", &open, None).await;
    node.add_events("chat", 0, 1).await;
    assert_eq!(subscriber.take(2).await[1].data, "0");
    node.write(&format!(
        "{plain} version, dropped = 'dropping', 0 function message() dropped = dropped + 1 end"
    ));
    node.signal("-HUP").await;
    node.until_it_says("version", "dropping").await;
    node.add_events("chat", 1, 3).await;
    node.until_it_says("dropped", "3").await;
    node.write(plain);
    node.signal("-HUP").await;
    node.until_it_says("version", "plain").await;
    node.add_events("chat", 4, 1).await;
    let next = subscriber.take(1).await;
    assert_eq!(
        (next[0].data.as_str(), next[0].id.ends_with("-5")),
        ("4", true)
    );
}

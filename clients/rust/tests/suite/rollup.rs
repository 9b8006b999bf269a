//! Events that stand for several.

use std::time::Duration;

use futures::TryStreamExt;
use serde_json::json;
use tinistreamer_client::{Event, subscribe, subscribe_many, types};

use crate::common::{Broker, Proxy, Response, Script, all, failure, names, within};

#[cfg(feature = "websocket")]
const ROUTES: &[&str] = &["sse", "ndjson", "poll", "ws"];
#[cfg(not(feature = "websocket"))]
const ROUTES: &[&str] = &["sse", "ndjson", "poll"];

const TOKENS: usize = 300;

async fn write_tokens(broker: &Broker, key: &str, from: usize, to: usize) {
    let events = (from..to).map(|n| types::Event {
        event: "token".to_owned(),
        data: Some(json!(format!("{n} "))),
    });
    let client = broker.client();
    client.add_events((key, events.collect())).await.unwrap();
}

fn expected_text() -> String {
    let words: Vec<_> = (0..TOKENS).map(|n| format!("{n} ")).collect();
    words.concat()
}

fn text(events: &[Event]) -> String {
    let tokens = events.iter().filter(|event| event.event == "token");
    tokens.map(|event| &*event.data).collect()
}

/// A stream with tokens and a note between them, which has ended.
async fn a_stream(broker: &Broker) -> String {
    let token = broker.create("k").await.token;
    write_tokens(broker, "k", 0, 200).await;
    let note = types::Event {
        event: "note".to_owned(),
        data: None,
    };
    broker.client().add_events(("k", vec![note])).await.unwrap();
    write_tokens(broker, "k", 200, TOKENS).await;
    broker.client().end_stream("k").await.unwrap();
    token
}

#[tokio::test]
async fn stored_events_come_as_one_over_each_transport() {
    let broker = Broker::start().await;
    let token = a_stream(&broker).await;
    for route in ROUTES {
        let url = format!("{}/api/client/{route}?key=k", broker.url);
        let subscription = subscribe(&url, &*token).rollup(["token"]);
        let mut events = subscription.start().unwrap();
        let read = all(&mut events).await.unwrap();
        assert_eq!(
            names(&read),
            ["start", "token", "note", "token", "end"],
            "{route}"
        );
        let counts: Vec<_> = read.iter().map(|event| event.count).collect();
        assert_eq!(counts, [1, 200, 1, 100, 1], "{route}");
        assert_eq!(text(&read), expected_text());

        // From an id in the middle of such an event.
        let plain = within(async {
            let mut events = subscribe(&url, &*token).start().unwrap();
            all(&mut events).await.unwrap()
        })
        .await;
        assert!(plain.iter().all(|event| event.count == 1));
        let after = plain[100].id.clone().unwrap();
        let subscription = subscribe(&url, &*token).rollup(["token"]).after(after);
        let rest = all(&mut subscription.start().unwrap()).await.unwrap();
        assert_eq!(rest[0].count, 100, "{route}");
    }
}

#[tokio::test]
async fn of_several_streams_each_is_rolled_up_over_each_transport() {
    let broker = Broker::start().await;
    a_stream(&broker).await;
    broker.create("b").await;
    write_tokens(&broker, "b", 0, TOKENS).await;
    broker.client().end_stream("b").await.unwrap();
    let both = types::IssueToken::for_keys(["k", "b"]);
    let token = broker.client().issue_token(both).await.unwrap().token;
    for route in ROUTES {
        let url = format!("{}/api/client/{route}", broker.url);
        let subscription = subscribe_many(url, ["k", "b"], &*token).rollup(["token"]);
        let events = subscription.start().unwrap();
        let read: Vec<Event> = within(events.try_collect()).await.unwrap();
        let (k, b): (Vec<_>, Vec<_>) = read.into_iter().partition(|event| event.key == "k");
        let counts = |events: &[Event]| events.iter().map(|event| event.count).collect::<Vec<_>>();
        assert_eq!(counts(&k), [1, 200, 1, 100, 1], "{route}");
        assert_eq!(counts(&b), [1, 300, 1], "{route}");
        assert_eq!((text(&k), text(&b)), (expected_text(), expected_text()));
    }
}

#[tokio::test]
async fn the_text_is_complete_when_connections_break() {
    let broker = Broker::start().await;
    for route in ROUTES {
        let token = broker.create(route).await.token;
        let proxy = Proxy::cutting(&broker.url, 700).await;
        let url = format!("{}/api/client/{route}?key={route}", proxy.url);
        let subscription = subscribe(url, token).rollup(["token"]);
        let rollup_ms = Duration::from_millis(5);
        let mut events = subscription.rollup_ms(rollup_ms).start().unwrap();
        let write = async {
            for n in (0..TOKENS).step_by(5) {
                write_tokens(&broker, route, n, n + 5).await;
            }
            broker.client().end_stream(*route).await.unwrap();
        };
        let (read, ()) = tokio::join!(all(&mut events), write);
        let read = read.unwrap();
        assert_eq!(text(&read), expected_text(), "{route}");
        let counted: u64 = read.iter().map(|event| event.count).sum();
        assert_eq!(counted, TOKENS as u64 + 2, "{route}");
        assert!(proxy.connections() > 1, "{route}");
    }
}

#[tokio::test]
async fn an_event_that_stands_for_too_few_or_too_many_is_a_gap() {
    let start = "id: 5-0\nevent: start\ndata:\n\n";
    for count in [2, 4, 9] {
        let rolled = format!(":rollup {count}\nid: 5-3\nevent: token\ndata: abc\n\n");
        let script = Script::start([Response::events(&[start, &rolled].concat())]).await;
        let subscription = subscribe(script.sse_url(), "t").rollup(["token"]);
        let error = failure(&mut subscription.start().unwrap()).await;
        assert_eq!(error.code(), "gap", "{count}");
    }
    // Without a comment it stands for one.
    let script = Script::start([Response::events(
        &[start, "id: 5-3\nevent: token\ndata: abc\n\n"].concat(),
    )])
    .await;
    let subscription = subscribe(script.sse_url(), "t").rollup(["token"]);
    let error = failure(&mut subscription.start().unwrap()).await;
    assert_eq!(error.code(), "gap");
}

#[tokio::test]
async fn the_options_are_in_the_query() {
    let script = Script::start([Response::status(204)]).await;
    let subscription = subscribe(script.sse_url(), "t")
        .rollup(["token", "x"])
        .rollup_path(["/delta/text", ""])
        .rollup_ms(Duration::from_millis(30));
    all(&mut subscription.start().unwrap()).await.unwrap();
    let (query, _) = &script.queries()[0];
    let expected = "rollup=token&rollup=x&rollup_path=%2Fdelta%2Ftext&rollup_path=&rollup_ms=30";
    assert!(query.contains(expected), "{query}");
}

#[tokio::test]
async fn text_in_json_is_joined_at_its_path() {
    let broker = Broker::start().await;
    let token = broker.create("k").await.token;
    let delta = |text: &str| types::Event {
        event: "delta".to_owned(),
        data: Some(json!({"delta": {"text": text}})),
    };
    let events = vec![delta("Hel"), delta("lo")];
    broker.client().add_events(("k", events)).await.unwrap();
    broker.client().end_stream("k").await.unwrap();
    let url = format!("{}/api/client/sse?key=k", broker.url);
    let subscription = subscribe(url, token).rollup(["delta"]);
    let mut events = subscription.rollup_path(["/delta/text"]).start().unwrap();
    let read = all(&mut events).await.unwrap();
    let data: serde_json::Value = read[1].json().unwrap();
    assert_eq!(
        (data, read[1].count),
        (json!({"delta": {"text": "Hello"}}), 2)
    );
}

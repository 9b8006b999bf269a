//! Several streams of a real broker, over each transport, also through a proxy that breaks
//! connections.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use serde_json::json;
use tinistreamer_client::{Event, ManySubscription, Status, subscribe_many, types};

use crate::common::{Broker, Proxy, within};

const KEYS: [&str; 3] = ["a b", "ü,~:!", "c+%"];
#[cfg(feature = "websocket")]
const ROUTES: &[&str] = &["poll", "sse", "ndjson", "ws"];
#[cfg(not(feature = "websocket"))]
const ROUTES: &[&str] = &["poll", "sse", "ndjson"];
const EVENTS: usize = 60;

/// Creates the streams, and returns a token for all of them.
async fn streams(broker: &Broker) -> String {
    for key in KEYS {
        broker.create(key).await;
    }
    broker
        .client()
        .issue_token(types::IssueToken::for_keys(KEYS))
        .await
        .unwrap()
        .token
}

/// Writes to the streams in turn, and ends them.
async fn write(broker: &Broker) {
    let client = broker.client();
    for n in 0..EVENTS {
        let event = types::Event {
            event: if n % 3 == 0 { "third" } else { "other" }.to_owned(),
            data: Some(json!(n)),
        };
        client
            .add_events((KEYS[n % KEYS.len()], vec![event]))
            .await
            .unwrap();
    }
    for key in KEYS {
        client.end_stream(key).await.unwrap();
    }
}

/// The data of each stream's events, in the order of their arrival.
async fn read(events: &mut ManySubscription) -> BTreeMap<String, Vec<String>> {
    let mut read = BTreeMap::<_, Vec<_>>::new();
    while let Some(event) = within(events.try_next()).await.unwrap() {
        note(&mut read, event);
    }
    read
}

/// The data, or the name of an event that has none.
fn note(read: &mut BTreeMap<String, Vec<String>>, event: Event) {
    read.entry(event.key)
        .or_default()
        .push(if event.data.is_empty() {
            event.event
        } else {
            event.data
        });
}

fn expected() -> BTreeMap<String, Vec<String>> {
    let data = |stream| (stream..EVENTS).step_by(KEYS.len()).map(|n| n.to_string());
    let all = |stream| {
        ["start".to_owned()]
            .into_iter()
            .chain(data(stream))
            .chain(["end".to_owned()])
            .collect()
    };
    (0..)
        .zip(KEYS)
        .map(|(stream, key)| (key.to_owned(), all(stream)))
        .collect()
}

async fn each_event_arrives_once_when_connections_break(route: &str) {
    let broker = Broker::start().await;
    let token = streams(&broker).await;
    let proxy = Proxy::cutting(&broker.url, 900).await;
    let mut events = subscribe_many(format!("{}/api/client/{route}", proxy.url), KEYS, token)
        .start()
        .unwrap();
    let (read, ()) = tokio::join!(read(&mut events), write(&broker));
    assert_eq!(read, expected());
    assert!(
        events
            .statuses()
            .into_values()
            .all(|status| status == Some(Status::Ended)),
        "{events:?}"
    );
    assert!(proxy.connections() > 2);
}

#[tokio::test]
async fn over_sse_each_event_arrives_once() {
    each_event_arrives_once_when_connections_break("sse").await;
}

#[tokio::test]
async fn over_ndjson_each_event_arrives_once() {
    each_event_arrives_once_when_connections_break("ndjson").await;
}

#[tokio::test]
async fn by_polling_each_event_arrives_once() {
    each_event_arrives_once_when_connections_break("poll").await;
}

#[cfg(feature = "websocket")]
#[tokio::test]
async fn over_websocket_each_event_arrives_once() {
    each_event_arrives_once_when_connections_break("ws").await;
}

#[tokio::test]
async fn a_cursor_of_one_transport_resumes_over_another() {
    let broker = Broker::start().await;
    let token = streams(&broker).await;
    write(&broker).await;
    let mut read = BTreeMap::<String, Vec<String>>::new();
    let mut cursor = None;
    for route in ROUTES.iter().cycle() {
        let mut subscription =
            subscribe_many(format!("{}/api/client/{route}", broker.url), KEYS, &*token);
        if let Some(cursor) = cursor {
            subscription = subscription.after(cursor);
        }
        let mut events = subscription.start().unwrap();
        for _ in 0..5 {
            let Some(event) = within(events.try_next()).await.unwrap() else {
                assert_eq!(read, expected());
                return;
            };
            note(&mut read, event);
        }
        cursor = events.cursor();
    }
}

#[tokio::test]
async fn a_stream_is_added_and_dropped_over_each_transport() {
    for route in ROUTES {
        let broker = Broker::start().await;
        let token = streams(&broker).await;
        let [a, b, c] = KEYS;
        let mut events = subscribe_many(format!("{}/api/client/{route}", broker.url), [a], token)
            .start()
            .unwrap();
        assert_eq!(within(events.next()).await.unwrap().unwrap().key, a);
        let handle = events.handle();
        let changes = async {
            assert_eq!(handle.add("other").await.unwrap_err().code(), "forbidden");
            handle.drop(a).await.unwrap();
            handle.add(b).await.unwrap();
            handle.add(c).from("now").await.unwrap();
            write(&broker).await;
        };
        let (read, ()) = tokio::join!(read(&mut events), changes);
        let mut all = expected();
        all.remove(a);
        all.get_mut(c).unwrap().remove(0);
        assert_eq!(read, all, "over {route}");
    }
}

#[tokio::test]
async fn the_filter_leaves_events_out_over_each_transport() {
    for route in ROUTES {
        let broker = Broker::start().await;
        let token = streams(&broker).await;
        let url = format!("{}/api/client/{route}", broker.url);
        let mut events = subscribe_many(url, KEYS, token)
            .events(["thi*"])
            .start()
            .unwrap();
        let (read, ()) = tokio::join!(read(&mut events), write(&broker));
        let mut wanted = expected();
        for key in &KEYS[1..] {
            *wanted.get_mut(*key).unwrap() = vec!["start".to_owned(), "end".to_owned()];
        }
        assert_eq!(read, wanted, "over {route}");
    }
}

//! Subscriptions to one stream of a real broker, and their options.

use futures::StreamExt;
use serde_json::json;
use tinistreamer_client::{Status, subscribe, types};

use crate::common::{Broker, Proxy, Response, Script, all, failure, within};

/// Texts that a line-based format could spoil.
const TEXTS: [&str; 8] = [
    "",
    " a",
    "a\nb\n\n",
    "\u{feff}x",
    "a\u{2028}b",
    "\0",
    "é😀",
    "data: x",
];

/// Creates a stream with these texts, and returns its URL and token.
async fn a_stream_of_texts(broker: &Broker) -> types::Access {
    let access = broker.create("texts").await;
    let events = TEXTS
        .iter()
        .map(|text| types::Event {
            event: "text".to_owned(),
            data: Some(json!(text)),
        })
        .collect();
    broker.client().add_events(("texts", events)).await.unwrap();
    access
}

async fn all_events_of_a_stream(broker: &Broker, url: impl Fn(&types::Access) -> String) {
    let access = a_stream_of_texts(broker).await;
    let mut events = subscribe(url(&access), &*access.token).start().unwrap();
    let mut read = Vec::new();
    for _ in 0..=TEXTS.len() {
        read.push(within(events.next()).await.unwrap().unwrap());
    }
    assert_eq!(events.status(), None);
    // An event that arrives while the subscription waits.
    broker.client().end_stream("texts").await.unwrap();
    read.push(within(events.next()).await.unwrap().unwrap());
    assert!(within(events.next()).await.is_none());
    assert_eq!(events.status(), Some(Status::Ended));
    assert_eq!(events.last_id(), read.last().unwrap().id.as_deref());

    let (first, last) = (&read[0], &read[TEXTS.len() + 1]);
    assert_eq!(
        (&*first.event, &*first.data, &*last.event),
        ("start", "", "end")
    );
    let texts: Vec<&str> = read[1..=TEXTS.len()]
        .iter()
        .map(|event| &*event.data)
        .collect();
    assert_eq!(texts, TEXTS);

    let after = read[5].id.clone().unwrap();
    let mut rest = subscribe(url(&access), &*access.token)
        .after(after)
        .start()
        .unwrap();
    assert_eq!(all(&mut rest).await.unwrap(), read[6..]);

    let mut nothing = subscribe(url(&access), &*access.token)
        .after(last.id.clone().unwrap())
        .start()
        .unwrap();
    assert_eq!(all(&mut nothing).await.unwrap(), []);
    assert_eq!(nothing.status(), None);
}

#[tokio::test]
async fn all_events_of_a_stream_arrive_over_sse() {
    all_events_of_a_stream(&Broker::start().await, |access| access.sse_url.clone()).await;
}

#[cfg(feature = "websocket")]
#[tokio::test]
async fn all_events_of_a_stream_arrive_over_websocket() {
    all_events_of_a_stream(&Broker::start().await, |access| access.ws_url.clone()).await;
}

/// Follows a stream through a proxy that breaks each connection.
async fn no_event_is_lost_when_connections_break(path: &str) {
    let broker = Broker::start().await;
    let access = broker.create("k").await;
    let proxy = Proxy::cutting(&broker.url, 1500).await;
    let mut subscription = subscribe(
        format!("{}/api/client/{path}?key=k", proxy.url),
        access.token,
    )
    .start()
    .unwrap();
    assert_eq!(
        within(subscription.next()).await.unwrap().unwrap().event,
        "start"
    );
    for n in 0..30 {
        let event = types::Event {
            event: "n".to_owned(),
            data: Some(json!(n)),
        };
        broker
            .client()
            .add_events(("k", vec![event]))
            .await
            .unwrap();
    }
    broker.client().cancel_stream("k").await.unwrap();
    let events = all(&mut subscription).await.unwrap();
    let data: Vec<u32> = events
        .iter()
        .filter(|event| event.event == "n")
        .map(|event| event.json().unwrap())
        .collect();
    assert_eq!(data, (0..30).collect::<Vec<_>>());
    assert_eq!(subscription.status(), Some(Status::Cancelled));
    assert!(proxy.connections() > 1);
}

#[tokio::test]
async fn no_event_is_lost_when_sse_connections_break() {
    no_event_is_lost_when_connections_break("sse").await;
}

#[cfg(feature = "websocket")]
#[tokio::test]
async fn no_event_is_lost_when_websockets_break() {
    no_event_is_lost_when_connections_break("ws").await;
}

#[tokio::test]
async fn events_that_are_no_longer_stored_are_reported() {
    let broker = Broker::start().await;
    let client = broker.client();
    let access = client
        .create_stream(types::CreateStream {
            max_events: Some(1),
            ..types::CreateStream::from("k")
        })
        .await
        .unwrap();
    let events: Vec<_> = (0..5000)
        .map(|n| types::Event {
            event: "n".to_owned(),
            data: Some(json!(n)),
        })
        .collect();
    client.add_events(("k", events)).await.unwrap();
    client.end_stream("k").await.unwrap();
    let mut events = subscribe(access.sse_url, access.token).start().unwrap();
    let events = all(&mut events).await.unwrap();
    let missed = events[0].missed.as_ref().expect("missedevents");
    assert_eq!(
        (&*events[0].event, &events[0].id, &missed.after),
        ("missedevents", &None, &None)
    );
    assert_eq!(events[1].id, missed.first);
    assert_eq!(missed.missed.unwrap() + events.len() as u64 - 1, 5002);
}

#[tokio::test]
async fn a_refused_subscription_has_the_error_code_of_the_broker() {
    let broker = Broker::start().await;
    let access = broker.create("k").await;
    let gone = access.sse_url.replace("key=k", "key=other");
    for (url, token, code) in [
        (&gone, &*access.token, "forbidden"),
        (&access.sse_url, "no-token", "unauthorized"),
    ] {
        assert_eq!(
            failure(&mut subscribe(url, token).start().unwrap())
                .await
                .code(),
            code
        );
    }
    let error = failure(
        &mut subscribe(access.sse_url, access.token)
            .after("nonsense")
            .start()
            .unwrap(),
    )
    .await;
    assert_eq!(error.code(), "invalid-event-id");
}

#[tokio::test]
async fn options_are_in_the_query() {
    let script = Script::start([Response::status(204)]).await;
    let events = subscribe(script.sse_url(), "t")
        .events(["alert", "metric*"])
        .from("-5")
        .wait(true);
    let mut events = events
        .client_name("a dashboard")
        .tags(["x", "y"])
        .start()
        .unwrap();
    assert_eq!(all(&mut events).await.unwrap(), []);
    let (query, _) = &script.queries()[0];
    let mut pairs: Vec<_> = query.split('&').collect();
    pairs.sort_unstable();
    assert_eq!(
        pairs,
        [
            "client_name=a+dashboard",
            "events=alert%2Cmetric*",
            "from=-5",
            "key=k",
            "tags=x%2Cy",
            "wait=true"
        ]
    );
}

#[test]
fn a_url_that_does_not_name_one_stream_is_refused() {
    let several = "http://host/api/client/sse?key=a&key=b";
    for url in [
        "nonsense",
        "http://host/api/stream",
        "http://host/api/client/sse",
        several,
    ] {
        assert_eq!(subscribe(url, "t").start().unwrap_err().code(), "setup");
    }
}

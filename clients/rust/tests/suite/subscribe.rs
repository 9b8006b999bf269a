//! Subscriptions.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt};
use serde_json::json;
use tinistreamer_client::{Error, Event, Status, Subscription, Token, subscribe, types};

use crate::common::{Answer, Broker, Proxy, Script, within};

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

/// A stream with these texts, its URL and token.
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

async fn all(subscription: &mut Subscription) -> Result<Vec<Event>, Error> {
    within(subscription.try_collect()).await
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| &*event.event).collect()
}

/// The error that a subscription ends with.
async fn failure(subscription: &mut Subscription) -> Error {
    let error = all(subscription).await.unwrap_err();
    assert!(
        within(subscription.next()).await.is_none(),
        "nothing follows an error"
    );
    error
}

async fn all_of_a_stream(broker: &Broker, url: impl Fn(&types::Access) -> String) {
    let access = a_stream_of_texts(broker).await;
    let mut events = subscribe(url(&access), &*access.token).start().unwrap();
    let mut read = Vec::new();
    for _ in 0..=TEXTS.len() {
        read.push(within(events.next()).await.unwrap().unwrap());
    }
    assert_eq!(events.status(), None);
    // One that comes while it is listened to.
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
async fn all_of_a_stream_comes_over_sse() {
    all_of_a_stream(&Broker::start().await, |access| access.sse_url.clone()).await;
}

#[cfg(feature = "websocket")]
#[tokio::test]
async fn all_of_a_stream_comes_over_websocket() {
    all_of_a_stream(&Broker::start().await, |access| access.ws_url.clone()).await;
}

/// Follows a stream through a proxy that cuts each connection.
async fn nothing_is_lost_when_connections_are_cut(path: &str) {
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
async fn nothing_is_lost_when_sse_is_cut() {
    nothing_is_lost_when_connections_are_cut("sse").await;
}

#[cfg(feature = "websocket")]
#[tokio::test]
async fn nothing_is_lost_when_a_websocket_is_cut() {
    nothing_is_lost_when_connections_are_cut("ws").await;
}

#[tokio::test]
async fn what_is_no_longer_stored_is_told() {
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
async fn the_error_of_a_stream_that_is_gone_has_the_brokers_code() {
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

const START: &str = "retry: 1\nid: 5-0\nevent: start\ndata:\n\n";
const TOKEN: &str = "id: 5-1\nevent: token\ndata: a\n\n";
const END: &str = "id: 6-2\nevent: end\ndata:\n\n";

#[tokio::test]
async fn an_early_end_is_followed_by_a_connection_that_goes_on() {
    let script = Script::start([
        Answer::events(&[START, "id: 5-1\nevent: cut"].concat()),
        Answer::status(503),
        Answer::error(429, "too-many-clients", "retry-after: 0\r\n"),
        Answer::events(&[TOKEN, END].concat()),
    ])
    .await;
    let mut events = subscribe(script.sse_url(), "secret").start().unwrap();
    assert_eq!(
        names(&all(&mut events).await.unwrap()),
        ["start", "token", "end"]
    );
    let requests = script.requests();
    assert!(
        !requests[0].contains("last-event-id") && requests[3].contains("last-event-id: 5-0\r\n"),
        "{requests:?}"
    );
    // In the header, and nowhere else.
    assert!(requests.iter().all(
        |request| request.contains("authorization: Bearer secret\r\n")
            && request.matches("secret").count() == 1
    ));
}

#[tokio::test]
async fn nothing_follows_the_last_event() {
    let script = Script::start([Answer::status(204)]).await;
    let mut events = subscribe(script.sse_url(), "t")
        .after("6-2")
        .start()
        .unwrap();
    assert_eq!(all(&mut events).await.unwrap(), []);
    assert_eq!((events.status(), events.last_id()), (None, Some("6-2")));
}

#[tokio::test]
async fn silence_is_a_broken_connection() {
    let script = Script::start([
        Answer::events_and_silence(START),
        Answer::events(&[TOKEN, END].concat()),
    ])
    .await;
    let mut events = subscribe(script.sse_url(), "t")
        .silence(Duration::from_millis(100))
        .start()
        .unwrap();
    assert_eq!(
        names(&all(&mut events).await.unwrap()),
        ["start", "token", "end"]
    );
}

#[tokio::test]
async fn a_retry_without_an_event_sets_the_delay() {
    let script = Script::start([
        Answer::events("retry: 1\n\n:\n\n"),
        Answer::status(503),
        Answer::status(204),
    ])
    .await;
    // With the delay that is set otherwise it would give up first.
    let mut events = subscribe(script.sse_url(), "t")
        .give_up_after(Duration::from_millis(400))
        .start()
        .unwrap();
    assert_eq!(all(&mut events).await.unwrap(), []);
}

#[tokio::test]
async fn a_broker_that_stays_away_is_given_up() {
    let script = Script::start([Answer::events(START)]).await;
    let mut events = subscribe(script.sse_url(), "t")
        .give_up_after(Duration::from_millis(300))
        .start()
        .unwrap();
    let error = failure(&mut events).await;
    assert!(
        matches!(&error, Error::Disconnected { source, .. } if source.code() == "unreachable"),
        "{error:?}"
    );
    assert_eq!(
        (error.code(), events.last_id()),
        ("disconnected", Some("5-0"))
    );
}

#[tokio::test]
async fn an_event_that_does_not_follow_is_a_gap() {
    for events in [[START, END], [START, START], [TOKEN, END]] {
        let script = Script::start([Answer::events(&events.concat())]).await;
        assert_eq!(
            failure(&mut subscribe(script.sse_url(), "t").start().unwrap())
                .await
                .code(),
            "gap"
        );
    }
    let missed = "event: missedevents\ndata: {\"after\":null,\"first\":\"6-2\",\"missed\":2}\n\n";
    let script = Script::start([Answer::events(&[missed, TOKEN].concat())]).await;
    assert_eq!(
        failure(&mut subscribe(script.sse_url(), "t").start().unwrap())
            .await
            .code(),
        "gap"
    );
}

#[tokio::test]
async fn what_was_missed_counts_for_one_connection() {
    let missed =
        "event: missedevents\ndata: {\"after\":\"5-0\",\"first\":\"6-2\",\"missed\":1}\n\n";
    let script = Script::start([
        Answer::events(&[START, missed].concat()),
        Answer::events(&[TOKEN, END].concat()),
    ])
    .await;
    let mut events = subscribe(script.sse_url(), "t").start().unwrap();
    assert_eq!(
        names(&all(&mut events).await.unwrap()),
        ["start", "missedevents", "token", "end"]
    );
}

#[tokio::test]
async fn what_is_asked_for_is_in_the_query() {
    let script = Script::start([Answer::status(204)]).await;
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
    let (query, _) = &script.asked()[0];
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

#[tokio::test]
async fn where_events_are_left_out_numbers_only_increase_and_positions_count() {
    let script = Script::start([
        Answer::events("retry: 1\n\nid: 5-3\nevent: token\ndata: a\n\nid: 5-7\n\n"),
        Answer::events("id: 5-9\nevent: token\ndata: b\n\nid: 5-8\nevent: token\ndata: c\n\n"),
    ])
    .await;
    let mut events = subscribe(script.sse_url(), "t")
        .events(["token"])
        .start()
        .unwrap();
    let mut read = Vec::new();
    let error = loop {
        match within(events.next()).await.unwrap() {
            Ok(event) => read.push(event.data),
            Err(error) => break error,
        }
    };
    assert_eq!(
        (read, error.code()),
        (vec!["a".to_owned(), "b".to_owned()], "gap")
    );
    assert_eq!(script.asked()[1].1.as_deref(), Some("5-7"));
    assert_eq!(events.last_id(), Some("5-9"));
}

#[tokio::test]
async fn a_stream_that_does_not_begin_at_its_start_goes_on_from_where_the_broker_says() {
    let script = Script::start([
        Answer::events("retry: 1\nid: 5-7\n\n"),
        Answer::events("id: 5-8\nevent: token\ndata: b\n\nid: 5-10\nevent: token\ndata: c\n\n"),
    ])
    .await;
    let mut events = subscribe(script.sse_url(), "t")
        .from("now")
        .start()
        .unwrap();
    assert_eq!(within(events.next()).await.unwrap().unwrap().data, "b");
    assert_eq!(script.asked()[1].1.as_deref(), Some("5-7"));
    assert_eq!(failure(&mut events).await.code(), "gap");
}

#[tokio::test]
async fn a_stream_that_was_waited_for_begins_with_its_first_event_also_after_a_cut() {
    let script = Script::start([
        Answer::events_and_silence(":\n\n"),
        Answer::events(&[START, TOKEN, END].concat()),
    ])
    .await;
    let waiting = subscribe(script.sse_url(), "t")
        .from("now")
        .wait(true)
        .silence(Duration::from_millis(100));
    assert_eq!(
        names(&all(&mut waiting.start().unwrap()).await.unwrap()),
        ["start", "token", "end"]
    );
    assert_eq!(script.asked()[1].1.as_deref(), Some("k:"));
}

#[tokio::test]
async fn what_is_not_an_event_stream_is_an_error() {
    let page =
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<h1>It works!</h1>";
    let script = Script::start([Answer::Bytes(page.to_owned())]).await;
    assert_eq!(
        failure(&mut subscribe(script.sse_url(), "t").start().unwrap())
            .await
            .code(),
        "invalid-answer"
    );
}

#[tokio::test]
async fn a_subscription_that_is_dropped_closes_its_connection() {
    let mut script = Script::start([Answer::events_and_silence(START)]).await;
    let mut events = subscribe(script.sse_url(), "t").start().unwrap();
    assert_eq!(within(events.next()).await.unwrap().unwrap().event, "start");
    drop(events);
    script.closed().await;
}

/// A function that gives these tokens, one after the other.
fn tokens(tokens: &[&str]) -> Token {
    let tokens: Arc<Mutex<VecDeque<String>>> =
        Arc::new(Mutex::new(tokens.iter().copied().map(Into::into).collect()));
    Token::from_fn(move || {
        let token = tokens.lock().unwrap().pop_front().unwrap();
        async move { Ok::<_, Infallible>(token) }
    })
}

#[tokio::test]
async fn a_token_that_is_no_longer_good_is_replaced() {
    let script = Script::start([
        Answer::events(START),
        Answer::error(401, "token-expired", ""),
        Answer::events(&[TOKEN, END].concat()),
    ])
    .await;
    let mut events = subscribe(script.sse_url(), tokens(&["first", "second"]))
        .start()
        .unwrap();
    assert_eq!(
        names(&all(&mut events).await.unwrap()),
        ["start", "token", "end"]
    );
    let requests = script.requests();
    assert!(
        requests[1].contains("Bearer first\r\n") && requests[2].contains("Bearer second\r\n"),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_new_token_that_is_refused_is_an_error() {
    let script = Script::start([Answer::error(401, "unauthorized", "")]).await;
    assert_eq!(
        failure(
            &mut subscribe(script.sse_url(), tokens(&["bad"]))
                .start()
                .unwrap()
        )
        .await
        .code(),
        "unauthorized"
    );
    let script = Script::start([
        Answer::events(START),
        Answer::error(401, "token-expired", ""),
        Answer::error(401, "unauthorized", ""),
    ])
    .await;
    assert_eq!(
        failure(
            &mut subscribe(script.sse_url(), tokens(&["good", "bad"]))
                .start()
                .unwrap()
        )
        .await
        .code(),
        "unauthorized"
    );
}

#[tokio::test]
async fn a_token_without_a_function_is_not_replaced() {
    let script = Script::start([
        Answer::events(START),
        Answer::error(401, "token-expired", ""),
    ])
    .await;
    assert_eq!(
        failure(&mut subscribe(script.sse_url(), "t").start().unwrap())
            .await
            .code(),
        "token-expired"
    );
}

#[tokio::test]
async fn a_function_that_fails_is_an_error() {
    let script = Script::start([]).await;
    let token = Token::from_fn(|| async { Err::<String, _>("the backend is away") });
    assert_eq!(
        failure(&mut subscribe(script.sse_url(), token).start().unwrap())
            .await
            .code(),
        "token"
    );
}

#[test]
fn a_url_that_is_none_of_one_stream_is_refused() {
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

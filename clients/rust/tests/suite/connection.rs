//! What subscriptions report of their connections and of how streams were finished.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use tinistreamer_client::{
    Status, Subscribe, subscribe, subscribe_many,
    types::{CancelStream, FailStream, IssueToken},
};

use crate::common::{Broker, END, Response, START, Script, TOKEN, all, failure, within};

type Changes = Arc<Mutex<Vec<(String, u32, Option<String>, bool)>>>;

/// Records state, attempt, code of the error, and whether there is a delay.
fn recording<S>(subscription: Subscribe<S>) -> (Subscribe<S>, Changes) {
    let changes = Changes::default();
    let noted = Arc::clone(&changes);
    let subscription = subscription.on_connection(move |change| {
        noted.lock().unwrap().push((
            change.state.as_str().to_owned(),
            change.attempt,
            change.error.map(|error| error.code().to_owned()),
            change.retry_in.is_some(),
        ));
    });
    (subscription, changes)
}

fn change(state: &str, attempt: u32, code: Option<&str>) -> (String, u32, Option<String>, bool) {
    let has_delay = state == "waiting";
    (
        state.to_owned(),
        attempt,
        code.map(str::to_owned),
        has_delay,
    )
}

#[tokio::test]
async fn each_change_of_the_connection_is_reported() {
    let script = Script::start([
        Response::events(START),
        Response::error(503, "store-unavailable", "retry-after: 0\r\n"),
        Response::status(500),
        Response::events(TOKEN),
        Response::events(END),
    ])
    .await;
    let (subscription, changes) = recording(subscribe(script.sse_url(), "t"));
    let mut events = subscription.start().unwrap();
    assert!(changes.lock().unwrap().is_empty());
    all(&mut events).await.unwrap();
    drop(events);
    assert_eq!(
        *changes.lock().unwrap(),
        [
            change("connecting", 1, None),
            change("open", 1, None),
            change("waiting", 1, Some("unreachable")),
            change("connecting", 1, None),
            change("waiting", 1, Some("store-unavailable")),
            change("connecting", 2, None),
            change("waiting", 2, Some("http-error")),
            change("connecting", 3, None),
            change("open", 3, None),
            change("waiting", 3, Some("unreachable")),
            change("connecting", 1, None),
            change("open", 1, None),
            change("closed", 1, None),
        ]
    );
}

#[tokio::test]
async fn a_subscription_that_fails_is_closed_with_its_error() {
    let script = Script::start([Response::error(403, "forbidden", "")]).await;
    let (subscription, changes) = recording(subscribe(script.sse_url(), "t"));
    let mut events = subscription.start().unwrap();
    failure(&mut events).await;
    drop(events);
    assert_eq!(
        *changes.lock().unwrap(),
        [
            change("connecting", 1, None),
            change("closed", 1, Some("forbidden"))
        ]
    );
}

#[tokio::test]
async fn a_subscription_that_is_dropped_is_closed() {
    let script = Script::start([Response::events_then_silence(START)]).await;
    let (subscription, changes) = recording(subscribe(script.sse_url(), "t"));
    let mut events = subscription.start().unwrap();
    within(events.next()).await.unwrap().unwrap();
    drop(events);
    let last = changes.lock().unwrap().pop();
    assert_eq!(last, Some(change("closed", 1, None)));

    let (subscription, changes) = recording(subscribe(script.sse_url(), "t"));
    drop(subscription.start().unwrap());
    assert!(changes.lock().unwrap().is_empty(), "it never connected");
}

#[tokio::test]
async fn a_subscription_uses_the_callers_http_client() {
    let script = Script::start([
        Response::events(&[START, TOKEN, END].concat()),
        Response::json(&serde_json::json!({"seq": 1})),
    ])
    .await;
    let http = reqwest::Client::builder()
        .user_agent("mine")
        .build()
        .unwrap();
    let subscription = subscribe(script.sse_url(), "t").http_client(http);
    let mut events = subscription.start().unwrap();
    all(&mut events).await.unwrap();
    within(events.request_stop()).await.unwrap();
    let requests = script.requests();
    assert_eq!(requests.len(), 2);
    assert!(
        requests
            .iter()
            .all(|request| request.contains("user-agent: mine\r\n"))
    );
}

#[tokio::test]
async fn a_finished_stream_says_why_over_each_transport() {
    let broker = Broker::start().await;
    let client = broker.client();
    let mut urls = Vec::new();
    for key in ["cancelled", "failed", "silent", "ended"] {
        urls.push(broker.create(key).await.sse_url);
    }
    let cancel = CancelStream {
        reason: Some("stop".to_owned()),
        by: Some("user-7".to_owned()),
        ..CancelStream::from("cancelled")
    };
    client.cancel_stream(cancel).await.unwrap();
    let fail = FailStream {
        code: Some("model-overloaded".to_owned()),
        message: Some("Too much".to_owned()),
        ..FailStream::from("failed")
    };
    client.fail_stream(fail).await.unwrap();
    client.cancel_stream("silent").await.unwrap();
    client.end_stream("ended").await.unwrap();
    let all_keys = IssueToken::for_prefix("");
    let keys = ["cancelled", "failed", "silent", "ended"];
    let token = match client.issue_token(all_keys).await {
        Ok(access) => access.token,
        Err(_) => {
            client
                .issue_token(IssueToken::for_keys(keys))
                .await
                .unwrap()
                .token
        }
    };
    let routes = ["sse", "ndjson", "poll", "ws"];
    for route in &routes[..if cfg!(feature = "websocket") { 4 } else { 3 }] {
        let mut found = Vec::new();
        for url in &urls {
            let url = url.replace("/sse", &format!("/{route}"));
            let mut events = subscribe(url, &*token).start().unwrap();
            assert_eq!((events.status(), events.reason()), (None, None));
            all(&mut events).await.unwrap();
            assert!(events.status().is_some());
            found.push(events.reason().cloned());
        }
        let [Some(cancelled), Some(failed), None, None] = &*found else {
            panic!("{route}: {found:?}")
        };
        assert_eq!(cancelled.reason.as_deref(), Some("stop"));
        assert_eq!(cancelled.by.as_deref(), Some("user-7"));
        assert_eq!(failed.code.as_deref(), Some("model-overloaded"));
        assert_eq!(failed.message.as_deref(), Some("Too much"));

        let url = format!("{}/api/client/{route}", broker.url);
        let mut events = subscribe_many(url, keys, &*token).start().unwrap();
        while let Some(event) = within(events.next()).await {
            event.unwrap();
        }
        let reasons = keys.map(|key| events.reason(key));
        assert_eq!(reasons.to_vec(), found, "{route}");
        let all_reasons = events.reasons();
        assert!(
            keys.iter()
                .zip(&found)
                .all(|(key, reason)| all_reasons[*key] == *reason)
        );
    }
}

#[tokio::test]
async fn an_abandoned_stream_says_why_also_over_sse() {
    let abandon = "id: 5-1\nevent: abandon\ndata: {\"reason\":\"lease\"}\n\n";
    let script = Script::start([
        Response::events(&[START, abandon].concat()),
        Response::status(204),
    ])
    .await;
    let mut events = subscribe(script.sse_url(), "t").start().unwrap();
    within(events.next()).await.unwrap().unwrap();
    within(events.next()).await.unwrap().unwrap();
    assert_eq!(events.reason(), None, "it may be an ordinary event");
    all(&mut events).await.unwrap();
    let reason = events.reason().unwrap();
    assert_eq!(reason.reason.as_deref(), Some("lease"));
}

#[tokio::test]
async fn data_that_can_not_be_read_are_no_reason() {
    let cancel = "id: 5-1\nevent: cancel\ndata: nonsense\n\n";
    let script = Script::start([Response::events(&[START, cancel].concat())]).await;
    let mut events = subscribe(script.sse_url(), "t").start().unwrap();
    all(&mut events).await.unwrap();
    assert_eq!(events.status(), Some(Status::Cancelled));
    assert_eq!(events.reason(), None);
}

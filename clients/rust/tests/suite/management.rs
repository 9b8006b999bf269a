//! The management functions.

use std::time::Duration;

use futures::StreamExt;
use serde_json::json;
use tinistreamer_client::{
    Client, Error, subscribe,
    types::{CreateStream, Event, IssueToken},
};

use crate::common::{API_KEY, Broker, Response, Script, within};

fn event(name: &str, data: Option<serde_json::Value>) -> Event {
    Event {
        event: name.to_owned(),
        data,
    }
}

#[tokio::test]
async fn a_stream_is_created_written_read_and_ended() {
    let broker = Broker::start().await;
    let client = broker.client();
    let key = "Grüße / & ? 1";
    let access = client
        .create_stream(CreateStream {
            ttl: Some(60),
            max_events: Some(50),
            ..CreateStream::from(key)
        })
        .await
        .unwrap();
    assert!(
        access.sse_url.starts_with(&broker.url) && access.ws_url.starts_with("ws://"),
        "{access:?}"
    );
    assert_ne!(
        client
            .issue_token(IssueToken {
                ttl: Some(5),
                ..IssueToken::from(key)
            })
            .await
            .unwrap()
            .token,
        access.token
    );

    let events = vec![
        event("token", Some(json!("a\nb"))),
        event("usage", Some(json!({"n": 1}))),
        event("pause", None),
    ];
    let added = client.add_events((key, events)).await.unwrap();
    assert_eq!((added.num_events, added.ids.len()), (3, 3));

    let state = client.stream_info(key).await.unwrap();
    assert_eq!(
        (&*state.status, state.length, &state.last_id),
        ("active", 4, &added.ids[2])
    );
    let rows = client.list_streams(Some("Gr*")).await.unwrap();
    assert_eq!(rows.iter().map(|row| &*row.key).collect::<Vec<_>>(), [key]);
    assert_eq!(client.list_streams(Some("other-*")).await.unwrap(), []);
    assert_eq!(client.list_streams(None).await.unwrap().len(), 1);

    assert_eq!(client.end_stream(key).await.unwrap().status, "ended");
    let stored = client.stream_events(key).await.unwrap();
    let stored: Vec<_> = stored
        .iter()
        .map(|event| (&*event.event, event.data.as_deref()))
        .collect();
    assert_eq!(
        stored,
        [
            ("start", None),
            ("token", Some("a\nb")),
            ("usage", Some(r#"{"n":1}"#)),
            ("pause", None),
            ("end", None)
        ]
    );

    client.create_stream("another").await.unwrap();
    assert_eq!(
        client.cancel_stream("another").await.unwrap().status,
        "cancelled"
    );
}

#[tokio::test]
async fn a_token_is_for_one_stream_for_several_or_for_a_prefix() {
    let broker = Broker::start().await;
    let client = broker.client();
    for key in ["chat-1", "chat-2"] {
        client.create_stream(key).await.unwrap();
    }
    let access = client
        .issue_token(IssueToken::for_keys(["chat-1", "chat-2"]))
        .await
        .unwrap();
    assert!(
        access.sse_url.ends_with("?key=chat-1&key=chat-2"),
        "{access:?}"
    );
    let access = client
        .issue_token(IssueToken::for_prefix("chat-"))
        .await
        .unwrap();
    assert!(access.sse_url.ends_with("/api/client/sse"), "{access:?}");
    assert_eq!(
        client
            .issue_token(IssueToken::for_keys(["chat-3"]))
            .await
            .unwrap_err()
            .code(),
        "no-active-stream"
    );
    client
        .issue_token(IssueToken {
            wait: Some(true),
            ..IssueToken::for_keys(["chat-3"])
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_subscriber_is_listed_and_disconnected() {
    let broker = Broker::start().await;
    let client = broker.client();
    let access = broker.create("k").await;
    let mut events = subscribe(access.sse_url, access.token)
        .client_name("a dashboard")
        .tags(["x", "y"])
        .start()
        .unwrap();
    assert_eq!(within(events.next()).await.unwrap().unwrap().event, "start");
    let [row] = &*client.list_clients(Some("k"), Some("x")).await.unwrap() else {
        panic!("one client")
    };
    assert_eq!(
        (row.name.as_deref(), &*row.keys, &*row.tags),
        (
            Some("a dashboard"),
            &["k".to_owned()][..],
            &["x".to_owned(), "y".to_owned()][..]
        )
    );
    assert_eq!(client.list_clients(None, Some("z")).await.unwrap(), []);
    assert_eq!(
        client.disconnect_client(&row.id).await.unwrap().status,
        "disconnected"
    );
    assert_eq!(
        client.disconnect_client("0").await.unwrap_err().code(),
        "client-not-found"
    );
}

#[tokio::test]
async fn the_broker_reports_its_state() {
    let broker = Broker::start().await;
    broker.client().ready().await.unwrap();
    let info = broker.client().broker_info().await.unwrap();
    assert_eq!((info.url, &*info.store), (broker.url.clone(), "memory"));
}

#[tokio::test]
async fn a_slash_after_the_url_is_ignored() {
    let broker = Broker::start().await;
    Client::new(format!("{}/", broker.url), API_KEY)
        .unwrap()
        .create_stream("k")
        .await
        .unwrap();
}

#[tokio::test]
async fn an_error_has_the_code_and_message_of_the_broker() {
    let broker = Broker::start().await;
    let error = broker.client().end_stream("nothing").await.unwrap_err();
    let Error::Api {
        status: Some(404),
        code,
        message,
        stream_status: None,
        retry_after: None,
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(code, "no-active-stream");
    assert!(error.to_string().contains(&**message) && error.code() == code);

    let stranger = Client::new(&broker.url, "another-api-key").unwrap();
    assert_eq!(
        stranger.list_streams(None).await.unwrap_err().code(),
        "unauthorized"
    );
}

#[tokio::test]
async fn an_error_has_the_retry_delay_of_the_broker() {
    let script = Script::start([Response::error(
        503,
        "store-unavailable",
        "retry-after: 7\r\n",
    )])
    .await;
    let error = Client::new(&script.url, API_KEY)
        .unwrap()
        .ready()
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Api { status: Some(503), retry_after: Some(time), .. }
                if *time == Duration::from_secs(7)
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_error_of_a_proxy_has_its_status() {
    let page = "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n\
        <h1>502</h1>";
    let script = Script::start([Response::Bytes(page.to_owned())]).await;
    let error = Client::new(&script.url, API_KEY)
        .unwrap()
        .broker_info()
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Api { status: Some(502), code, .. } if code == "http-error"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_response_of_another_server_is_an_error() {
    let page = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<h1>It works!</h1>";
    let script = Script::start([Response::Bytes(page.to_owned())]).await;
    let error = Client::new(&script.url, API_KEY)
        .unwrap()
        .broker_info()
        .await
        .unwrap_err();
    assert_eq!(error.code(), "invalid-answer");
}

#[tokio::test]
async fn a_refused_connection_is_unreachable() {
    let script = Script::start([]).await;
    let error = Client::new(&script.url, API_KEY)
        .unwrap()
        .ready()
        .await
        .unwrap_err();
    assert_eq!(error.code(), "unreachable");
}

#[tokio::test]
async fn a_redirect_does_not_send_the_api_key_elsewhere() {
    let elsewhere = Script::start([Response::status(200)]).await;
    let redirect = format!(
        "HTTP/1.1 307 X\r\nlocation: {}/\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        elsewhere.url
    );
    let script = Script::start([Response::Bytes(redirect)]).await;
    let error = Client::new(&script.url, API_KEY)
        .unwrap()
        .ready()
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Api {
                status: Some(307),
                ..
            }
        ),
        "{error:?}"
    );
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn invalid_settings_of_a_client_are_refused() {
    for (url, api_key) in [
        ("no url", "key"),
        ("ftp://host", "key"),
        ("http://host", "a\nb"),
    ] {
        assert_eq!(Client::new(url, api_key).unwrap_err().code(), "setup");
    }
}

#[test]
fn the_api_key_is_not_shown() {
    assert!(!format!("{:?}", Client::new("http://host", API_KEY).unwrap()).contains(API_KEY));
}

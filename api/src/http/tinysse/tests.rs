//! The steps at which a script takes part, with an engine of the test. What Lua does is tested from
//! outside.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use reqwest::{Client, RequestBuilder};
use rocket::{async_trait, config::Config, fairing::AdHoc};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{
    options::{AnyOr, CorsOptions, TinysseOptions},
    server::{Parts, tinysse_server},
};
use crate::{
    config::Settings,
    hooks::{Hook, HookError, Hooks, ScriptedSubscriber, SharedSubscriber},
    lifecycle::Lifecycle,
    presence::SubscriberCounts,
    store::{memory::MemoryStore, redis::install_crypto_provider},
    telemetry::metrics::{Metrics, SharedMetrics},
};

/// What the hooks were called with, in order.
type Calls = Arc<Mutex<Vec<String>>>;

/// An engine that does what the data of a message, or the query of a subscriber, says.
struct Engine(Calls);

struct Subscriber {
    name: String,
    calls: Calls,
}

fn failure(hook: Hook) -> HookError {
    HookError {
        hook,
        message: "a secret of the script".to_owned(),
    }
}

fn authorization(table: &Value) -> &Value {
    &table["req"]["headers"]["authorization"]
}

#[async_trait]
impl Hooks for Engine {
    fn defines(&self, _: Hook) -> bool {
        true
    }

    async fn publish(&self, mut publication: Value) -> Result<Option<Value>, HookError> {
        let call = format!("publish {}", authorization(&publication));
        self.0.lock().push(call);
        match publication["msg"]["data"].as_str().unwrap_or_default() {
            "refuse" => return Ok(None),
            "fail" => return Err(failure(Hook::Publish)),
            "wrong" => publication["msg"]["id"] = json!("a\nb"),
            "empty" => publication["msg"] = json!({}),
            text => publication["msg"]["data"] = format!("{text}!").into(),
        }
        publication["req"] = json!({ "method": "changed" });
        publication["tag"] = json!("kept");
        Ok(Some(publication))
    }

    async fn subscribe(&self, subscriber: Value) -> Result<Option<SharedSubscriber>, HookError> {
        let name = subscriber["req"]["query"].as_str().unwrap_or_default();
        match name {
            "refuse" => return Ok(None),
            "fail" => return Err(failure(Hook::Subscribe)),
            _ => {}
        }
        let subscriber = Subscriber {
            name: name.to_owned(),
            calls: Arc::clone(&self.0),
        };
        Ok(Some(Arc::new(subscriber)))
    }
}

#[async_trait]
impl ScriptedSubscriber for Subscriber {
    fn has_message_hook(&self) -> bool {
        true
    }

    async fn catchup(&self, last_event_id: &str) -> Result<Vec<Value>, HookError> {
        let first = json!({ "id": last_event_id, "data": "caught up" });
        let second = json!({ "msg": { "data": "from a publication" } });
        Ok(vec![first, second])
    }

    async fn message(&self, mut publication: Value) -> Result<Option<Value>, HookError> {
        let (tag, method) = (&publication["tag"], &publication["req"]["method"]);
        let call = format!("message {tag} {method} {}", authorization(&publication));
        self.calls.lock().push(call);
        match publication["msg"]["data"].as_str().unwrap_or_default() {
            "drop!" => return Ok(None),
            "raise!" => return Err(failure(Hook::Message)),
            "hang!" => std::future::pending().await,
            text => publication["msg"]["data"] = format!("{text}{}", self.name).into(),
        }
        Ok(Some(publication))
    }

    async fn timeout(&self, _: Duration) -> Result<Option<Duration>, HookError> {
        self.calls.lock().push("timeout".to_owned());
        Ok((self.name != "default").then_some(Duration::from_millis(1_234)))
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.calls.lock().push(format!("unsubscribe {}", self.name));
    }
}

struct Server {
    url: String,
    http: Client,
    calls: Calls,
}

async fn server(timeout: Duration) -> Server {
    let options = TinysseOptions {
        keep_alive: Duration::ZERO,
        keep_alive_text: "keep-alive".parse().unwrap(),
        timeout,
        timeout_retry: Duration::from_secs(2),
        capacity: 256,
        max_body: 64_000,
        pub_path: "/sse".parse().unwrap(),
        sub_path: "/sse".parse().unwrap(),
        static_files: None,
        cors: CorsOptions {
            origins: AnyOr::Any,
            methods: AnyOr::Any,
            headers: AnyOr::Any,
            credentials: false,
            max_age: Duration::ZERO,
        },
    };
    let secret = "0".repeat(64);
    let set = [
        ("API_KEY", "not-needed"),
        ("SECRET_KEY", &*secret),
        ("PORT", "0"),
        ("DELIVERY", "shared"),
    ];
    let set = set.map(|(name, value)| (format!("STREAMER_{name}"), value.to_owned()));
    let base = Config::figment().select("release");
    let settings = Settings::load(&base, set).unwrap();
    let metrics = Metrics::new(None, settings.max_clients);
    let calls = Calls::default();
    let counts = SubscriberCounts::shared(metrics.streams.followed.clone());
    let parts = Parts {
        settings,
        store: Arc::new(MemoryStore::new(SharedMetrics::clone(&metrics))),
        metrics,
        lifecycle: Lifecycle::default(),
        counts,
        hooks: Some(Arc::new(Engine(Arc::clone(&calls)))),
    };
    let (bound, port) = oneshot::channel();
    let report = AdHoc::on_liftoff("port", move |rocket| {
        bound.send(rocket.config().port).unwrap();
        Box::pin(std::future::ready(()))
    });
    let rocket = tinysse_server(base, options, parts).unwrap().attach(report);
    tokio::spawn(rocket.launch());
    // With scripts the client has TLS, and leaves the choice of a provider to us.
    install_crypto_provider();
    Server {
        url: format!("http://127.0.0.1:{}/sse", port.await.unwrap()),
        http: Client::new(),
        calls,
    }
}

impl Server {
    fn message(&self, data: &str) -> RequestBuilder {
        let body = json!({ "data": data }).to_string();
        let request = self.http.post(&self.url).body(body);
        let request = request.header("Content-Type", "application/json");
        request.header("Authorization", "secret")
    }

    /// Publishes a message. Returns the status and the body.
    async fn publish(&self, data: &str) -> (u16, Value) {
        let response = self.message(data).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// A subscriber that the server has admitted.
    async fn subscribe(&self, query: &str) -> reqwest::Response {
        let mut response = self
            .http
            .get(format!("{}?{query}", self.url))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.chunk().await.unwrap().unwrap(), ": ok\n\n");
        response
    }

    async fn until_called(&self, call: &str) {
        let is_called = || self.calls.lock().iter().any(|known| known == call);
        let waiting = async {
            while !is_called() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(120), waiting).await;
        assert!(waited.is_ok(), "{call}: {:?}", self.calls.lock());
    }
}

const NEVER: Duration = Duration::ZERO;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_script_may_change_refuse_and_drop_what_is_published() {
    let server = server(NEVER).await;
    let mut subscriber = server.subscribe("a").await;
    let rejected = json!({ "error": "message rejected by script" });
    assert_eq!(server.publish("refuse").await, (403, rejected));
    for data in ["fail", "wrong"] {
        let (status, body) = server.publish(data).await;
        assert_eq!(status, 500);
        let text = body["error"].as_str().unwrap();
        assert!(!text.contains("secret"), "{text}");
    }
    assert_eq!(server.publish("empty").await.0, 202);
    let accepted = server.publish("x").await;
    assert_eq!((accepted.0, &accepted.1["subscribers"]), (202, &json!(1)));
    assert_eq!(subscriber.chunk().await.unwrap().unwrap(), "data: x!a\n\n");
    // The hook has seen the credentials. The store has not.
    let calls = server.calls.lock().clone();
    assert!(
        calls.contains(&r#"publish "secret""#.to_owned()),
        "{calls:?}"
    );
    let message = r#"message "kept" "POST" null"#.to_owned();
    let messages: Vec<_> = calls
        .iter()
        .filter(|call| call.starts_with("message"))
        .collect();
    assert_eq!(messages, [&message]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_script_changes_and_drops_messages_for_each_subscriber() {
    let server = server(NEVER).await;
    let mut subscribers = [server.subscribe("a").await, server.subscribe("b").await];
    for data in ["1", "drop", "2"] {
        server.publish(data).await;
    }
    for (subscriber, name) in subscribers.iter_mut().zip(["a", "b"]) {
        let mut text = String::new();
        while !text.contains("2!") {
            let chunk = subscriber.chunk().await.unwrap().unwrap();
            text.push_str(str::from_utf8(&chunk).unwrap());
        }
        assert_eq!(text, format!("data: 1!{name}\n\ndata: 2!{name}\n\n"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_message_hook_closes_the_connection() {
    let server = server(NEVER).await;
    let subscriber = server.subscribe("a").await;
    for data in ["1", "raise", "2"] {
        server.publish(data).await;
    }
    let text = subscriber.text().await.unwrap();
    let rest = text.strip_prefix("data: 1!a\n\n").unwrap();
    assert!(
        rest.starts_with("retry: ") && !rest.contains("data"),
        "{rest}"
    );
    server.until_called("unsubscribe a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catch_up_comes_first_and_past_the_message_hook() {
    let server = server(NEVER).await;
    let request = server.http.get(format!("{}?last_event_id=7", server.url));
    let with_header = request.try_clone().unwrap().header("Last-Event-ID", "8");
    for (request, id) in [(request, 7), (with_header, 8)] {
        let mut response = request.send().await.unwrap();
        let first = format!(": ok\n\nid: {id}\ndata: caught up\n\ndata: from a publication\n\n");
        assert_eq!(response.chunk().await.unwrap().unwrap(), first);
    }
    assert!(
        server
            .calls
            .lock()
            .iter()
            .all(|call| !call.starts_with("message"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_script_may_refuse_a_subscriber() {
    let server = server(NEVER).await;
    for (query, status, error) in [
        ("refuse", 403, "subscribe rejected by script"),
        (
            "fail",
            500,
            "The script failed; the log of the server has the reason",
        ),
    ] {
        let response = server
            .http
            .get(format!("{}?{query}", server.url))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body, json!({ "error": error }));
    }
    assert_eq!(server.publish("x").await.1["subscribers"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timeout_hook_sets_the_delay_and_unsubscribe_follows() {
    let server = server(Duration::from_millis(500)).await;
    for (name, retry) in [("a", 1_234), ("default", 2_000)] {
        let rest = server.subscribe(name).await.text().await.unwrap();
        assert_eq!(rest, format!(": timeout\nretry: {retry}\n\n"));
        server.until_called(&format!("unsubscribe {name}")).await;
        let calls = std::mem::take(&mut *server.calls.lock());
        assert_eq!(calls, ["timeout".to_owned(), format!("unsubscribe {name}")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_hook_that_does_not_return_ends_with_the_connection() {
    let server = server(Duration::from_secs(2)).await;
    let subscriber = server.subscribe("a").await;
    server.publish("hang").await;
    assert_eq!(
        subscriber.text().await.unwrap(),
        ": timeout\nretry: 1234\n\n"
    );
    server.until_called("unsubscribe a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_left_is_unsubscribed() {
    let server = server(NEVER).await;
    drop(server.subscribe("a").await);
    server.until_called("unsubscribe a").await;
    assert!(!server.calls.lock().contains(&"timeout".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_starts_no_subscriber() {
    let server = server(NEVER).await;
    let response = server.http.head(&server.url).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    // A hook that was called would come before this one in the list.
    drop(server.subscribe("a").await);
    server.until_called("unsubscribe a").await;
    assert_eq!(*server.calls.lock(), ["unsubscribe a"]);
}

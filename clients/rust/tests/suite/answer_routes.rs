//! The routes of answers, in a server of axum.

use axum::{BoxError, Router};
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};
use tinistreamer_client::{Answer, AnswerWriter, Answers, Client, subscribe, types::CreateStream};
use tokio::net::TcpListener;

use crate::common::{API_KEY, Broker, within};

#[derive(Deserialize)]
struct Question {
    words: Vec<String>,
    #[serde(default)]
    waits: bool,
}

async fn produce(question: Question, mut writer: AnswerWriter) -> Result<(), BoxError> {
    for word in question.words {
        writer.write("token", word).await?;
    }
    if question.waits {
        writer.stop_token().cancelled().await;
    }
    Ok(())
}

/// A server with the routes at `/answers`.
struct Server {
    url: String,
    http: reqwest::Client,
}

impl Server {
    async fn start<F, Fut>(answers: Answers<Question, F>) -> Self
    where
        F: Fn(Question, AnswerWriter) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/answers", listener.local_addr().unwrap());
        let app = Router::new().nest_service("/answers", answers);
        tokio::spawn(async move { axum::serve(listener, app).await });
        let http = reqwest::Client::new();
        Self { url, http }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    async fn ask(&self, question: &Value) -> (u16, Value) {
        send(self.request(Method::POST, "").json(question)).await
    }

    async fn get(&self, key: &str) -> (u16, Value) {
        send(self.request(Method::GET, &format!("/{key}"))).await
    }
}

/// The status and the body of a response.
async fn send(request: RequestBuilder) -> (u16, Value) {
    let response = within(request.send()).await.unwrap();
    let status = response.status().as_u16();
    let cache_control = response.headers()["cache-control"].to_str().unwrap();
    assert_eq!(cache_control, "no-store");
    (status, response.json().await.unwrap())
}

async fn text(answer: &Value) -> String {
    let answer: Answer = serde_json::from_value(answer.clone()).unwrap();
    let mut events = subscribe(answer.sse_url, answer.token).start().unwrap();
    within(events.collect_all().text("token")).await.unwrap()
}

#[tokio::test]
async fn a_page_asks_and_comes_back() {
    let broker = Broker::start().await;
    let server = Server::start(broker.client().answers(produce)).await;
    let (status, first) = server.ask(&json!({"words": ["Hello", " world"]})).await;
    assert_eq!(status, 200);
    assert_eq!(text(&first).await, "Hello world");
    let key = first["key"].as_str().unwrap();
    assert!(key.starts_with("answer-") && key.len() == 39, "{key}");
    let (status, second) = server.get(key).await;
    assert_eq!(status, 200);
    assert_eq!(second["key"], key);
    assert_eq!(text(&second).await, "Hello world");
    let (_, other) = server.ask(&json!({"words": ["b"]})).await;
    assert_ne!(other["key"], key);
    assert_eq!(text(&other).await, "b");
}

#[tokio::test]
async fn streams_are_created_as_the_application_says() {
    let broker = Broker::start().await;
    let stream = CreateStream {
        ttl: Some(7),
        ..CreateStream::from("chat one:")
    };
    let server = Server::start(broker.client().answers(produce).stream(stream)).await;
    let (status, answer) = server.ask(&json!({"words": []})).await;
    let key = answer["key"].as_str().unwrap();
    assert!(status == 200 && key.starts_with("chat one:"), "{key}");
    let info = broker.client().stream_info(key).await.unwrap();
    assert!(info.ttl <= 7, "{}", info.ttl);
    let path = key.replace(' ', "%20").replace(':', "%3A");
    assert_eq!(server.get(&path).await.0, 200);
}

#[tokio::test]
async fn other_streams_of_the_broker_stay_closed() {
    let broker = Broker::start().await;
    let server = Server::start(broker.client().answers(produce)).await;
    let unknown = format!("answer-{}", "0".repeat(32));
    for key in ["secret", "answer-1", "answer-", "a/b"] {
        broker.create(key).await;
        assert_eq!(server.get(key).await.0, 404, "{key}");
    }
    let (status, body) = server.get(&unknown).await;
    assert_eq!((status, &body["code"]), (404, &json!("not-found")));
}

#[tokio::test]
async fn requests_that_are_no_questions_are_refused() {
    let broker = Broker::start().await;
    let server = Server::start(broker.client().answers(produce)).await;
    let post = || server.request(Method::POST, "");
    let json = || post().header("content-type", "application/json");
    let large = format!(r#"{{"words": ["{}"]}}"#, "x".repeat(1024 * 1024));
    let refused = format!("/answer-{}", "0".repeat(32));
    for (request, status, code) in [
        (json().body("{"), 400, "invalid-request"),
        (json().body(r#"{"words": 1}"#), 400, "invalid-request"),
        (json().body(large), 413, "body-too-large"),
        (post().body("{}"), 415, "unsupported-media-type"),
        (
            post().header("content-type", "text/plain").body("{}"),
            415,
            "unsupported-media-type",
        ),
        (server.request(Method::GET, ""), 405, "method-not-allowed"),
        (
            server.request(Method::DELETE, &refused),
            405,
            "method-not-allowed",
        ),
    ] {
        let (found, body) = send(request).await;
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{body}");
    }
    assert!(broker.client().list_streams(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn answers_at_once_are_limited() {
    let broker = Broker::start().await;
    let server = Server::start(broker.client().answers(produce).max_running(1)).await;
    let waiting = json!({"words": [], "waits": true});
    let (_, first) = server.ask(&waiting).await;
    let (status, body) = server.ask(&waiting).await;
    assert_eq!((status, &body["code"]), (503, &json!("too-many-answers")));
    let key = first["key"].as_str().unwrap();
    broker.client().send_signal(key, "stop").await.unwrap();
    broker.until_status(key, "cancelled").await;
    let (status, answer) = server.ask(&json!({"words": ["a"]})).await;
    assert_eq!((status, text(&answer).await), (200, "a".to_owned()));
}

#[tokio::test]
async fn a_broker_that_is_gone_is_no_answer_and_its_address_stays_unknown() {
    let client = Client::new("http://127.0.0.1:1", API_KEY).unwrap();
    let server = Server::start(client.answers(produce)).await;
    let (status, body) = server.ask(&json!({"words": []})).await;
    assert_eq!((status, &body["code"]), (503, &json!("broker-unavailable")));
    assert!(!body.to_string().contains("127.0.0.1"), "{body}");
}

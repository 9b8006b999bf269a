//! A server that responds to each request by a function, also to several at a time.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

use super::{
    Response,
    script::{read_request, respond, wait_for_close},
    within,
};

/// A server for requests of a client. Connections serve one request each.
pub(crate) struct Routes {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
    changed: watch::Sender<()>,
    /// Connections that the client has closed without a response.
    closed: Arc<AtomicUsize>,
}

impl Routes {
    /// Starts a server. The function gets the request: headers and body.
    pub(crate) async fn start(answer: impl Fn(&str) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let routes = Self {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            requests: Arc::default(),
            changed: watch::Sender::new(()),
            closed: Arc::default(),
        };
        let (requests, changed) = (Arc::clone(&routes.requests), routes.changed.clone());
        let (closed, answer) = (Arc::clone(&routes.closed), Arc::new(answer));
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.expect("a connection");
                let (requests, changed) = (Arc::clone(&requests), changed.clone());
                let (closed, answer) = (Arc::clone(&closed), Arc::clone(&answer));
                tokio::spawn(async move {
                    let request = read_request(&mut socket).await;
                    let response = answer(&request);
                    let push = |request| requests.lock().map(|mut all| all.push(request));
                    push(request).expect("no panic");
                    changed.send_replace(());
                    if let Some(socket) = respond(socket, response).await {
                        wait_for_close(socket).await;
                        closed.fetch_add(1, Ordering::Relaxed);
                        changed.send_replace(());
                    }
                });
            }
        });
        routes
    }

    /// The requests so far whose first line contains this text.
    pub(crate) fn requests(&self, text: &str) -> Vec<String> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let has_text = |request: &&String| request.lines().next().unwrap_or("").contains(text);
        requests.iter().filter(has_text).cloned().collect()
    }

    /// The JSON bodies of these requests.
    pub(crate) fn bodies(&self, text: &str) -> Vec<Value> {
        let body = |request: &String| {
            let (_, body) = request.split_once("\r\n\r\n").expect("a body");
            serde_json::from_str(body).expect("JSON")
        };
        self.requests(text).iter().map(body).collect()
    }

    /// Waits until there are so many of these requests.
    pub(crate) async fn until_requests(&self, text: &str, count: usize) {
        self.until(|| self.requests(text).len() >= count).await;
    }

    /// Waits until the client has closed so many connections that were kept open.
    pub(crate) async fn until_closed(&self, count: usize) {
        self.until(|| self.closed.load(Ordering::Relaxed) >= count)
            .await;
    }

    async fn until(&self, done: impl Fn() -> bool) {
        let mut changed = self.changed.subscribe();
        within(async {
            while !done() {
                changed.changed().await.expect("the server runs");
            }
        })
        .await;
    }
}

/// What a healthy broker answers to a writer. It has stored all events of an upload.
pub(crate) fn healthy(request: &str) -> Response {
    let path = request.split([' ', '?']).nth(1).expect("a path");
    match path {
        "/api/event/add/json-stream" => {
            let (_, body) = request.split_once("\r\n\r\n").expect("a body");
            let events = body.lines().count();
            Response::json(&json!({
                "ids": [], "num_events": events, "num_errors": 0, "errors": [], "last_id": "5-1",
            }))
        }
        "/api/stream/renew" => Response::json(&json!({
            "lease_expires_at": null, "stall_expires_at": null, "stop_expires_at": null,
        })),
        "/api/stream/signals" => Response::ThenSilence(String::new()),
        _ => Response::json(&json!({"status": "ended"})),
    }
}

/// What a broker of an earlier version answers, which has neither leases nor signals.
pub(crate) fn old_broker(request: &str) -> Response {
    if request.contains("/api/stream/renew") || request.contains("/api/stream/signals") {
        Response::error(404, "not-found", "")
    } else {
        healthy(request)
    }
}

/// A page of signals. Each is a pair of a number and a name.
pub(crate) fn signals(status: &str, signals: &[(u64, &str)]) -> Response {
    let time = "2026-01-01T00:00:00.000Z";
    let signal =
        |(seq, name): &(u64, &str)| json!({"seq": seq, "name": name, "by": "user-7", "time": time});
    Response::json(&json!({
        "generation": "0", "stream_status": status,
        "signals": signals.iter().map(signal).collect::<Vec<_>>(),
    }))
}

/// The error of a broker about a stream that is finished, or that does not exist.
pub(crate) fn no_active_stream(status: Option<&str>) -> Response {
    let mut body = json!({"code": "no-active-stream", "message": "As the script has it"});
    if let Some(status) = status {
        body["stream_status"] = status.into();
    }
    let body = body.to_string();
    Response::Bytes(format!(
        "HTTP/1.1 404 X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

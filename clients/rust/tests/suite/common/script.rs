//! A server that responds according to a script.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::sleep,
};

/// The response on one connection.
pub(crate) enum Response {
    /// These bytes. Then the server closes the connection.
    Bytes(String),
    /// These bytes, and then nothing. The connection stays open until the client closes it.
    ThenSilence(String),
    /// Nothing for a while, and then these bytes.
    Later(Duration, String),
}

impl Response {
    /// Server-sent events. Then the server closes the connection.
    pub(crate) fn events(events: &str) -> Self {
        Self::Bytes(head("text/event-stream") + events)
    }

    /// Lines of JSON. Then the server closes the connection.
    pub(crate) fn lines(lines: &str) -> Self {
        Self::Bytes(head("application/x-ndjson") + lines)
    }

    /// A response of JSON.
    pub(crate) fn json(body: &Value) -> Self {
        Self::Bytes(json(body))
    }

    /// A response of JSON, after a delay.
    pub(crate) fn json_later(time: Duration, body: &Value) -> Self {
        Self::Later(time, json(body))
    }

    /// Server-sent events. Then the connection is silent.
    pub(crate) fn events_then_silence(events: &str) -> Self {
        Self::ThenSilence(head("text/event-stream") + events)
    }

    /// An error like the broker's.
    pub(crate) fn error(status: u16, code: &str, headers: &str) -> Self {
        let body = format!(r#"{{"code": "{code}", "message": "As the script has it"}}"#);
        Self::Bytes(format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            body.len()
        ))
    }

    /// A response without a body.
    pub(crate) fn status(status: u16) -> Self {
        Self::Bytes(format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        ))
    }
}

fn json(body: &Value) -> String {
    format!("{}{body}", head("application/json"))
}

fn head(content_type: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n")
}

/// Responds to one connection after another. After the end of the script it refuses connections.
pub(crate) struct Script {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
    closed: mpsc::UnboundedReceiver<()>,
}

impl Script {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Response>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (closing, closed) = mpsc::unbounded_channel();
        let answers: Vec<Response> = answers.into_iter().collect();
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.expect("a connection");
                let request = read_request(&mut socket).await;
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(request);
                let closing = closing.clone();
                if let Some(socket) = respond(socket, answer).await {
                    tokio::spawn(async move {
                        wait_for_close(socket).await;
                        let _ = closing.send(());
                    });
                }
            }
        });
        Self {
            url,
            requests,
            closed,
        }
    }

    /// The client URL of one stream over SSE.
    pub(crate) fn sse_url(&self) -> String {
        self.client_url("sse?key=k")
    }

    /// The client URL with another route.
    pub(crate) fn client_url(&self, route: &str) -> String {
        format!("{}/api/client/{route}", self.url)
    }

    /// The requests so far: headers and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The query of each request so far, and its `Last-Event-ID`.
    pub(crate) fn queries(&self) -> Vec<(String, Option<String>)> {
        let read = |request: &String| {
            let (line, headers) = request.split_once("\r\n").expect("a request");
            let (_, query) = line
                .trim_end_matches(" HTTP/1.1")
                .split_once('?')
                .expect("a query");
            let id = headers
                .lines()
                .find_map(|header| header.strip_prefix("last-event-id: "));
            (query.to_owned(), id.map(str::to_owned))
        };
        self.requests().iter().map(read).collect()
    }

    /// Waits until the client has closed a connection that was kept open.
    pub(crate) async fn closed(&mut self) {
        super::within(self.closed.recv())
            .await
            .expect("the client closes it");
    }
}

/// Responds on a connection. Returns the connection if it stays open.
pub(super) async fn respond(mut socket: TcpStream, response: Response) -> Option<TcpStream> {
    let (bytes, stays_open) = match response {
        Response::Later(time, bytes) => {
            sleep(time).await;
            (bytes, false)
        }
        Response::Bytes(bytes) => (bytes, false),
        Response::ThenSilence(bytes) => (bytes, true),
    };
    // The client may have left.
    let _ = socket.write_all(bytes.as_bytes()).await;
    stays_open.then_some(socket)
}

/// Waits until the client has closed a connection. It sends nothing more, so that a read returns
/// then.
pub(super) async fn wait_for_close(mut socket: TcpStream) {
    let _ = socket.read(&mut [0]).await;
}

/// Reads the headers of a request, and as much of the body as they announce.
pub(super) async fn read_request(socket: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !is_complete(&request) {
        let read = socket.read_buf(&mut request).await.expect("bytes");
        assert_ne!(read, 0, "a request that breaks off");
    }
    String::from_utf8(request).expect("text")
}

fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let announced = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    body.len() >= announced.unwrap_or(0)
}

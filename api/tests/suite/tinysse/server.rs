//! A server with tinysse's interface as a process, and its subscribers.

use std::{pin::Pin, process::Stdio};

use futures::{Stream, StreamExt};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::Child,
};

use crate::common::{
    broker::{answer, program},
    http_client, redis, within,
};

/// A running server. Killed when dropped.
pub(super) struct Server {
    pub(super) url: String,
    pub(super) http: Client,
    process: Child,
}

impl Server {
    /// Starts a server on a free port.
    pub(super) async fn start(arguments: &[&str]) -> Self {
        Self::start_in(arguments, &[]).await
    }

    /// The same with these variables.
    pub(super) async fn start_in(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let arguments = [&["--listen", "127.0.0.1:0"], arguments].concat();
        Self::run(&arguments, environment).await
    }

    /// Runs `tinistreamer tinysse` with these arguments and variables.
    pub(super) async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut process = program()
            .arg("tinysse")
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let Some(line) = within(lines.next_line()).await.unwrap() else {
            let mut log = String::new();
            let stderr = process.stderr.as_mut().unwrap();
            within(stderr.read_to_string(&mut log)).await.unwrap();
            panic!("the server starts: {log}");
        };
        let mut words = line.split_whitespace();
        let url = words.find(|word| word.starts_with("http://")).unwrap();
        Self {
            url: url.to_owned(),
            http: http_client(),
            process,
        }
    }

    /// A publish request with a form.
    pub(super) fn form(&self, form: &str) -> RequestBuilder {
        self.http
            .post(format!("{}/sse", self.url))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.to_owned())
    }

    /// A publish request with JSON.
    pub(super) fn json(&self, message: &Value) -> RequestBuilder {
        self.http
            .post(format!("{}/sse", self.url))
            .header("Content-Type", "application/json")
            .body(message.to_string())
    }

    /// Publishes a message. Returns `queued` and `subscribers`.
    pub(super) async fn publish(&self, message: &Value) -> (u64, u64) {
        let (status, body) = answer(self.json(message)).await;
        assert_eq!(status, 202, "{body}");
        let members: Vec<&str> = body.as_object().unwrap().keys().map(|key| &**key).collect();
        assert_eq!(members, ["queued", "subscribers"]);
        let count = |name: &str| body[name].as_u64().unwrap();
        (count("queued"), count("subscribers"))
    }

    /// The response of `GET`, once it has begun.
    pub(super) async fn get(&self, path: &str) -> Response {
        let request = self.http.get(format!("{}{path}", self.url));
        within(request.send()).await.unwrap()
    }

    /// A subscriber that has read `: ok`.
    pub(super) async fn subscribe(&self) -> Subscriber {
        let mut subscriber = Subscriber::new(self.get("/sse").await);
        assert_eq!(subscriber.next().await.as_deref(), Some(": ok"));
        subscriber
    }

    /// Sends a signal and waits for the exit. Returns the exit code and the log.
    pub(super) async fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        let mut log = String::new();
        let mut stderr = self.process.stderr.take().unwrap();
        within(stderr.read_to_string(&mut log)).await.unwrap();
        (within(self.process.wait()).await.unwrap().code(), log)
    }

    pub(super) fn signal(&self, signal: &str) {
        redis::signal(self.process.id().unwrap(), signal);
    }
}

/// Runs a command that must fail. Returns its exit code and what it wrote.
pub(super) async fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String) {
    let output = program()
        .arg("tinysse")
        .args(arguments)
        .envs(environment.iter().copied())
        .output();
    let output = within(output).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), text)
}

/// A subscriber that reads the bytes as they are.
pub(super) struct Subscriber {
    body: Pin<Box<dyn Stream<Item = Vec<u8>> + Send>>,
    text: String,
}

impl Subscriber {
    pub(super) fn new(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        // A connection that breaks ends the body, as for a browser.
        let pieces = response.bytes_stream().take_while(|piece| {
            let goes_on = piece.is_ok();
            std::future::ready(goes_on)
        });
        Self {
            body: Box::pin(pieces.map(|piece| piece.unwrap().to_vec())),
            text: String::new(),
        }
    }

    /// The next block, without the empty line at its end. Skips empty comments, which only probe
    /// the connection. None at the end.
    pub(super) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block = self.text.drain(..end + 2).as_str()[..end].to_owned();
                if block == ":" {
                    continue;
                }
                return Some(block);
            }
            let piece = within(self.body.next()).await?;
            // Messages of these tests are ASCII, so that no piece ends within a character.
            self.text.push_str(str::from_utf8(&piece).unwrap());
        }
    }

    /// The blocks until the server closes the connection.
    pub(super) async fn rest(mut self) -> Vec<String> {
        let mut blocks = Vec::new();
        while let Some(block) = self.next().await {
            blocks.push(block);
        }
        assert_eq!(self.text, "", "no block is cut off");
        blocks
    }
}

//! A broker process, and requests to it as a backend makes them.

use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
};

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};

use super::{cluster::Cluster, metrics::Metrics, redis::Redis, sse::Sse, within, ws::Ws};

pub(crate) const API_KEY: &str = "test-api-key-0123456789";
pub(crate) const SECRET_KEY: &str =
    "0f0e0d0c0b0a09080706050403020100f0e0d0c0b0a090807060504030201000";

/// How much resident memory varies for other reasons than the tested one, in KiB.
pub(crate) const NOISE_KB: u64 = 30_000;

/// The store and the delivery of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Exclusive,
    Shared,
    /// Shared delivery over a Redis Cluster.
    Cluster,
    /// Exclusive delivery over a Redis Cluster.
    ExclusiveCluster,
}

/// The settings of a broker before its start.
pub(crate) struct Setup {
    pub(crate) kind: Kind,
    /// The path of the program. It may be another version.
    pub(crate) program: String,
    pub(crate) environment: BTreeMap<String, String>,
    /// The limit on open files and sockets, if it is below that of this process.
    pub(crate) open_files: Option<u32>,
}

/// A running broker. Killed when dropped.
pub(crate) struct Broker {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    /// The URL of the metrics.
    pub(crate) metrics_url: String,
    pub(crate) http: Client,
    pub(crate) process: Child,
    program: String,
    pub(crate) environment: BTreeMap<String, String>,
}

/// A broker of this kind with nearly all settings at their defaults.
pub(crate) fn broker(kind: Kind) -> Setup {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let prefix = format!(
        "test-{}-{}:",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let store = match kind {
        Kind::Memory => "memory:".to_owned(),
        Kind::Exclusive | Kind::Shared => Redis::shared().url(),
        Kind::Cluster | Kind::ExclusiveCluster => Cluster::shared().url(),
    };
    let delivery = if matches!(kind, Kind::Shared | Kind::Cluster) {
        "shared"
    } else {
        "exclusive"
    };
    let set = [
        ("API_KEY", API_KEY),
        ("SECRET_KEY", SECRET_KEY),
        ("PORT", "0"),
        ("REDIS_URL", &store),
        ("KEY_PREFIX", &prefix),
        ("DELIVERY", delivery),
        // A busy machine may not run Redis for seconds.
        ("REDIS_TIMEOUT", "20"),
    ];
    let environment = set
        .into_iter()
        .map(|(name, value)| (format!("STREAMER_{name}"), value.to_owned()))
        .collect();
    Setup {
        kind,
        program: PROGRAM.to_owned(),
        environment,
        open_files: None,
    }
}

/// The path of the program that was built for this test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tinistreamer");

/// The program that was built for this test.
pub(crate) fn program() -> Command {
    alone(Command::new(PROGRAM))
}

/// A program with a limit on open files and sockets. `limit` is the option of `ulimit`: `-n`, or
/// `-Sn` for one that the program may raise.
pub(crate) fn limited(program: &str, limit: &str, open_files: u32) -> Command {
    let mut command = Command::new("sh");
    let script = r#"ulimit "$0" "$1"; shift; exec "$@""#;
    command.args(["-c", script, limit, &open_files.to_string(), program]);
    alone(command)
}

/// Clears the environment that the command would inherit.
fn alone(mut command: Command) -> Command {
    command
        .env_clear()
        .env("ROCKET_PROFILE", "release")
        .current_dir("/")
        .kill_on_drop(true);
    command
}

impl Setup {
    /// Sets `STREAMER_{name}`.
    pub(crate) fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.environment
            .insert(format!("STREAMER_{name}"), value.to_string());
        self
    }

    /// Sets a variable without the prefix `STREAMER_`.
    #[cfg(feature = "otlp")]
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Trusts this certificate authority in place of the system's.
    pub(crate) fn trust(mut self, file: &str) -> Self {
        self.environment
            .insert("SSL_CERT_FILE".to_owned(), file.to_owned());
        self
    }

    pub(crate) async fn start(self) -> Broker {
        let mut command = self.open_files.map_or_else(
            || alone(Command::new(&self.program)),
            |open_files| limited(&self.program, "-n", open_files),
        );
        let mut process = command
            .envs(&self.environment)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the broker runs");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let first_line = within(lines.next_line()).await.expect("text");
        let url = first_line.as_deref().and_then(|line| {
            // Nothing else prints.
            assert!(
                line.starts_with("tinistreamer "),
                "the first line is {line:?}"
            );
            line.split_whitespace()
                .find(|word| word.starts_with("http://"))
        });
        let Some(url) = url else {
            let mut log = String::new();
            let _ = process
                .stderr
                .take()
                .expect("a pipe")
                .read_to_string(&mut log)
                .await;
            panic!("the broker starts: {log}");
        };
        let elsewhere = self
            .environment
            .get("STREAMER_METRICS")
            .is_some_and(|at| at.contains(':'));
        let metrics_url = if elsewhere {
            let line = within(lines.next_line())
                .await
                .expect("text")
                .expect("a second line");
            line.split_whitespace()
                .find(|word| word.starts_with("http://"))
                .expect("a URL")
                .to_owned()
        } else {
            format!("{url}/metrics")
        };
        let Self {
            kind,
            program,
            environment,
            ..
        } = self;
        Broker {
            kind,
            url: url.to_owned(),
            metrics_url,
            http: super::http_client(),
            process,
            program,
            environment,
        }
    }
}

impl Broker {
    /// Another node on the same store.
    pub(crate) async fn another_node(&self) -> Self {
        self.setup().start().await
    }

    /// The settings that this node was started with.
    pub(crate) fn setup(&self) -> Setup {
        Setup {
            kind: self.kind,
            program: self.program.clone(),
            environment: self.environment.clone(),
            open_files: None,
        }
    }

    /// The prefix of its Redis keys.
    pub(crate) fn prefix(&self) -> &str {
        &self.environment["STREAMER_KEY_PREFIX"]
    }

    /// A request with the API key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.url))
            .header("X-API-KEY", API_KEY)
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        answer(self.request(Method::POST, path).body(body.to_string())).await
    }

    /// Creates a stream and returns its token.
    pub(crate) async fn create(&self, key: &str) -> String {
        self.create_with(json!({ "key": key })).await
    }

    pub(crate) async fn create_with(&self, body: Value) -> String {
        let (status, access) = self.post("/api/stream/", body).await;
        assert_eq!(status, 200, "{access}");
        access["token"].as_str().expect("a token").to_owned()
    }

    /// Writes `count` events named `n`. Their data are the numbers from `from` on.
    pub(crate) async fn add_events(&self, key: &str, from: u64, count: u64) -> Vec<String> {
        let events: Vec<_> = (from..from + count)
            .map(|n| json!({"event": "n", "data": n.to_string()}))
            .collect();
        self.add(key, json!(events)).await
    }

    pub(crate) async fn add(&self, key: &str, events: Value) -> Vec<String> {
        let (status, added) = self
            .post("/api/event/add", json!({"key": key, "events": events}))
            .await;
        assert_eq!(status, 200, "{added}");
        serde_json::from_value(added["ids"].clone()).expect("ids")
    }

    pub(crate) async fn end(&self, key: &str) {
        let (status, answer) = self.post("/api/stream/end", json!({ "key": key })).await;
        assert_eq!((status.as_u16(), answer), (200, json!({"status": "ended"})));
    }

    pub(crate) fn subscribe_url(
        &self,
        transport: &str,
        key: &str,
        token: &str,
        after: Option<&str>,
    ) -> String {
        let base = if transport == "ws" {
            self.url.replacen("http", "ws", 1)
        } else {
            self.url.clone()
        };
        let after = after
            .map(|id| format!("&last_event_id={id}"))
            .unwrap_or_default();
        let key = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC);
        format!("{base}/api/client/{transport}?key={key}&token={token}{after}")
    }

    /// Follows a stream over SSE.
    pub(crate) async fn sse(&self, key: &str, token: &str, after: Option<&str>) -> Sse {
        let response = self
            .http
            .get(self.subscribe_url("sse", key, token, after))
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), 200, "{:?}", response.text().await);
        Sse::new(response)
    }

    /// Follows a stream over WebSocket.
    pub(crate) async fn ws(&self, key: &str, token: &str, after: Option<&str>) -> Ws {
        Ws::connect(&self.subscribe_url("ws", key, token, after), &[])
            .await
            .expect("an upgrade")
    }

    /// The current metrics.
    pub(crate) async fn metrics(&self) -> Metrics {
        let response = within(self.http.get(&self.metrics_url).send())
            .await
            .expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()["content-type"],
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        Metrics::read(&response.text().await.expect("text"))
    }

    pub(crate) async fn permits_in_use(&self) -> u64 {
        self.get("/api/info").await.1["redis"]["streaming_in_use"]
            .as_u64()
            .expect("a number")
    }

    /// The status and the text of `/api/ready`.
    pub(crate) async fn ready(&self) -> (u16, String) {
        let response = within(self.http.get(format!("{}/api/ready", self.url)).send())
            .await
            .expect("an answer");
        let status = response.status().as_u16();
        (status, response.text().await.expect("text"))
    }

    /// Sends a signal and waits for the exit. Returns the exit code and the log.
    pub(crate) async fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal).await;
        let mut log = String::new();
        let mut stderr = self.process.stderr.take().expect("a pipe");
        within(stderr.read_to_string(&mut log)).await.expect("text");
        (
            within(self.process.wait()).await.expect("an exit").code(),
            log,
        )
    }

    /// The broker's resident memory in KiB.
    pub(crate) fn resident_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!(
            "/proc/{}/status",
            self.process.id().expect("it runs")
        ))
        .expect("its status");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .expect("its memory");
        line.split_whitespace()
            .nth(1)
            .and_then(|number| number.parse().ok())
            .expect("a number")
    }

    pub(crate) async fn signal(&self, signal: &str) {
        let pid = self.process.id().expect("it runs").to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .await
                .expect("kill runs")
                .success()
        );
    }
}

/// The status and the JSON body.
pub(crate) async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = within(request.send()).await.expect("an answer");
    let status = response.status();
    let text = response.text().await.expect("text");
    (
        status,
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("JSON with {status}, not {text:?}")),
    )
}

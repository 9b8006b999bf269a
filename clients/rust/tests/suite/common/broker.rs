//! A broker process with the embedded store.

use std::{env, path::PathBuf, process::Stdio};

use tinistreamer_client::{
    Client,
    types::{Access, CreateStream, Permission},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
};

use super::{until, within};

pub(crate) const API_KEY: &str = "test-api-key-0123456789";
const SECRET_KEY: &str = "0f0e0d0c0b0a09080706050403020100f0e0d0c0b0a090807060504030201000";

/// A running broker. Killed when dropped.
pub(crate) struct Broker {
    pub(crate) url: String,
    _process: Child,
}

impl Broker {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a broker with further settings, `STREAMER_{name}`.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        // Between the choice of a port and its use, another process may take it.
        for _ in 0..5 {
            if let Some(broker) = Self::try_start(settings).await {
                return broker;
            }
        }
        panic!("the broker greets when it listens");
    }

    /// None: the broker ended before it listened.
    async fn try_start(settings: &[(&str, &str)]) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port")
            .local_addr()
            .expect("an address")
            .port();
        let url = format!("http://127.0.0.1:{port}");
        let port = port.to_string();
        let common = [
            ("API_KEY", API_KEY),
            ("SECRET_KEY", SECRET_KEY),
            ("REDIS_URL", "memory:"),
            ("PORT", &port),
            ("SERVER_ADDRESS", &url),
        ];
        let settings = common
            .iter()
            .chain(settings)
            .map(|(name, value)| (format!("STREAMER_{name}"), *value));
        let mut command = Command::new(program());
        command
            .env_clear()
            .env("ROCKET_PROFILE", "release")
            .current_dir("/")
            .kill_on_drop(true)
            .envs(settings);
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the broker runs");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        within(lines.next_line()).await.expect("text")?;
        Some(Self {
            url,
            _process: process,
        })
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url, API_KEY).expect("a client")
    }

    /// Creates a stream, with a token that permits signals of `user-7`.
    pub(crate) async fn create_for_signals(&self, key: &str) -> Access {
        let stream = CreateStream {
            permissions: Some(vec![Permission::Read, Permission::Signal]),
            subject: Some("user-7".to_owned()),
            ..CreateStream::from(key)
        };
        let access = self.client().create_stream(stream).await;
        access.expect("a stream")
    }

    /// The events of a stream: names and data.
    pub(crate) async fn stored(&self, key: &str) -> Vec<(String, String)> {
        let events = self.client().stream_events(key).await.expect("events");
        events
            .into_iter()
            .map(|event| (event.event, event.data.unwrap_or_default()))
            .collect()
    }

    /// The status of a stream.
    pub(crate) async fn status(&self, key: &str) -> String {
        self.client().stream_info(key).await.expect("info").status
    }

    /// Waits until a stream has this status.
    pub(crate) async fn until_status(&self, key: &str, status: &str) {
        until(|| async { self.status(key).await == status }).await;
    }

    /// Creates a stream.
    pub(crate) async fn create(&self, key: &str) -> Access {
        self.client().create_stream(key).await.expect("a stream")
    }
}

fn program() -> PathBuf {
    let built = || {
        PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../target/debug/tinistreamer"
        ))
    };
    env::var_os("TINISTREAMER_BIN").map_or_else(built, PathBuf::from)
}

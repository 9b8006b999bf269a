//! What the library logs.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tinistreamer_client::{Client, subscribe};
use tracing::subscriber::{DefaultGuard, set_default};

use crate::common::{
    API_KEY, END, Response, Routes, START, Script, all, healthy, old_broker, within,
};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Takes the log of this thread, on which all tasks of a test run.
    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, set_default(subscriber))
    }

    /// The lines with this level, of the library.
    fn lines(&self, level: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let is_ours = |line: &&str| line.contains(&format!("{level} tinistreamer: "));
        text.lines().filter(is_ours).map(str::to_owned).collect()
    }

    /// No line of the library has a secret.
    fn assert_no_secrets(&self) {
        for level in ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"] {
            for line in self.lines(level) {
                for secret in [API_KEY, "secret", "key=", "127.0.0.1"] {
                    assert!(!line.contains(secret), "{line}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_reconnect_is_logged_without_secrets() {
    let (log, _guard) = Log::start();
    let script = Script::start([
        Response::events(START),
        Response::error(503, "store-unavailable", "retry-after: 0\r\n"),
        Response::events(&["id: 5-1\nevent: token\ndata: secret\n\n", END].concat()),
    ])
    .await;
    let url = script.client_url("sse?key=secret-key");
    all(&mut subscribe(url, "secret-token").start().unwrap())
        .await
        .unwrap();
    let lines = log.lines("INFO");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].contains("store-unavailable (503)"), "{lines:?}");
    assert!(!log.lines("DEBUG").is_empty());
    log.assert_no_secrets();
}

#[tokio::test]
async fn a_lost_renewal_and_lost_signals_are_logged_without_secrets() {
    let (log, _guard) = Log::start();
    let routes = Routes::start(|request| {
        if request.contains("/api/stream/renew") {
            Response::error(503, "store-unavailable", "")
        } else {
            old_broker(request)
        }
    })
    .await;
    let client = Client::new(&routes.url, API_KEY).unwrap();
    let mut writer = client.publish("secret-key").start().unwrap();
    let token = writer.stop_token();
    routes.until_requests("/api/stream/renew", 1).await;
    routes.until_requests("/api/stream/signals", 1).await;
    writer.write("token", "secret").await.unwrap();
    within(writer.flush()).await.unwrap();
    within(async {
        while log.lines("WARN").len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let lines = log.lines("WARN").join("\n");
    assert!(lines.contains("the lease was not renewed: store-unavailable (503)"));
    assert!(lines.contains("the signals can't be read, and the writer goes on: not-found (404)"));
    within(writer.finish()).await.unwrap();
    assert!(!token.is_cancelled());
    log.assert_no_secrets();
}

#[tokio::test]
async fn a_writer_that_fails_is_logged_without_secrets() {
    let (log, _guard) = Log::start();
    let routes = Routes::start(|request| {
        if request.contains("/api/event/add") {
            Response::error(409, "sequence-gap", "")
        } else {
            healthy(request)
        }
    })
    .await;
    let client = Client::new(&routes.url, API_KEY).unwrap();
    let mut writer = client.publish("secret-key").start().unwrap();
    writer.write("token", "secret").await.unwrap();
    within(writer.flush()).await.unwrap_err();
    let lines = log.lines("WARN").join("\n");
    assert!(
        lines.contains("the writer has failed: sequence-gap (409)"),
        "{lines}"
    );
    log.assert_no_secrets();
}

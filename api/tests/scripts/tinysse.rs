//! `tinistreamer tinysse` with scripts: real Lua behind tinysse's interface.

mod broker;
mod failures;
mod hooks;
mod nodes;
mod refusals;
#[path = "../suite/tinysse/server.rs"]
#[allow(dead_code, reason = "the suite needs the rest of it")]
mod server;
mod tour;

use std::{ops::Deref, path::PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use self::server::{Server, Subscriber};
use crate::common::{broker::answer, until};

/// A server with a script of its own.
struct Scripted {
    server: Server,
    script: PathBuf,
    _folder: TempDir,
}

impl Deref for Scripted {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// A script in a folder of its own.
fn file(script: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hooks.lua");
    std::fs::write(&path, script).unwrap();
    (folder, path)
}

/// A server that runs this script.
async fn scripted(script: &str) -> Scripted {
    scripted_with(script, &[], &[]).await
}

/// The same with more options and variables.
async fn scripted_with(script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Scripted {
    let (folder, path) = file(script);
    let arguments = [&["--script", path.to_str().unwrap()], arguments].concat();
    // A busy machine may not run the server for seconds.
    let environment = [&[("STREAMER_SCRIPT_TIMEOUT", "30")], environment].concat();
    Scripted {
        server: Server::start_in(&arguments, &environment).await,
        script: path,
        _folder: folder,
    }
}

impl Scripted {
    /// A subscriber with this query that has read `: ok`.
    async fn follow(&self, query: &str) -> Subscriber {
        let mut subscriber = Subscriber::new(self.get(&format!("/sse?{query}")).await);
        assert_eq!(subscriber.next().await.as_deref(), Some(": ok"));
        subscriber
    }

    /// Publishes a message: the status and the body of the answer.
    async fn send(&self, message: Value) -> (u16, Value) {
        let (status, body) = answer(self.json(&message)).await;
        (status.as_u16(), body)
    }

    /// Waits until the script accepts this event, which it does when something has happened.
    async fn until_it_accepts(&self, event: &str) {
        until(&format!("{event} is accepted"), || async {
            // What a subscriber that has left is sent shows that it has left.
            assert_eq!(self.send(json!({ "data": "wake" })).await.0, 202);
            self.send(json!({ "event": event })).await.0 == 202
        })
        .await;
    }
}

/// The value of a line of a frame.
fn field<'a>(frame: &'a str, name: &str) -> Option<&'a str> {
    let line = frame.lines().find(|line| line.starts_with(name))?;
    line.strip_prefix(name)
}

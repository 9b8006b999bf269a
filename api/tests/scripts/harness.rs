//! A broker with a script.

use std::{ops::Deref, path::PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Broker, Kind, broker, broker::Setup, until};

/// Lets a test look into a script: an event `ask` with the data `NAME` is stored with the text of
/// the global variable `NAME`.
pub(crate) const ASK: &str = r#"
local function asked(pub)
  if pub.msg.event == "ask" then
    pub.msg.data = tostring(_G[pub.msg.data])
    return true
  end
end
"#;

/// A broker with a script of its own.
pub(crate) struct Scripted {
    pub(crate) broker: Broker,
    pub(crate) script: PathBuf,
    folder: TempDir,
}

impl Deref for Scripted {
    type Target = Broker;

    fn deref(&self) -> &Broker {
        &self.broker
    }
}

/// A script in a folder of its own, and the settings of a broker that runs it.
pub(crate) fn setup(kind: Kind, script: &str) -> (Setup, TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hooks.lua");
    std::fs::write(&file, format!("{ASK}\n{script}")).unwrap();
    // A busy machine may not run the broker for seconds.
    let setup = broker(kind)
        .set("SCRIPT", file.display())
        .set("SCRIPT_TIMEOUT", 30);
    (setup, folder, file)
}

/// A broker that runs this script.
pub(crate) async fn scripted(kind: Kind, script: &str) -> Scripted {
    scripted_with(kind, script, &[]).await
}

/// The same with more settings.
pub(crate) async fn scripted_with(kind: Kind, script: &str, set: &[(&str, &str)]) -> Scripted {
    let (setup, folder, script) = setup(kind, script);
    let setup = set
        .iter()
        .fold(setup, |setup, (name, value)| setup.set(name, value));
    Scripted {
        broker: setup.start().await,
        script,
        folder,
    }
}

impl Scripted {
    /// A broker that runs the script in this folder.
    pub(crate) fn of(broker: Broker, script: PathBuf, folder: TempDir) -> Self {
        Self {
            broker,
            script,
            folder,
        }
    }

    /// The text of a global variable of the script. Its `publish` must call `asked`.
    pub(crate) async fn ask(&self, name: &str) -> String {
        let events = json!([{ "event": "ask", "data": name }]);
        let create = json!({ "key": "ask", "if_exists": "attach" });
        let (status, answer) = self.post("/api/stream/", create).await;
        assert_eq!(status, 200, "{answer}");
        self.add("ask", events).await;
        let (_, events) = self.get("/api/stream/events?key=ask").await;
        let last = events.as_array().unwrap().last().unwrap();
        last["data"].as_str().unwrap().to_owned()
    }

    /// Waits until a global variable of the script has this text.
    pub(crate) async fn until_it_says(&self, name: &str, text: &str) {
        until(&format!("{name} is {text}"), || async {
            self.ask(name).await == text
        })
        .await;
    }

    /// Writes another script, for a reload.
    pub(crate) fn write(&self, script: &str) {
        std::fs::write(&self.script, format!("{ASK}\n{script}")).unwrap();
    }

    /// A file beside the script.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The events of a stream that users wrote: name and data.
    pub(crate) async fn events(&self, key: &str) -> Vec<(String, Value)> {
        let (_, events) = self.get(&format!("/api/stream/events?key={key}")).await;
        let events = events.as_array().unwrap().iter();
        events
            .filter(|event| event["event"] != "start")
            .map(|event| {
                (
                    event["event"].as_str().unwrap().to_owned(),
                    event["data"].clone(),
                )
            })
            .collect()
    }

    /// A batch of one event: status and answer.
    pub(crate) async fn publish(&self, key: &str, event: &str, data: Value) -> (u16, Value) {
        let events = json!([{ "event": event, "data": data }]);
        let batch = json!({ "key": key, "events": events });
        let (status, answer) = self.post("/api/event/add", batch).await;
        (status.as_u16(), answer)
    }
}

//! What a script may do at the steps of an event's way: the one seam between the broker and the
//! script engine.
//!
//! The broker knows these traits only. Without a script there are no hooks, and no step costs
//! anything. Tables of the script are JSON objects here; `docs/guides/scripts.md` lists their
//! members.

use std::{sync::Arc, time::Duration};

use rocket::async_trait;
use serde_json::Value;

/// The hooks of the node, shared by all requests.
pub type SharedHooks = Arc<dyn Hooks>;

/// A function that a script may define.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Once, before the server accepts connections.
    Startup,
    /// Periodically.
    Tick,
    /// For each event, before it is stored.
    Publish,
    /// For each new subscriber.
    Subscribe,
    /// For each new subscriber that resumes, after `subscribe`.
    Catchup,
    /// For each event and subscriber, before it is delivered.
    Message,
    /// For each subscriber that has left.
    Unsubscribe,
    /// For each subscriber whose connection the server closes because of its age or its idle time,
    /// before `unsubscribe`.
    Timeout,
}

impl Hook {
    /// The name of the function in a script.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Tick => "tick",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Catchup => "catchup",
            Self::Message => "message",
            Self::Unsubscribe => "unsubscribe",
            Self::Timeout => "timeout",
        }
    }
}

/// A hook failed: the script raised an error, or the hook reached a limit.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the hook {} failed: {message}", hook.name())]
pub struct HookError {
    /// The hook.
    pub hook: Hook,
    /// What happened, with file and line where they are known. It goes into the log, never into a
    /// response: it may quote data.
    pub message: String,
}

/// The hooks of a script. Each method waits until the hook has returned, or failed. Cancel safe: a
/// caller that gives up does not stop the hook.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Whether the script defines this hook. The answer may change when the script is loaded anew.
    fn defines(&self, hook: Hook) -> bool;

    /// An event is about to be stored. `publication` has the members `req` and `msg`, and on the
    /// broker's own routes `key`. Returns it as the script changed it; none where the script
    /// refuses it.
    async fn publish(&self, publication: Value) -> Result<Option<Value>, HookError>;

    /// A subscriber is about to be admitted. `subscriber` has the member `req`, and on the broker's
    /// own routes also `key`, `claims`, `client_name` and `tags`. None where the script refuses
    /// it.
    async fn subscribe(&self, subscriber: Value) -> Result<Option<SharedSubscriber>, HookError>;
}

/// A subscriber as the script knows it, shared by the parts of one connection.
pub type SharedSubscriber = Arc<dyn ScriptedSubscriber>;

/// A subscriber as the script knows it: the table that `subscribe` returned. Dropping the last
/// reference calls `unsubscribe`, which nobody waits for.
#[async_trait]
pub trait ScriptedSubscriber: Send + Sync {
    /// Whether events go through [`ScriptedSubscriber::message`]. Callers need not call it
    /// otherwise.
    fn has_message_hook(&self) -> bool;

    /// The subscriber resumes after this id. Returns publications to deliver to it first.
    async fn catchup(&self, last_event_id: &str) -> Result<Vec<Value>, HookError>;

    /// An event is about to be delivered. Returns it as the script changed it for this subscriber;
    /// none where the script drops it.
    async fn message(&self, publication: Value) -> Result<Option<Value>, HookError>;

    /// The server closes the connection because of its age or its idle time. Returns the delay
    /// before a reconnect, if the script names one.
    async fn timeout(&self, elapsed: Duration) -> Result<Option<Duration>, HookError>;
}

/// The stream to which scripts publish where they name none. tinysse's interface has one.
#[async_trait]
pub trait DefaultStream: Send + Sync {
    /// Its key.
    fn key(&self) -> &str;

    /// Stores messages, all or none. Each is a message, or a publication with the member `msg`.
    /// Returns the ids under which they are stored.
    async fn publish(&self, messages: Vec<Value>) -> Result<Vec<String>, BrokerError>;
}

/// Why the broker did not do what a script asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct BrokerError {
    /// The error code that the HTTP interface has for it.
    pub code: &'static str,
    /// One sentence for the author of the script.
    pub message: String,
}

impl BrokerError {
    /// An error with this code.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }

    /// The broker failed, and the log says why.
    #[must_use]
    pub fn internal() -> Self {
        Self::new("internal-error", "The broker failed; its log says why")
    }

    /// The store can't be reached, or did not confirm.
    #[must_use]
    pub fn store_unavailable() -> Self {
        Self::new(
            "store-unavailable",
            "The broker can't reach the store, or it did not confirm in time; try again",
        )
    }
}

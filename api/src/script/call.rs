//! What the engine asks of its thread.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{mpsc::UnboundedSender, oneshot};

use crate::hooks::Hook;

/// A call, and where its result goes.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) call: Call,
    /// The caller waits no longer.
    pub(super) deadline: Instant,
    pub(super) reply: oneshot::Sender<Result<Option<Value>, String>>,
}

/// What to run.
#[derive(Debug)]
pub(super) enum Call {
    Startup(Value),
    Tick(u64),
    Publish(Value),
    Subscribe(Arc<Member>),
    Catchup(Arc<Member>, String),
    Message(Arc<Member>, Value),
    Timeout(Arc<Member>, Duration),
    /// Load the script anew.
    Reload,
}

impl Call {
    /// The hook; none of a reload.
    pub(super) fn hook(&self) -> Option<Hook> {
        Some(match self {
            Self::Startup(_) => Hook::Startup,
            Self::Tick(_) => Hook::Tick,
            Self::Publish(_) => Hook::Publish,
            Self::Subscribe(_) => Hook::Subscribe,
            Self::Catchup(..) => Hook::Catchup,
            Self::Message(..) => Hook::Message,
            Self::Timeout(..) => Hook::Timeout,
            Self::Reload => return None,
        })
    }
}

/// A subscriber, as JSON. Its table is in the Lua state. A new state makes the table of this.
#[derive(Debug)]
pub(super) struct MemberTable {
    pub(super) id: u64,
    pub(super) json: Mutex<Arc<Value>>,
}

/// A subscriber that the script has accepted, or is asked about. When the last reference to an
/// accepted one is gone, the script learns that the subscriber left.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) table: Arc<MemberTable>,
    is_accepted: AtomicBool,
    left: UnboundedSender<Arc<MemberTable>>,
}

impl Member {
    pub(super) fn new(id: u64, json: Value, left: UnboundedSender<Arc<MemberTable>>) -> Arc<Self> {
        let json = Mutex::new(Arc::new(json));
        Arc::new(Self {
            table: Arc::new(MemberTable { id, json }),
            is_accepted: AtomicBool::new(false),
            left,
        })
    }

    pub(super) fn accept(&self) {
        self.is_accepted.store(true, Relaxed);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.is_accepted.load(Relaxed) {
            // Without an engine nobody needs to know.
            let _ = self.left.send(Arc::clone(&self.table));
        }
    }
}

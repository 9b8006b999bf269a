//! What keeps a statement within its database and within its time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// Pragmas that a script may use. Others change what limits the script, or name files.
const PRAGMAS: [&str; 18] = [
    "foreign_key_check",
    "foreign_key_list",
    "foreign_keys",
    "freelist_count",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "journal_mode",
    "optimize",
    "page_count",
    "quick_check",
    "synchronous",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
    "wal_checkpoint",
];

/// `SQLite` asks this about each step of a statement that it prepares.
pub(super) fn authorize(context: AuthContext<'_>) -> Authorization {
    let is_allowed = match context.action {
        AuthAction::Pragma {
            pragma_name,
            pragma_value,
        } => {
            let has = |known: &&str| known.eq_ignore_ascii_case(pragma_name);
            // Without a journal there is no rollback.
            PRAGMAS.iter().any(has) && !pragma_value.is_some_and(is_off)
        }
        AuthAction::Function { function_name } => {
            !function_name.eq_ignore_ascii_case("load_extension")
        }
        AuthAction::Attach { .. } | AuthAction::Detach { .. } | AuthAction::Unknown { .. } => false,
        _ => true,
    };
    if is_allowed {
        Authorization::Allow
    } else {
        Authorization::Deny
    }
}

/// Whether this is a value of `journal_mode` that switches the journal off.
fn is_off(value: &str) -> bool {
    value.eq_ignore_ascii_case("off")
}

/// When the current call of a database has to end.
#[derive(Clone, Default)]
pub(super) struct Deadline(Arc<Mutex<Option<Instant>>>);

impl Deadline {
    /// `SQLite` asks after so many steps of its machine: some microseconds.
    pub(super) const STEPS: std::ffi::c_int = 1000;

    pub(super) fn set(&self, timeout: Duration) {
        *self.0.lock() = Instant::now().checked_add(timeout);
    }

    pub(super) fn left(&self) -> Duration {
        self.0.lock().map_or(Duration::MAX, |end| {
            end.saturating_duration_since(Instant::now())
        })
    }

    /// Says whether `SQLite` has to interrupt the statement.
    pub(super) fn watcher(&self) -> impl FnMut() -> bool + Send + 'static {
        let deadline = self.clone();
        move || deadline.left().is_zero()
    }
}

//! What the engine has to know of a script.

use std::{path::PathBuf, time::Duration};

use super::broker::BrokerAccess;
use crate::config::Settings;

/// A script, and what it may do.
#[derive(Clone, Debug)]
pub struct ScriptOptions {
    /// The file.
    pub path: PathBuf,
    /// The limits of its hooks.
    pub limits: Limits,
    /// It may make HTTP requests.
    pub http: bool,
    /// It may open databases of `SQLite`.
    pub sqlite: bool,
    /// It may use `os` and `io`, and load binary chunks.
    pub is_unsafe: bool,
    /// What its module `broker` uses.
    pub broker: BrokerAccess,
}

/// The limits of hooks.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most bytes of the Lua state.
    pub memory: usize,
    /// The most instructions of one call.
    pub instructions: u64,
    /// The longest time of one call, the wait for its turn included.
    pub time: Duration,
}

impl ScriptOptions {
    /// The script that the settings name; none if they name none.
    #[must_use]
    pub fn of(settings: &Settings, broker: BrokerAccess) -> Option<Self> {
        Some(Self {
            path: settings.script.clone()?,
            limits: Limits {
                memory: settings.script_memory,
                instructions: settings.script_instructions,
                time: settings.script_timeout,
            },
            http: settings.script_http,
            sqlite: settings.script_sqlite,
            is_unsafe: settings.script_unsafe,
            broker,
        })
    }
}

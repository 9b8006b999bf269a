//! The modules that a script may `require`: names and functions as tinysse has them.
//!
//! Each file is one module. It turns Lua values into plain ones, does the work, and returns Lua
//! values. `docs/reference/script-modules.md` describes all of them for authors of scripts; a test
//! runs the examples of that page.
//!
//! - `arguments`, `callable`, `error`: how a function takes its arguments, and how it reports what
//!   was wrong.

use std::time::Duration;

use mlua::{Lua, StdLib, Value};

use super::broker::BrokerAccess;

mod arguments;
mod base64;
mod broker;
mod callable;
mod error;
mod fernet;
mod http;
mod json;
mod log;
mod mutex;
mod sleep;
mod sqlite;
mod template;
#[cfg(test)]
mod tests;
mod url;
mod uuid;

pub use error::ModuleError;

/// What the modules of a script may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Requests to other servers: the setting `STREAMER_SCRIPT_HTTP`.
    pub http: bool,
    /// Databases in files and in memory: the setting `STREAMER_SCRIPT_SQLITE`.
    pub sqlite: bool,
    /// How long a call of a hook may take. A request takes no longer. A call of `SQLite`, which
    /// blocks the thread of the scripts, takes at most half of it.
    pub timeout: Duration,
}

impl Default for Allowed {
    fn default() -> Self {
        Self {
            http: false,
            sqlite: false,
            timeout: Duration::from_secs(5),
        }
    }
}

/// Makes all modules known to `require`, by `package.preload`: a module that no script requires
/// costs nothing. Loads Lua's library `package` if the state does not have it. It stays the
/// engine's to say in `package.path` where Lua files are.
///
/// A module that is not allowed is there, too: to require it is an error that names the setting.
///
/// # Errors
/// Lua has no memory left.
pub fn install(lua: &Lua, allowed: &Allowed) -> mlua::Result<()> {
    // In a safe state, this also takes away what loads native modules.
    lua.load_std_libs(StdLib::PACKAGE)?;
    let Allowed { timeout, .. } = *allowed;
    preload(lua, "uuid", uuid::load)?;
    preload(lua, "json", json::load)?;
    preload(lua, "base64", base64::load)?;
    preload(lua, "url", url::load)?;
    preload(lua, "log", log::load)?;
    preload(lua, "sleep", sleep::load)?;
    preload(lua, "mutex", mutex::load)?;
    preload(lua, "fernet", fernet::load)?;
    preload(lua, "template", template::load)?;
    if allowed.http {
        preload(lua, "http", move |lua| http::load(lua, timeout))?;
    } else {
        refuse(lua, "http", "STREAMER_SCRIPT_HTTP")?;
    }
    if allowed.sqlite {
        preload(lua, "sqlite", move |lua| sqlite::load(lua, timeout / 2))
    } else {
        refuse(lua, "sqlite", "STREAMER_SCRIPT_SQLITE")
    }
}

/// Makes the module `broker` known to `require`.
///
/// # Errors
/// Lua has no memory left.
pub(super) fn install_broker(lua: &Lua, access: &BrokerAccess) -> mlua::Result<()> {
    let access = access.clone();
    preload(lua, "broker", move |lua| broker::load(lua, &access))
}

fn preload<T, F>(lua: &Lua, module: &'static str, load: F) -> mlua::Result<()>
where
    T: mlua::IntoLua,
    F: Fn(&Lua) -> mlua::Result<T> + Send + 'static,
{
    let loader = lua.create_function(move |lua, _: Value| load(lua))?;
    lua.preload_module(module, loader)
}

fn refuse(lua: &Lua, module: &'static str, setting: &'static str) -> mlua::Result<()> {
    preload(lua, module, move |_| -> mlua::Result<Value> {
        Err(ModuleError::NotAllowed { module, setting }.into())
    })
}

//! What a script can reach: safe libraries, Lua files beside it, the built-in modules.

use std::path::Path;

use mlua::{Lua, LuaOptions, Result, StdLib, Table, Value, Variadic};

use super::{modules, options::ScriptOptions};
use crate::bounded::bounded;

/// The most bytes that one `print` writes to the log.
const MAX_PRINT_BYTES: usize = 8 << 10;

/// Functions of `os` that only read the clock.
const CLOCK: [&str; 4] = ["clock", "date", "difftime", "time"];

/// Global functions that read files.
const READS_FILES: [&str; 2] = ["dofile", "loadfile"];

/// Refuses binary chunks, which may crash the interpreter.
const LOAD: &str = r#"
local load = ...
return function(chunk, name, mode, ...)
  if mode ~= nil and mode ~= "t" then error("load takes text only: mode is t", 2) end
  return load(chunk, name, "t", ...)
end
"#;

/// A new state with the libraries that this script may use.
pub(super) fn new_state(options: &ScriptOptions) -> Result<Lua> {
    let mut libraries = StdLib::COROUTINE
        | StdLib::TABLE
        | StdLib::STRING
        | StdLib::UTF8
        | StdLib::MATH
        | StdLib::PACKAGE
        | StdLib::OS;
    if options.is_unsafe {
        libraries |= StdLib::IO;
    }
    // The default options keep Lua's own `pcall`: a hook may wait within it.
    let lua = Lua::new_with(libraries, LuaOptions::new())?;
    lua.set_memory_limit(options.limits.memory)?;
    let globals = lua.globals();
    globals.set("print", lua.create_function(print)?)?;
    if !options.is_unsafe {
        for name in READS_FILES {
            globals.set(name, Value::Nil)?;
        }
        let load: Value = globals.get("load")?;
        globals.set("load", lua.load(LOAD).call::<Value>(load)?)?;
        replace_os(&lua, &globals)?;
    }
    let allowed = modules::Allowed {
        http: options.http,
        sqlite: options.sqlite,
        timeout: options.limits.time,
    };
    modules::install(&lua, &allowed)?;
    modules::install_broker(&lua, &options.broker)?;
    set_paths(&globals, &options.path)?;
    Ok(lua)
}

/// Leaves only the clock of `os`.
fn replace_os(lua: &Lua, globals: &Table) -> Result<()> {
    let all: Table = globals.get("os")?;
    let clock = lua.create_table()?;
    for name in CLOCK {
        clock.set(name, all.get::<Value>(name)?)?;
    }
    let loaded: Table = globals.get::<Table>("package")?.get("loaded")?;
    loaded.set("os", clock.clone())?;
    globals.set("os", clock)
}

/// `require` finds Lua files beside the script.
fn set_paths(globals: &Table, script: &Path) -> Result<()> {
    let folder = script
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).display().to_string();
    let package: Table = globals.get("package")?;
    package.set("path", format!("{folder}/?.lua;{folder}/?/init.lua"))?;
    package.set("cpath", "")
}

/// Writes to the log, as Lua's own `print` writes to standard output.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the form of a function for Lua"
)]
fn print(_: &Lua, values: Variadic<Value>) -> Result<()> {
    let texts = values.iter().map(Value::to_string);
    let line = texts.collect::<Result<Vec<_>>>()?.join("\t");
    let line = bounded(line.into(), MAX_PRINT_BYTES);
    tracing::info!(target: "tinistreamer::script", "{line}");
    Ok(())
}

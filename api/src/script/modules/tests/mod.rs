//! What all modules have in common, and what their tests share.

use std::time::Duration;

use mlua::{Lua, LuaOptions, StdLib, Value};

use super::{Allowed, install};

mod broker;
mod documentation;
mod fernet;
mod http;
mod json;
mod mutex;
mod sqlite;
mod template;
mod text;
mod url;

/// Everything is allowed, and nothing in a test runs into the limit of time.
pub(super) const ALL: Allowed = Allowed {
    http: true,
    sqlite: true,
    timeout: Duration::from_secs(120),
};

pub(super) fn lua(allowed: &Allowed) -> Lua {
    let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::COROUTINE;
    // By default, mlua leaves Lua's own `pcall`, which a coroutine may yield across.
    let lua = Lua::new_with(libraries, LuaOptions::default()).unwrap();
    install(&lua, allowed).unwrap();
    lua
}

/// Runs a script to its end.
pub(super) fn attempt(lua: &Lua, script: &str) -> mlua::Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(lua.load(script).set_name("=script.lua").eval_async())
}

/// Runs a script that has to succeed, with everything allowed.
pub(super) fn run(script: &str) {
    if let Err(error) = attempt(&lua(&ALL), script) {
        panic!("{error}\nin\n{script}");
    }
}

/// The error of a script that has to fail.
pub(super) fn error(script: &str) -> String {
    match attempt(&lua(&ALL), script) {
        Ok(value) => panic!("returned {value:?}\nin\n{script}"),
        Err(error) => error.to_string(),
    }
}

/// Checks that each script fails with its text in the message.
pub(super) fn errors(scripts: &[(&str, &str)]) {
    for (script, expected) in scripts {
        let message = error(script);
        assert!(
            message.contains(expected),
            "{script}: {message:?} lacks {expected:?}"
        );
    }
}

#[test]
fn a_module_that_is_not_allowed_names_its_setting() {
    for (module, setting) in [
        ("http", "STREAMER_SCRIPT_HTTP"),
        ("sqlite", "STREAMER_SCRIPT_SQLITE"),
    ] {
        let script = format!("require '{module}'");
        let message = attempt(&lua(&Allowed::default()), &script)
            .unwrap_err()
            .to_string();
        assert!(message.contains(setting), "{message}");
        run(&script);
    }
}

#[test]
fn a_module_is_loaded_once() {
    run("assert(require 'json' == require 'json')
         assert(package.loaded.json == require 'json')");
}

#[test]
fn what_the_engine_sets_for_require_stays() {
    let lua = lua(&ALL);
    attempt(&lua, "package.path = './lib/?.lua'").unwrap();
    install(&lua, &ALL).unwrap();
    let script = "assert(package.path == './lib/?.lua' and #package.searchers == 3)";
    attempt(&lua, script).unwrap();
}

#[test]
fn native_code_cannot_be_loaded() {
    errors(&[
        ("package.loadlib('libc.so.6', '*')", "disabled in safe mode"),
        ("require 'no.such.module'", "can't load C modules"),
    ]);
}

#[test]
fn an_error_names_the_line_of_the_script() {
    let message = error("local json = require 'json'\n\njson.decode '{'");
    assert!(
        message.contains("json.decode: the text is not JSON"),
        "{message}"
    );
    assert!(message.contains("script.lua:3:"), "{message}");
}

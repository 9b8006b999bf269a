//! `log`: messages to the log of the broker.

use std::borrow::Cow;

use mlua::{Lua, MultiValue, Table, Value};
use tracing::Level;

use super::arguments::Function;
use crate::bounded::bounded;

const LOG: Function = Function("log.log");
/// The same as for `print`, so that one filter of the log is for both.
const TARGET: &str = "tinistreamer::script";
/// A message has at most so many bytes.
const MAX_MESSAGE: usize = 8 * 1024;
const LEVELS: [(&str, &str, Level); 5] = [
    ("ERROR", "error", Level::ERROR),
    ("WARN", "warn", Level::WARN),
    ("INFO", "info", Level::INFO),
    ("DEBUG", "debug", Level::DEBUG),
    ("TRACE", "trace", Level::TRACE),
];

pub(super) fn load(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table()?;
    for (constant, name, level) in LEVELS {
        module.raw_set(constant, constant)?;
        let function = lua.create_function(move |lua, parts: MultiValue| {
            write(lua, level, &parts);
            Ok(())
        })?;
        module.raw_set(name, function)?;
    }
    let log = lua.create_function(|lua, (level, parts): (Value, MultiValue)| {
        write(lua, parsed(&level)?, &parts);
        Ok(())
    })?;
    module.raw_set("log", log)?;
    Ok(module)
}

fn parsed(level: &Value) -> mlua::Result<Level> {
    let name = level.as_string().map(mlua::LuaString::to_string_lossy);
    LEVELS
        .iter()
        .find(|(constant, ..)| {
            name.as_ref()
                .is_some_and(|name| name.eq_ignore_ascii_case(constant))
        })
        .map(|(.., level)| *level)
        .ok_or_else(|| {
            let expected = "log.ERROR, log.WARN, log.INFO, log.DEBUG or log.TRACE";
            LOG.wrong("level", expected, level)
        })
}

/// Joins the parts by blanks. Each of them is what `tostring` makes of it.
fn write(lua: &Lua, level: Level, parts: &MultiValue) {
    if !enabled(level) {
        return;
    }
    let mut message = String::new();
    for part in parts {
        if !message.is_empty() {
            message.push(' ');
        }
        message.push_str(&text(part));
        if message.len() > MAX_MESSAGE {
            break;
        }
    }
    let message = bounded(Cow::Owned(one_line(&message)), MAX_MESSAGE);
    let place = place(lua);
    match level {
        Level::ERROR => tracing::error!(target: TARGET, %place, "{message}"),
        Level::WARN => tracing::warn!(target: TARGET, %place, "{message}"),
        Level::INFO => tracing::info!(target: TARGET, %place, "{message}"),
        Level::DEBUG => tracing::debug!(target: TARGET, %place, "{message}"),
        _ => tracing::trace!(target: TARGET, %place, "{message}"),
    }
}

/// The text with its control characters escaped: data of users must not begin records of its own.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\t' {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// Whether a message of this level goes anywhere, so that others cost nothing.
fn enabled(level: Level) -> bool {
    match level {
        Level::ERROR => tracing::enabled!(target: TARGET, Level::ERROR),
        Level::WARN => tracing::enabled!(target: TARGET, Level::WARN),
        Level::INFO => tracing::enabled!(target: TARGET, Level::INFO),
        Level::DEBUG => tracing::enabled!(target: TARGET, Level::DEBUG),
        _ => tracing::enabled!(target: TARGET, Level::TRACE),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string_lossy(),
        other => other
            .to_string()
            .unwrap_or_else(|_| format!("a {}", other.type_name())),
    }
}

/// File and line of the call.
fn place(lua: &Lua) -> String {
    lua.inspect_stack(1, |frame| {
        let source = frame.source();
        let file = source.short_src.as_deref().unwrap_or("?").to_owned();
        match frame.current_line() {
            Some(line) => format!("{file}:{line}"),
            None => file,
        }
    })
    .unwrap_or_default()
}

//! How functions of modules take their arguments, so that every error names the function and the
//! argument.

use std::borrow::Cow;

use mlua::{LuaString, Table, Value};

use super::error::ModuleError;
use crate::bounded::bounded;

/// A quoted value in an error has at most so many bytes.
const MAX_QUOTED: usize = 64;

/// A function of a module, by the name that its errors have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function(pub(super) &'static str);

impl Function {
    pub(super) fn failed(self, reason: impl Into<String>) -> mlua::Error {
        let Self(function) = self;
        let reason = reason.into();
        ModuleError::Failed { function, reason }.into()
    }

    pub(super) fn too_large(self, what: &'static str, limit: impl Into<String>) -> mlua::Error {
        let Self(function) = self;
        let limit = limit.into();
        ModuleError::TooLarge {
            function,
            what,
            limit,
        }
        .into()
    }

    /// The argument is not what the function takes.
    pub(super) fn wrong(
        self,
        argument: impl Into<String>,
        expected: &'static str,
        found: &Value,
    ) -> mlua::Error {
        ModuleError::Argument {
            function: self.0,
            argument: argument.into(),
            expected,
            found: described(found),
        }
        .into()
    }

    /// Any bytes.
    pub(super) fn bytes(self, argument: &'static str, value: Value) -> mlua::Result<LuaString> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(self.wrong(argument, "a string", &other)),
        }
    }

    /// Text in UTF-8.
    pub(super) fn text(self, argument: &'static str, value: Value) -> mlua::Result<String> {
        let bytes = self.bytes(argument, value)?;
        match bytes.to_str() {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.wrong(argument, "a string of UTF-8", &Value::String(bytes))),
        }
    }

    pub(super) fn table(self, argument: &'static str, value: Value) -> mlua::Result<Table> {
        match value {
            Value::Table(table) => Ok(table),
            other => Err(self.wrong(argument, "a table", &other)),
        }
    }

    /// A table, or nothing.
    pub(super) fn options(
        self,
        argument: &'static str,
        value: Value,
    ) -> mlua::Result<Option<Table>> {
        match value {
            Value::Nil => Ok(None),
            Value::Table(table) => Ok(Some(table)),
            other => Err(self.wrong(argument, "a table or nil", &other)),
        }
    }

    /// What a string or a number of a table reads as: `port = 80` and `port = "80"` are the same.
    pub(super) fn scalar(self, argument: &str, value: &Value) -> mlua::Result<Vec<u8>> {
        match value {
            Value::String(text) => Ok(text.as_bytes().to_vec()),
            Value::Integer(number) => Ok(number.to_string().into_bytes()),
            Value::Number(number) => Ok(number.to_string().into_bytes()),
            Value::Boolean(truth) => Ok(truth.to_string().into_bytes()),
            other => Err(self.wrong(argument, "a string, a number or a boolean", other)),
        }
    }

    /// A boolean member of a table; false where it is missing.
    pub(super) fn flag(self, options: &Table, member: &'static str) -> mlua::Result<bool> {
        match options.raw_get(member)? {
            Value::Nil => Ok(false),
            Value::Boolean(value) => Ok(value),
            other => Err(self.wrong(member, "a boolean", &other)),
        }
    }

    /// Refuses options that the function does not know: a typing error would go unnoticed.
    pub(super) fn only(self, options: &Table, known: &[&str]) -> mlua::Result<()> {
        for pair in options.pairs::<Value, Value>() {
            let (key, _) = pair?;
            if !matches!(&key, Value::String(name) if known.iter().any(|known| name == known)) {
                let known = known.join("`, `");
                let key = described(&key);
                return Err(self.failed(format!("there is no option {key}, only `{known}`")));
            }
        }
        Ok(())
    }
}

/// A number, also where Lua has it as an integer.
#[allow(clippy::cast_precision_loss)]
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

/// A value as an error message shows it.
fn described(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let text = text.to_string_lossy();
            format!("the string {:?}", bounded(Cow::Owned(text), MAX_QUOTED))
        }
        Value::Integer(number) => format!("the number {number}"),
        Value::Number(number) => format!("the number {number}"),
        Value::Boolean(truth) => truth.to_string(),
        Value::Nil => "nil".to_owned(),
        other if other.is_null() => "null".to_owned(),
        other => format!("a {}", other.type_name()),
    }
}

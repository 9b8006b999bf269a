//! Values for the parameters of a statement.

use mlua::{Table, Value};
use rusqlite::{Statement, types};

use super::{super::arguments::Function, error::SqliteError};

/// A table of parameters: an array for `?`, or names for `:name`, `@name` and `$name`.
pub(super) struct Parameters {
    function: Function,
    table: Option<Table>,
}

impl Parameters {
    pub(super) fn new(function: Function, value: Value) -> mlua::Result<Self> {
        let table = function.options("params", value)?;
        Ok(Self { function, table })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_none()
    }

    /// Gives each parameter its value. A missing one is an error: it would silently be `NULL`.
    pub(super) fn bind(&self, statement: &mut Statement<'_>) -> Result<(), SqliteError> {
        let expected = statement.parameter_count();
        let found = self.table.as_ref().map_or(0, Table::raw_len);
        let mut positions = 0;
        for index in 1..=expected {
            let name = statement.parameter_name(index).map(str::to_owned);
            let value = match &name {
                // `?2` is a name for SQLite, and a position for scripts.
                Some(name) if !name.starts_with('?') => self.get(&name[1..])?,
                _ => {
                    positions = index;
                    self.get(index)?
                }
            };
            if value.is_nil() {
                let name = name.filter(|name| !name.starts_with('?'));
                return Err(match name {
                    Some(name) => SqliteError::NoParameter(name),
                    None => SqliteError::ParameterCount { expected, found },
                });
            }
            statement.raw_bind_parameter(index, self.stored(value)?)?;
        }
        if found > positions {
            return Err(SqliteError::ParameterCount { expected, found });
        }
        Ok(())
    }

    fn get(&self, key: impl mlua::IntoLua) -> Result<Value, SqliteError> {
        match &self.table {
            Some(table) => Ok(table.raw_get(key)?),
            None => Ok(Value::Nil),
        }
    }

    /// Strings that are not UTF-8 are blobs.
    fn stored(&self, value: Value) -> mlua::Result<types::Value> {
        match value {
            value if value.is_null() => Ok(types::Value::Null),
            Value::Boolean(truth) => Ok(types::Value::Integer(truth.into())),
            Value::Integer(number) => Ok(types::Value::Integer(number)),
            Value::Number(number) => Ok(types::Value::Real(number)),
            Value::String(text) => Ok(match text.to_str() {
                Ok(text) => types::Value::Text(text.to_owned()),
                Err(_) => types::Value::Blob(text.as_bytes().to_vec()),
            }),
            other => {
                let expected = "strings, numbers, booleans and sqlite.null";
                Err(self.function.wrong("params", expected, &other))
            }
        }
    }
}

//! Rows of a result as Lua tables.

use mlua::{Lua, LuaSerdeExt, Table, Value};
use rusqlite::{Statement, types::ValueRef};

use super::error::SqliteError;

const MAX_ROWS: usize = 10_000;
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// An array with a table for each row, from names of columns to values.
pub(super) fn rows(lua: &Lua, statement: &mut Statement<'_>) -> Result<Table, SqliteError> {
    let names: Vec<_> = statement
        .column_names()
        .map(|name| lua.create_string(name))
        .collect::<mlua::Result<_>>()?;
    let result = lua.create_table()?;
    let (mut count, mut bytes) = (0, 0);
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        count += 1;
        if count > MAX_ROWS {
            return Err(SqliteError::TooLarge(format!("{MAX_ROWS} rows")));
        }
        let table = lua.create_table_with_capacity(0, names.len())?;
        for (index, name) in names.iter().enumerate() {
            let value = row.get_ref(index)?;
            bytes += size(value);
            if bytes > MAX_BYTES {
                return Err(SqliteError::TooLarge(format!("{MAX_BYTES} bytes")));
            }
            table.raw_set(name, lua_value(lua, value)?)?;
        }
        result.raw_push(table)?;
    }
    result.set_metatable(Some(lua.array_metatable()))?;
    Ok(result)
}

fn size(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        _ => size_of::<i64>(),
    }
}

fn lua_value(lua: &Lua, value: ValueRef<'_>) -> mlua::Result<Value> {
    Ok(match value {
        ValueRef::Null => lua.null(),
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Number(number),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Value::String(lua.create_string(bytes)?),
    })
}

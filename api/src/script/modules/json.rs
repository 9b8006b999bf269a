//! `json`: text from values, and values from text.

use mlua::{Lua, LuaSerdeExt, Table, Value};
use serde_json::Value as Json;

use super::{arguments::Function, callable::callable};
use crate::script::values::{MAX_BYTES, from_json, to_json};

const ENCODE: Function = Function("json.encode");
const DECODE: Function = Function("json.decode");
const ARRAY: Function = Function("json.array");
const PRINT: Function = Function("json.print");
const PPRINT: Function = Function("json.pprint");

pub(super) fn load(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table()?;
    let encode = lua.create_function(|lua, value: Value| {
        let json = parsed(lua, &value, ENCODE)?;
        lua.create_string(json.to_string())
    })?;
    callable(lua, &module, &encode)?;
    module.raw_set("encode", encode)?;
    module.raw_set("decode", lua.create_function(decode)?)?;
    module.raw_set("array", lua.create_function(array)?)?;
    module.raw_set("null", lua.null())?;
    let print = lua.create_function(|lua, value: Value| {
        let json = parsed(lua, &value, PRINT)?;
        show(lua, PRINT, &json.to_string())
    })?;
    module.raw_set("print", print)?;
    let pprint = lua.create_function(|lua, value: Value| {
        let json = parsed(lua, &value, PPRINT)?;
        show(lua, PPRINT, &format!("{json:#}"))
    })?;
    module.raw_set("pprint", pprint)?;
    Ok(module)
}

fn parsed(lua: &Lua, value: &Value, function: Function) -> mlua::Result<Json> {
    to_json(lua, value).map_err(|error| function.failed(error.to_string()))
}

fn decode(lua: &Lua, text: Value) -> mlua::Result<Value> {
    let text = DECODE.bytes("text", text)?;
    let bytes = text.as_bytes();
    if bytes.len() > MAX_BYTES {
        return Err(DECODE.too_large("the text", format!("{MAX_BYTES} bytes")));
    }
    let json: Json = serde_json::from_slice(&bytes)
        .map_err(|error| DECODE.failed(format!("the text is not JSON: {error}")))?;
    from_json(lua, &json)
}

/// Marks a table as an array, or makes an empty array.
fn array(lua: &Lua, table: Value) -> mlua::Result<Table> {
    let table = match ARRAY.options("table", table)? {
        Some(table) => table,
        None => lua.create_table()?,
    };
    let marks = lua.array_metatable();
    if table.metatable().is_some_and(|own| own != marks) {
        return Err(ARRAY.failed("the table has a metatable of its own"));
    }
    table.set_metatable(Some(marks))?;
    Ok(table)
}

/// Gives the text to Lua's `print`, so that the engine alone decides where it goes.
fn show(lua: &Lua, function: Function, text: &str) -> mlua::Result<()> {
    match lua.globals().get("print")? {
        Value::Function(print) => print.call(text),
        other => Err(function.wrong("print", "Lua's function", &other)),
    }
}

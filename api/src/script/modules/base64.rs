//! `base64`: bytes as text, in both alphabets.

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use mlua::{Lua, LuaString, Table, Value};

use super::{arguments::Function, callable::callable};

/// Padding is written, and optional in what is read.
const CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
static PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
static FOR_URLS: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, CONFIG);

const ENCODE: Function = Function("base64.encode");
const DECODE: Function = Function("base64.decode");
/// Lua's own limit of memory does not count what is made before it becomes a Lua string.
const MAX_BYTES: usize = 16 * 1024 * 1024;

pub(super) fn load(lua: &Lua) -> mlua::Result<Table> {
    let module = functions(lua, &PLAIN)?;
    let urlsafe = lua.create_function(|lua, ()| functions(lua, &FOR_URLS))?;
    module.raw_set("urlsafe", urlsafe)?;
    Ok(module)
}

fn functions(lua: &Lua, engine: &'static GeneralPurpose) -> mlua::Result<Table> {
    let module = lua.create_table()?;
    let encode = lua.create_function(move |lua, bytes: Value| {
        let bytes = bounded(ENCODE, "bytes", bytes)?;
        lua.create_string(engine.encode(bytes.as_bytes()))
    })?;
    callable(lua, &module, &encode)?;
    module.raw_set("encode", encode)?;
    let decode = lua.create_function(move |lua, text: Value| {
        let text = bounded(DECODE, "text", text)?;
        match engine.decode(text.as_bytes()) {
            Ok(bytes) => lua.create_string(bytes),
            Err(error) => Err(DECODE.failed(format!("the text is not base64: {error}"))),
        }
    })?;
    module.raw_set("decode", decode)?;
    Ok(module)
}

fn bounded(function: Function, argument: &'static str, value: Value) -> mlua::Result<LuaString> {
    let bytes = function.bytes(argument, value)?;
    if bytes.as_bytes().len() > MAX_BYTES {
        return Err(function.too_large("the string", format!("{MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

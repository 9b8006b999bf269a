//! `uuid`: random identifiers, and identifiers that sort by time.

use mlua::{Lua, Table};
use uuid::Uuid;

use super::callable::callable;

pub(super) fn load(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table()?;
    let v4 = lua.create_function(|lua, ()| text(lua, Uuid::new_v4()))?;
    callable(lua, &module, &v4)?;
    module.raw_set("v4", v4)?;
    let v7 = lua.create_function(|lua, ()| text(lua, Uuid::now_v7()))?;
    module.raw_set("v7", v7)?;
    Ok(module)
}

fn text(lua: &Lua, id: Uuid) -> mlua::Result<mlua::LuaString> {
    let mut buffer = Uuid::encode_buffer();
    let text: &str = id.hyphenated().encode_lower(&mut buffer);
    lua.create_string(text)
}

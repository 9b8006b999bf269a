//! `template`: Jinja templates, by minijinja.

mod library;

use mlua::{Lua, Table, Value};

use self::library::Library;
use super::arguments::Function;

const RENDERSTRING: Function = Function("template.renderstring");

pub(super) fn load(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table()?;
    let renderstring = lua.create_function(|lua, (source, context): (Value, Value)| {
        Library::default().renderstring(lua, RENDERSTRING, source, &context)
    })?;
    module.raw_set("renderstring", renderstring)?;
    let library =
        lua.create_function(|lua, options: Value| lua.create_userdata(Library::new(options)?))?;
    module.raw_set("library", library)?;
    Ok(module)
}

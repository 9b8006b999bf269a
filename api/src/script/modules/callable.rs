//! Modules that are functions, too.

use mlua::{Lua, MultiValue, Table, Value};

/// Lets a script call the module itself: `uuid()` is `uuid.v4()`.
pub(super) fn callable(lua: &Lua, module: &Table, function: &mlua::Function) -> mlua::Result<()> {
    let called = function.clone();
    let metatable = lua.create_table()?;
    // The first argument is the module.
    let call = lua.create_function(move |_, (_, arguments): (Value, MultiValue)| {
        called.call::<MultiValue>(arguments)
    })?;
    metatable.raw_set("__call", call)?;
    module.set_metatable(Some(metatable))
}

//! Scripts: hooks and modules in Lua.

//! Hooks in Lua: the engine behind [`crate::hooks`], and the modules that a script may `require`.

pub mod modules;

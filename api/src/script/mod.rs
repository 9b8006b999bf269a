//! Hooks in Lua: the engine behind [`crate::hooks`], and the modules that a script may `require`.
//!
//! A thread of its own has the Lua state and runs the hooks (`worker`). Each call is a coroutine.
//! Only one runs at a time; others go on while it waits in `sleep` or `http`. Calls go through a
//! bounded queue (`caller`, `queue`). `meter` limits the instructions and the time of a call. A
//! hook that does not come back from a function in C can't be interrupted. `supervisor` then gives
//! up its thread, and starts another one with a new state. `broker` is what scripts do with
//! streams; it runs on the runtime of the broker.

mod broker;
mod call;
mod caller;
mod engine;
mod error;
mod meter;
pub mod modules;
mod options;
mod queue;
mod sandbox;
mod state;
mod subscriber;
mod supervisor;
mod tables;
mod values;
mod worker;

pub use self::{
    broker::BrokerAccess,
    engine::Engine,
    error::ScriptError,
    options::{Limits, ScriptOptions},
};

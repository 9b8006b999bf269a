//! `sleep`: a hook waits, and others run meanwhile.

use std::time::Duration;

use mlua::{Lua, Value};

use super::arguments::{Function, number};

const SLEEP: Function = Function("sleep");
/// A day in milliseconds. The time limit of a hook ends most sleeps before.
const MAX_SLEEP: f64 = 86_400_000.0;

pub(super) fn load(lua: &Lua) -> mlua::Result<mlua::Function> {
    lua.create_async_function(|_, milliseconds: Value| async move {
        tokio::time::sleep(parsed(&milliseconds)?).await;
        Ok(())
    })
}

fn parsed(milliseconds: &Value) -> mlua::Result<Duration> {
    match number(milliseconds) {
        Some(number) if (0.0..=MAX_SLEEP).contains(&number) => {
            Ok(Duration::from_secs_f64(number / 1000.0))
        }
        _ => {
            let expected = "a number of milliseconds from 0 to 86400000";
            Err(SLEEP.wrong("milliseconds", expected, milliseconds))
        }
    }
}

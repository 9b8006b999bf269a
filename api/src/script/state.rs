//! A Lua state with a loaded script.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use mlua::{Function, IntoLuaMulti, Lua, Result, Value as LuaValue, chunk::ChunkMode};
use serde_json::Value;
use tokio::time::timeout_at;

use super::{
    call::{Call, Member, MemberTable},
    error::is_out_of_memory,
    meter::{Budget, BusyClock, Meter, Metered},
    options::{Limits, ScriptOptions},
    sandbox,
    tables::Tables,
    values::{argument, to_json_part},
};
use crate::hooks::Hook;

/// All hooks.
const HOOKS: [Hook; 8] = [
    Hook::Startup,
    Hook::Tick,
    Hook::Publish,
    Hook::Subscribe,
    Hook::Catchup,
    Hook::Message,
    Hook::Unsubscribe,
    Hook::Timeout,
];

/// A state that uses more of its memory than this after a collection is of no more use.
const MAX_MEMORY_SHARE: f64 = 0.75;

/// The hooks that a script defines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HookSet(pub(super) u8);

impl HookSet {
    /// Whether the hook is one of them.
    pub(super) fn has(self, hook: Hook) -> bool {
        self.0 & bit(hook) != 0
    }
}

fn bit(hook: Hook) -> u8 {
    1 << (hook as u8)
}

/// A Lua state with a loaded script.
pub(super) struct State {
    lua: Lua,
    meter: Arc<Meter>,
    limits: Limits,
    pub(super) hooks: HookSet,
    tables: Tables,
}

impl State {
    /// Loads a script, under the limits of a call.
    pub(super) async fn load(
        options: &ScriptOptions,
        text: &str,
        clock: Arc<BusyClock>,
    ) -> Result<Self> {
        let lua = sandbox::new_state(options)?;
        let meter = Meter::install(&lua, clock)?;
        let name = options.path.file_name().unwrap_or_default();
        let script = lua
            .load(text)
            .set_name(format!("@{}", Path::new(name).display()))
            .set_mode(ChunkMode::Text)
            .into_function()?;
        let mut state = Self {
            lua,
            meter,
            limits: options.limits,
            hooks: HookSet::default(),
            tables: Tables::default(),
        };
        let deadline = Instant::now() + options.limits.time;
        state
            .metered(deadline, state.run(script, (), deadline))
            .await?;
        for hook in HOOKS {
            if state.function(hook).is_some() {
                state.hooks.0 |= bit(hook);
            }
        }
        Ok(state)
    }

    /// Runs a hook. None: the script refuses, or has nothing to say.
    pub(super) async fn call(&self, call: &Call, deadline: Instant) -> Result<Option<Value>> {
        self.metered(deadline, self.dispatch(call, deadline)).await
    }

    /// A subscriber has left.
    pub(super) async fn leave(&self, member: &Arc<MemberTable>) -> Result<()> {
        let left = match self.function(Hook::Unsubscribe) {
            None => Ok(()),
            Some(hook) => {
                let deadline = Instant::now() + self.limits.time;
                let call = async {
                    let table = self.tables.get(&self.lua, member)?;
                    self.run(hook, table, deadline).await.map(|_| ())
                };
                self.metered(deadline, call).await
            }
        };
        self.tables.remove(member);
        left
    }

    /// Writes the subscribers' tables as JSON, before another state takes over.
    pub(super) fn save_tables(&self) {
        self.tables.save(&self.lua);
    }

    /// Whether the state has so little memory left after this error that only a new one helps.
    pub(super) fn is_used_up(&self, error: &mlua::Error) -> bool {
        if !is_out_of_memory(error) {
            return false;
        }
        let is_collected = self.lua.gc_collect().is_ok();
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = self.lua.used_memory() as f64 / self.limits.memory as f64;
        !is_collected || share > MAX_MEMORY_SHARE
    }

    async fn dispatch(&self, call: &Call, deadline: Instant) -> Result<Option<Value>> {
        let Some(hook) = call.hook().and_then(|hook| self.function(hook)) else {
            return Ok(absent(call));
        };
        let lua = &self.lua;
        match call {
            Call::Startup(options) => {
                self.run(hook, argument(lua, options)?, deadline).await?;
                Ok(None)
            }
            Call::Tick(count) => {
                self.run(hook, *count, deadline).await?;
                Ok(None)
            }
            Call::Publish(publication) => {
                let returned = self
                    .run(hook, argument(lua, publication)?, deadline)
                    .await?;
                self.publication(&returned, publication)
            }
            Call::Subscribe(member) => self.subscribe(hook, member, deadline).await,
            Call::Catchup(member, id) => {
                let table = self.tables.get(lua, &member.table)?;
                let returned = self.run(hook, (table, id.as_str()), deadline).await?;
                expect_table(&returned)?;
                Ok(Some(to_json_part(lua, &returned)?))
            }
            Call::Message(member, publication) => {
                let table = self.tables.get(lua, &member.table)?;
                let publication_table = argument(lua, publication)?;
                let returned = self.run(hook, (publication_table, table), deadline).await?;
                self.publication(&returned, publication)
            }
            Call::Timeout(member, elapsed) => {
                let table = self.tables.get(lua, &member.table)?;
                let elapsed = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
                let returned = self.run(hook, (table, elapsed), deadline).await?;
                milliseconds(&returned)
            }
            Call::Reload => Ok(None),
        }
    }

    async fn subscribe(
        &self,
        hook: Function,
        member: &Member,
        deadline: Instant,
    ) -> Result<Option<Value>> {
        let json = Arc::clone(&member.table.json.lock());
        let table = argument(&self.lua, &json)?;
        let returned = self.run(hook, table, deadline).await?;
        expect_table(&returned)?;
        let LuaValue::Table(table) = returned else {
            return Ok(None);
        };
        self.tables.set(&self.lua, &member.table, table)?;
        member.accept();
        Ok(Some(Value::Null))
    }

    /// What a hook returned of this publication. Changes to `req` are not kept.
    fn publication(&self, returned: &LuaValue, original: &Value) -> Result<Option<Value>> {
        expect_table(returned)?;
        let LuaValue::Table(table) = returned else {
            return Ok(None);
        };
        let request = original.get("req");
        if request.is_some() {
            table.raw_set("req", LuaValue::Nil)?;
        }
        let mut json = to_json_part(&self.lua, returned)?;
        if let (Some(request), Some(members)) = (request, json.as_object_mut()) {
            members.insert("req".to_owned(), request.clone());
        }
        Ok(Some(json))
    }

    fn function(&self, hook: Hook) -> Option<Function> {
        self.lua.globals().raw_get(hook.name()).ok()
    }

    /// Runs a function in a coroutine of its own.
    async fn run(
        &self,
        function: Function,
        arguments: impl IntoLuaMulti,
        deadline: Instant,
    ) -> Result<LuaValue> {
        let coroutine = self.lua.create_thread(function)?;
        let returned = coroutine.into_async::<LuaValue>(arguments)?;
        let in_time = timeout_at(deadline.into(), returned).await;
        in_time.unwrap_or_else(|_| {
            let message = "it waited longer than STREAMER_SCRIPT_TIMEOUT";
            Err(mlua::Error::runtime(message))
        })
    }

    fn metered<F: Future>(&self, deadline: Instant, call: F) -> Metered<F> {
        let budget = Budget {
            instructions: i64::try_from(self.limits.instructions).unwrap_or(i64::MAX),
            deadline,
        };
        Metered::new(self.lua.clone(), Arc::clone(&self.meter), budget, call)
    }
}

/// What a hook returns that is not defined.
fn absent(call: &Call) -> Option<Value> {
    match call {
        Call::Publish(publication) | Call::Message(_, publication) => Some(publication.clone()),
        Call::Subscribe(member) => {
            member.accept();
            Some(Value::Null)
        }
        _ => None,
    }
}

/// An error if a hook returned neither a table nor nothing.
fn expect_table(returned: &LuaValue) -> Result<()> {
    match returned {
        LuaValue::Table(_) | LuaValue::Nil => Ok(()),
        other => Err(mlua::Error::runtime(format!(
            "it returned a {}, not a table or nil",
            other.type_name()
        ))),
    }
}

/// A delay that a hook returned.
fn milliseconds(returned: &LuaValue) -> Result<Option<Value>> {
    let number = match returned {
        LuaValue::Nil => return Ok(None),
        LuaValue::Integer(number) => u64::try_from(*number).ok(),
        LuaValue::Number(number) => Duration::try_from_secs_f64(*number / 1_000.0)
            .ok()
            .and_then(|delay| u64::try_from(delay.as_millis()).ok()),
        _ => None,
    };
    number.map(|number| Some(number.into())).ok_or_else(|| {
        mlua::Error::runtime("it returned no number of milliseconds from 0 on, and not nil")
    })
}

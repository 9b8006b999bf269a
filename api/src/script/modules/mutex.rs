//! `mutex`: one hook at a time in a part of the script that waits.

use std::sync::Arc;

use mlua::{
    AnyUserData, Function as LuaFunction, Lua, MetaMethod, StdLib, Table, Thread, UserData,
    UserDataMethods, Value,
};
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::arguments::Function;

const LOCK: Function = Function("lock");

/// Lua closes the permit when the function returns, raises an error, or is given up. So an error
/// stays the value that it is, and keeps its traceback.
const WRAP: &str = r"
local running, try, wait = ...
return function(critical, ...)
  local self = running()
  local permit <close> = try(self, critical) or wait(self)
  return critical(...)
end
";

pub(super) fn load(lua: &Lua) -> mlua::Result<LuaFunction> {
    let wrap = lua.load(WRAP).set_name("=mutex").into_function()?;
    // mlua's `current_thread` is the same for all calls that Rust makes.
    lua.load_std_libs(StdLib::COROUTINE)?;
    let coroutines: Table = lua.globals().get("coroutine")?;
    let running: LuaFunction = coroutines.get("running")?;
    lua.create_function(move |lua, ()| {
        let lock = Arc::new(Lock::default());
        let waiting = Arc::clone(&lock);
        let try_lock = lua.create_function(move |lua, (own, critical): (Thread, Value)| {
            if !critical.is_function() {
                return Err(LOCK.wrong("function", "a function", &critical));
            }
            lock.try_acquire(lua, Coroutine::of(&own))
        })?;
        let wait = lua.create_async_function(move |lua, own: Thread| {
            let lock = Arc::clone(&waiting);
            async move { lock.acquire(&lua, Coroutine::of(&own)).await }
        })?;
        wrap.call::<LuaFunction>((&running, try_lock, wait))
    })
}

/// The address of a coroutine. It is compared only while the coroutine holds a lock, and so exists.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Coroutine(usize);

impl Coroutine {
    fn of(thread: &Thread) -> Self {
        Self(thread.to_pointer().addr())
    }
}

#[derive(Default)]
struct Lock {
    mutex: Arc<tokio::sync::Mutex<()>>,
    holder: Arc<Mutex<Option<Coroutine>>>,
}

impl Lock {
    /// A permit if the lock is free. An error if the same coroutine has it: it would wait for
    /// itself.
    fn try_acquire(&self, lua: &Lua, coroutine: Coroutine) -> mlua::Result<Option<AnyUserData>> {
        match Arc::clone(&self.mutex).try_lock_owned() {
            Ok(guard) => self.permit(lua, guard, coroutine).map(Some),
            Err(_) if *self.holder.lock() == Some(coroutine) => {
                Err(LOCK.failed("the function that holds this lock calls it again"))
            }
            Err(_) => Ok(None),
        }
    }

    async fn acquire(&self, lua: &Lua, coroutine: Coroutine) -> mlua::Result<AnyUserData> {
        let guard = Arc::clone(&self.mutex).lock_owned().await;
        self.permit(lua, guard, coroutine)
    }

    fn permit(
        &self,
        lua: &Lua,
        guard: OwnedMutexGuard<()>,
        coroutine: Coroutine,
    ) -> mlua::Result<AnyUserData> {
        *self.holder.lock() = Some(coroutine);
        let holder = Arc::clone(&self.holder);
        let held = Held {
            _guard: guard,
            holder,
        };
        lua.create_userdata(Permit(Mutex::new(Some(held))))
    }
}

struct Held {
    _guard: OwnedMutexGuard<()>,
    holder: Arc<Mutex<Option<Coroutine>>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Before the guard, which is dropped after this.
        *self.holder.lock() = None;
    }
}

/// The lock is free again when Lua closes this, or collects it.
struct Permit(Mutex<Option<Held>>);

impl UserData for Permit {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_meta_method(MetaMethod::Close, |_, Self(held), _: Value| {
            drop(held.lock().take());
            Ok(())
        });
    }
}

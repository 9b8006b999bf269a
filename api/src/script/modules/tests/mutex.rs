//! `mutex`: one at a time, and free again whatever happens.

use std::{future::Future, time::Duration};

use mlua::{Function, Lua};

use super::{ALL, attempt, error, lua, run};

const SETUP: &str = "
  local mutex, sleep = require 'mutex', require 'sleep'
  lock, inside, most, log = mutex(), 0, 0, {}
  function critical(name, milliseconds)
    return lock(function(...)
      inside = inside + 1
      most = math.max(most, inside)
      sleep(milliseconds)
      inside = inside - 1
      log[#log + 1] = name
      return name, ...
    end, 'more')
  end";

/// Runs on a clock that moves on when all tasks wait.
fn simulated<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(work)
}

fn prepared() -> (Lua, Function) {
    let lua = lua(&ALL);
    attempt(&lua, SETUP).unwrap();
    let critical = lua.globals().get("critical").unwrap();
    (lua, critical)
}

#[test]
fn critical_sections_do_not_overlap_and_return_their_values() {
    let (lua, critical) = prepared();
    let calls = (0..10).map(|n| critical.call_async::<(i64, String)>((n, 1000 - n)));
    let results = simulated(futures::future::join_all(calls));
    for (n, result) in results.into_iter().enumerate() {
        assert_eq!(
            result.unwrap(),
            (i64::try_from(n).unwrap(), "more".to_owned())
        );
    }
    attempt(&lua, "assert(most == 1 and #log == 10, most)").unwrap();
}

#[test]
fn a_lock_is_free_after_an_error() {
    let (lua, _) = prepared();
    attempt(
        &lua,
        "for _ = 1, 3 do
           local ok, err = pcall(lock, function() error({code = 7}) end)
           -- The error is the value that was raised.
           assert(not ok and err.code == 7)
         end
         return lock(function() end)",
    )
    .unwrap();
}

#[test]
fn an_error_that_ends_the_hook_frees_the_lock_too() {
    let (lua, critical) = prepared();
    attempt(
        &lua,
        "function fail() lock(function() error 'planned' end) end",
    )
    .unwrap();
    let fail: Function = lua.globals().get("fail").unwrap();
    simulated(async {
        assert!(fail.call_async::<()>(()).await.is_err());
        critical.call_async::<()>(("next", 1)).await.unwrap();
    });
}

#[test]
fn a_lock_is_free_when_its_hook_is_given_up() {
    let (lua, critical) = prepared();
    simulated(async {
        let slow = critical.call_async::<()>(("slow", 60_000));
        let given_up = tokio::time::timeout(Duration::from_millis(10), slow).await;
        assert!(given_up.is_err());
        critical.call_async::<()>(("next", 1)).await.unwrap();
    });
    attempt(&lua, "assert(#log == 1 and log[1] == 'next')").unwrap();
}

#[test]
fn one_that_waits_and_is_given_up_does_not_keep_the_lock() {
    let (_lua, critical) = prepared();
    simulated(async {
        let holder = critical.call_async::<()>(("holder", 1000));
        let waiting = tokio::time::timeout(
            Duration::from_millis(10),
            critical.call_async::<()>(("waiting", 1)),
        );
        let (holder, waiting) = tokio::join!(holder, waiting);
        holder.unwrap();
        assert!(waiting.is_err());
        critical.call_async::<()>(("next", 1)).await.unwrap();
    });
}

#[test]
fn a_recursive_lock_is_an_error_and_not_a_deadlock() {
    let message = error(
        "local lock, other = require 'mutex'(), require 'mutex'()
         lock(function() other(function() lock(function() end) end) end)",
    );
    let expected = "lock: the function that holds this lock calls it again";
    assert!(message.contains(expected), "{message}");
    run("local lock, other = require 'mutex'(), require 'mutex'()
         lock(function() other(function() end) end)
         lock(function() end)");
}

#[test]
fn an_error_keeps_its_traceback() {
    let message = error(
        "local function deep() error 'planned' end
         local lock = require 'mutex'()
         lock(function() deep() end)",
    );
    assert!(message.contains("script.lua:1: planned"), "{message}");
    for line in ["script.lua:1:", "script.lua:3:"] {
        let traceback = message.split_once("stack traceback").unwrap().1;
        assert!(traceback.contains(line), "{message}");
    }
}

#[test]
fn a_lock_takes_a_function() {
    let message = error("require 'mutex'()(1)");
    assert!(
        message.contains("lock: `function` must be a function"),
        "{message}"
    );
}

//! The limits of one call: its instructions, and its time.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use mlua::{HookTriggers, Lua, VmState, debug::Debug};
use parking_lot::Mutex;

/// The meter looks after so many instructions.
const STEP: u32 = 1_000;

/// What a call has left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) instructions: i64,
    pub(super) deadline: Instant,
}

/// Counts for the call that runs now.
#[derive(Debug)]
pub(super) struct Meter {
    instructions: AtomicI64,
    deadline: Mutex<Instant>,
    /// A limit is reached: the hook looks after each instruction, so that no `pcall` of the script
    /// goes on.
    is_tight: AtomicBool,
    clock: Arc<BusyClock>,
}

/// Since when the thread has been in Lua. The supervisor reads it.
#[derive(Debug)]
pub(super) struct BusyClock {
    start: Instant,
    /// Milliseconds after `start`, plus one; 0: the thread is not in Lua.
    since: AtomicU64,
}

impl BusyClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            since: AtomicU64::new(0),
        })
    }

    /// How long the thread has been in Lua without a break.
    pub(super) fn busy(&self) -> Option<Duration> {
        let since = self.since.load(Relaxed).checked_sub(1)?;
        Some(
            self.start
                .elapsed()
                .saturating_sub(Duration::from_millis(since)),
        )
    }

    fn begin(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.since.store(now + 1, Relaxed);
    }

    fn end(&self) {
        self.since.store(0, Relaxed);
    }
}

impl Meter {
    /// Watches all coroutines of this state.
    pub(super) fn install(lua: &Lua, clock: Arc<BusyClock>) -> mlua::Result<Arc<Self>> {
        let meter = Arc::new(Self {
            instructions: AtomicI64::new(i64::MAX),
            deadline: Mutex::new(Instant::now()),
            is_tight: AtomicBool::new(false),
            clock,
        });
        meter.watch(lua, STEP)?;
        Ok(meter)
    }

    fn watch(self: &Arc<Self>, lua: &Lua, step: u32) -> mlua::Result<()> {
        let meter = Arc::clone(self);
        let triggers = HookTriggers::new().every_nth_instruction(step);
        lua.set_global_hook(triggers, move |lua, debug| meter.look(lua, debug))
    }

    fn look(self: &Arc<Self>, lua: &Lua, debug: &Debug<'_>) -> mlua::Result<VmState> {
        let is_tight = self.is_tight.load(Relaxed);
        let step = if is_tight { 1 } else { i64::from(STEP) };
        let left = self.instructions.fetch_sub(step, Relaxed) - step;
        let reached = if left < 0 {
            "it ran more instructions than STREAMER_SCRIPT_INSTRUCTIONS"
        } else if Instant::now() >= *self.deadline.lock() {
            "it took longer than STREAMER_SCRIPT_TIMEOUT"
        } else {
            return Ok(VmState::Continue);
        };
        if !is_tight {
            self.is_tight.store(true, Relaxed);
            self.watch(lua, 1)?;
        }
        let file = debug.source().short_src.unwrap_or_default().into_owned();
        let line = debug.current_line().unwrap_or_default();
        Err(mlua::Error::runtime(format!("{file}:{line}: {reached}")))
    }

    fn enter(self: &Arc<Self>, lua: &Lua, budget: Budget) {
        if self.is_tight.swap(false, Relaxed) && self.watch(lua, STEP).is_err() {
            // Without memory for a new hook the tight one stays, which is slow and right.
            self.is_tight.store(true, Relaxed);
        }
        self.instructions.store(budget.instructions, Relaxed);
        *self.deadline.lock() = budget.deadline;
        self.clock.begin();
    }

    fn leave(&self) -> i64 {
        self.clock.end();
        self.instructions.load(Relaxed)
    }
}

/// A call under its limits: each poll runs Lua until the call waits, or is over.
pub(super) struct Metered<F> {
    lua: Lua,
    meter: Arc<Meter>,
    budget: Budget,
    call: Pin<Box<F>>,
}

impl<F: Future> Metered<F> {
    pub(super) fn new(lua: Lua, meter: Arc<Meter>, budget: Budget, call: F) -> Self {
        Self {
            lua,
            meter,
            budget,
            call: Box::pin(call),
        }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.meter.enter(&this.lua, this.budget);
        let poll = this.call.as_mut().poll(context);
        this.budget.instructions = this.meter.leave();
        poll
    }
}

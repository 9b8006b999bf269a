//! The thread that has the Lua state.

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, oneshot, watch},
    task::{LocalSet, spawn_local},
};

use super::{
    call::{Call, MemberTable, Request},
    error::{ScriptError, message},
    meter::BusyClock,
    options::ScriptOptions,
    queue::{Item, Queue},
    state::State,
};
use crate::hooks::Hook;

/// The most hooks that have begun. All but one of them wait.
const MAX_RUNNING: usize = 64;

/// What all threads of an engine share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: ScriptOptions,
    /// The text of the script as it was last loaded.
    pub(super) text: Mutex<Arc<str>>,
    /// The hooks that the script defines.
    pub(super) hooks: AtomicU8,
    pub(super) queue: Arc<Queue>,
}

/// A thread that runs hooks.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) thread: JoinHandle<()>,
    pub(super) clock: Arc<BusyClock>,
    given_up: watch::Sender<bool>,
}

/// What a new thread reports when it has loaded the script.
pub(super) type Loaded = oneshot::Receiver<Result<(), ScriptError>>;

impl Worker {
    /// Starts a thread. It loads the script, reports that, and runs what is in the queue.
    pub(super) fn start(shared: Arc<Shared>) -> Result<(Self, Loaded), ScriptError> {
        let (given_up, watched) = watch::channel(false);
        let (report, loaded) = oneshot::channel();
        let clock = BusyClock::new();
        let busy = Arc::clone(&clock);
        let main = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => {
                    let work = work(shared, busy, watched, report);
                    LocalSet::new().block_on(&runtime, work);
                }
                // Nobody waits any more when the engine is gone.
                Err(error) => _ = report.send(Err(ScriptError::Thread(error))),
            }
        };
        let thread = thread::Builder::new().name("script".to_owned());
        let thread = thread.spawn(main).map_err(ScriptError::Thread)?;
        let worker = Self {
            thread,
            clock,
            given_up,
        };
        Ok((worker, loaded))
    }

    /// Asks the thread to end. It ends when it comes back from Lua.
    pub(super) fn give_up(&self) {
        self.given_up.send_replace(true);
    }
}

/// The state of the thread; another one after a reload.
type CurrentState = Rc<RefCell<Rc<State>>>;

async fn work(
    shared: Arc<Shared>,
    clock: Arc<BusyClock>,
    mut given_up: watch::Receiver<bool>,
    report: oneshot::Sender<Result<(), ScriptError>>,
) {
    let text = Arc::clone(&shared.text.lock());
    let state = match load(&shared, &text, &clock).await {
        Ok(state) => Rc::new(RefCell::new(Rc::new(state))),
        Err(error) => {
            // Nobody waits any more when the start took too long.
            let _ = report.send(Err(error));
            return;
        }
    };
    let _ = report.send(Ok(()));
    let permits = Arc::new(Semaphore::new(MAX_RUNNING));
    let watched = given_up.clone();
    let serve = async {
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                return;
            };
            let Some(item) = shared.queue.next(&watched).await else {
                return;
            };
            let (shared, clock, state) = (Arc::clone(&shared), Arc::clone(&clock), state.clone());
            spawn_local(async move {
                match item {
                    Item::Left(member) => leave(&state, &member).await,
                    Item::Request(request) => answer(&shared, &clock, &state, request).await,
                }
                drop(permit);
            });
        }
    };
    tokio::select! {
        biased;
        _ = given_up.wait_for(|given_up| *given_up) => {}
        () = serve => {}
    }
}

async fn load(shared: &Shared, text: &str, clock: &Arc<BusyClock>) -> Result<State, ScriptError> {
    let state = State::load(&shared.options, text, Arc::clone(clock)).await;
    let state = state.map_err(|error| ScriptError::Load {
        path: shared.options.path.clone(),
        message: message(&error),
    })?;
    shared.hooks.store(state.hooks.0, Relaxed);
    Ok(state)
}

async fn leave(state: &CurrentState, member: &Arc<MemberTable>) {
    let current = Rc::clone(&state.borrow());
    if let Err(error) = current.leave(member).await {
        let hook = Hook::Unsubscribe.name();
        tracing::warn!(error = message(&error), hook, "a hook failed");
    }
}

async fn answer(
    shared: &Arc<Shared>,
    clock: &Arc<BusyClock>,
    state: &CurrentState,
    request: Request,
) {
    // The caller has given up: nobody needs the result.
    if request.reply.is_closed() {
        return;
    }
    if matches!(request.call, Call::Reload) {
        let loaded = reload(shared, clock, state).await;
        let loaded = loaded.map(|()| None).map_err(|error| error.to_string());
        let _ = request.reply.send(loaded);
        return;
    }
    let current = Rc::clone(&state.borrow());
    let result = current.call(&request.call, request.deadline).await;
    let used_up = result
        .as_ref()
        .is_err_and(|error| current.is_used_up(error));
    if let Err(error) = &result {
        tracing::debug!(%error, "a hook failed");
    }
    // The caller may have given up meanwhile.
    let _ = request.reply.send(result.map_err(|error| message(&error)));
    if used_up {
        let text = Arc::clone(&shared.text.lock());
        match load(shared, &text, clock).await {
            Ok(fresh) => {
                *state.borrow_mut() = Rc::new(fresh);
                tracing::warn!("the script had no memory left; it was loaded anew");
            }
            Err(error) => tracing::error!(%error, "the script had no memory left"),
        }
    }
}

/// Loads the script's file into a new state. If it can't be loaded, the old state stays.
async fn reload(
    shared: &Arc<Shared>,
    clock: &Arc<BusyClock>,
    state: &CurrentState,
) -> Result<(), ScriptError> {
    let text = read(&shared.options).map_err(|source| ScriptError::Read {
        path: shared.options.path.clone(),
        source,
    })?;
    let fresh = load(shared, &text, clock).await?;
    *shared.text.lock() = text.into();
    state.borrow().save_tables();
    *state.borrow_mut() = Rc::new(fresh);
    Ok(())
}

/// Reads the script's file.
pub(super) fn read(options: &ScriptOptions) -> io::Result<String> {
    std::fs::read_to_string(&options.path)
}

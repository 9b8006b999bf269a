//! The engine: what the broker calls.

use std::{
    sync::{Arc, atomic::AtomicU8},
    time::Duration,
};

use parking_lot::Mutex;
use rocket::async_trait;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    call::Call,
    caller::Caller,
    error::ScriptError,
    options::ScriptOptions,
    queue::queue,
    subscriber::Subscriber,
    supervisor::Threads,
    worker::{Shared, read},
};
use crate::{
    hooks::{Hook, HookError, Hooks, SharedSubscriber},
    lifecycle::Lifecycle,
    telemetry::metrics::SharedMetrics,
};

/// Runs the hooks of a script. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Caller>);

impl Engine {
    /// Loads a script. Its hook `startup` is not called.
    ///
    /// Errors: the file can't be read, or is not a script.
    pub async fn load(options: ScriptOptions, metrics: SharedMetrics) -> Result<Self, ScriptError> {
        let text = read(&options).map_err(|source| ScriptError::Read {
            path: options.path.clone(),
            source,
        })?;
        let (senders, queue) = queue();
        let shared = Arc::new(Shared {
            options,
            text: Mutex::new(text.into()),
            hooks: AtomicU8::new(0),
            queue,
        });
        let threads = Threads::start(Arc::clone(&shared), SharedMetrics::clone(&metrics)).await?;
        let caller = Caller::new(shared, threads, senders, metrics);
        Ok(Self(Arc::new(caller)))
    }

    /// Calls the hook `startup`, before the server accepts connections.
    ///
    /// Errors: the hook failed, so the server must not start.
    pub async fn startup(&self, options: Value) -> Result<(), ScriptError> {
        if self.defines(Hook::Startup) {
            self.0.call(Hook::Startup, Call::Startup(options)).await?;
        }
        Ok(())
    }

    /// Calls the hook `tick` in this interval until the process stops, never two at a time.
    pub async fn tick(&self, every: Duration, lifecycle: &Lifecycle) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick of an interval comes at once.
        ticks.tick().await;
        for count in 1.. {
            tokio::select! {
                biased;
                () = lifecycle.begins_to_close() => return,
                _ = ticks.tick() => {}
            }
            if self.defines(Hook::Tick) {
                // The engine has logged an error.
                let _ = self.0.call(Hook::Tick, Call::Tick(count)).await;
            }
        }
    }

    /// Loads the script's file anew. If that fails, the script stays as it was. Writes the result
    /// into the log.
    pub async fn reload(&self) {
        let answer = self.0.send(Call::Reload).await;
        match answer {
            Ok(Ok(_)) => tracing::info!("the script was loaded anew"),
            Ok(Err(error)) => tracing::error!("{error}; the script stays as it was"),
            Err(error) => tracing::error!(%error, "the script could not be loaded anew"),
        }
    }
}

#[async_trait]
impl Hooks for Engine {
    fn defines(&self, hook: Hook) -> bool {
        self.0.defines(hook)
    }

    async fn publish(&self, publication: Value) -> Result<Option<Value>, HookError> {
        self.0.call(Hook::Publish, Call::Publish(publication)).await
    }

    async fn subscribe(&self, subscriber: Value) -> Result<Option<SharedSubscriber>, HookError> {
        let member = self.0.member(subscriber);
        if self.defines(Hook::Subscribe) {
            let call = Call::Subscribe(Arc::clone(&member));
            if self.0.call(Hook::Subscribe, call).await?.is_none() {
                return Ok(None);
            }
        } else {
            member.accept();
        }
        let caller = Arc::clone(&self.0);
        Ok(Some(Arc::new(Subscriber { caller, member })))
    }
}

//! The script that the settings name.

#[cfg(feature = "scripts")]
pub(crate) use self::with_engine::{Script, broker_options};
#[cfg(not(feature = "scripts"))]
pub(crate) use self::without_engine::{Script, broker_options};

use std::sync::Arc;

use tinistreamer::{hooks::DefaultStream, presence::SubscriberCounts, store::SharedStore};

/// What a script may use of the broker.
#[cfg_attr(
    not(feature = "scripts"),
    expect(dead_code, reason = "no script uses them")
)]
pub(crate) struct BrokerParts {
    pub(crate) store: SharedStore,
    /// The subscribers of this node, which the server counts.
    pub(crate) counts: Arc<SubscriberCounts>,
    /// The stream to publish to where a script names none.
    pub(crate) default_stream: Option<Arc<dyn DefaultStream>>,
}

#[cfg(feature = "scripts")]
mod with_engine {
    use std::{sync::Arc, time::Duration};

    use serde_json::{Value, json};
    use tinistreamer::{
        config::Settings,
        hooks::SharedHooks,
        lifecycle::Lifecycle,
        script::{BrokerAccess, Engine, ScriptOptions},
        telemetry::metrics::SharedMetrics,
    };

    use super::BrokerParts;
    use crate::failure::Failure;

    /// The script that the settings name.
    pub(crate) struct Script(Engine);

    impl Script {
        /// Loads the script; none if the settings name none.
        pub(crate) async fn load(
            settings: &Settings,
            metrics: SharedMetrics,
            parts: BrokerParts,
        ) -> Result<Option<Self>, Failure> {
            let BrokerParts {
                store,
                counts,
                default_stream,
            } = parts;
            let shared = SharedMetrics::clone(&metrics);
            let broker = BrokerAccess::new(settings, store, counts, shared, default_stream);
            let Some(options) = ScriptOptions::of(settings, broker) else {
                return Ok(None);
            };
            let engine = Engine::load(options, metrics).await;
            let engine = engine.map_err(|error| Failure::Script(error.to_string()))?;
            Ok(Some(Self(engine)))
        }

        /// Its hooks, for the server.
        pub(crate) fn hooks(&self) -> SharedHooks {
            Arc::new(self.0.clone())
        }

        /// Calls the hook `startup` with these options. From then on it calls `tick` in this
        /// interval, and loads the script anew at SIGHUP.
        pub(crate) async fn start(
            &self,
            options: Value,
            tick: Duration,
            lifecycle: &Lifecycle,
        ) -> Result<(), Failure> {
            #[cfg(unix)]
            reload_on_hangup(self.0.clone())?;
            let started = self.0.startup(options).await;
            started.map_err(|error| Failure::Script(error.to_string()))?;
            let (engine, lifecycle) = (self.0.clone(), lifecycle.clone());
            tokio::spawn(async move { engine.tick(tick, &lifecycle).await });
            Ok(())
        }
    }

    /// The argument of `startup` in the broker. Times are in milliseconds.
    pub(crate) fn broker_options(settings: &Settings) -> Value {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut options = json!({
            "listen": format!("{}:{}", settings.address, settings.port),
            "log_level": settings.log,
            "keep_alive": milliseconds(settings.heartbeat),
            "timeout": milliseconds(settings.client_timeout),
            "script": settings.script.as_ref().map(|path| path.display().to_string()),
            "script_tick": milliseconds(settings.script_tick),
            "unsafe_script": settings.script_unsafe,
        });
        let data = settings.script_data.reveal();
        if !data.is_empty() {
            options["script_data"] = data.as_str().into();
        }
        options
    }

    #[cfg(unix)]
    fn reload_on_hangup(engine: Engine) -> Result<(), Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                engine.reload().await;
            }
        });
        Ok(())
    }
}

#[cfg(not(feature = "scripts"))]
mod without_engine {
    use std::time::Duration;

    use serde_json::Value;
    use tinistreamer::{
        config::{Problem, Settings},
        hooks::SharedHooks,
        lifecycle::Lifecycle,
        telemetry::metrics::SharedMetrics,
    };

    use super::BrokerParts;
    use crate::failure::Failure;

    /// There is none: this program was built without scripts.
    pub(crate) enum Script {}

    #[expect(clippy::unused_async, reason = "as with the feature")]
    impl Script {
        /// Fails if the settings name a script.
        pub(crate) async fn load(
            settings: &Settings,
            _: SharedMetrics,
            _: BrokerParts,
        ) -> Result<Option<Self>, Failure> {
            if settings.script.is_none() {
                return Ok(None);
            }
            let problem = "STREAMER_SCRIPT or --script names a script, but this program was built \
                           without scripts; build it with `--features scripts`";
            Err(Failure::Settings(vec![Problem(problem.to_owned())]))
        }

        pub(crate) fn hooks(&self) -> SharedHooks {
            match *self {}
        }

        pub(crate) async fn start(
            &self,
            _: Value,
            _: Duration,
            _: &Lifecycle,
        ) -> Result<(), Failure> {
            match *self {}
        }
    }

    pub(crate) fn broker_options(_: &Settings) -> Value {
        Value::Null
    }
}

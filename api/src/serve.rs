//! The life of a process that serves: from the first connection to an orderly stop.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rocket::{Build, Ignite, Rocket, fairing::AdHoc, figment::Figment};
use serde_json::Value;
use tinistreamer::{
    config::{MetricsAt, Settings},
    hooks::DefaultStream,
    lifecycle::Lifecycle,
    metrics_server,
    presence::SubscriberCounts,
    server,
    store::SharedStore,
    telemetry::{
        log::{self, Log},
        metrics::{Metrics, SharedMetrics},
    },
};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    failure::Failure,
    scripts::{self, BrokerParts, Script},
    setup::{Setup, store},
    stop_signals::StopSignals,
};

/// Share of the grace period in which a node that stops still listens, unless it is idle before.
const LISTENING_SHARE: f64 = 0.1;

/// Time for the connections' own tasks to hand their last bytes to the system.
const LAST_BYTES: Duration = Duration::from_millis(100);

/// Raises the soft limit of open files to the hard one.
///
/// A subscriber takes an open file. Many systems start programs with a soft limit of 1,024, for old
/// programs that use `select`, and let a program raise it
/// ([getrlimit](https://pubs.opengroup.org/onlinepubs/9799919799/functions/getrlimit.html)).
fn raise_open_files() {
    #[cfg(unix)]
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Serves until SIGTERM or SIGINT, then stops in order; see [`stop`].
pub(crate) async fn serve(mut setup: Setup) -> Result<(), Failure> {
    let temporary_keys = std::mem::take(&mut setup.temporary_keys);
    let start = Start::new(setup)?;
    let script = start.load_script(None).await?;
    let (serving, rocket) = start.serving("STREAMER_PORT or STREAMER_ADDRESS").await?;
    if let Some(script) = &script {
        let options = scripts::broker_options(&serving.settings);
        serving.start_script(script, options).await?;
    }
    let greeting = Greeting {
        about: format!("{} store", serving.store.name()),
        console: serving.settings.console,
        temporary_keys,
    };
    let rocket = server(
        rocket,
        serving.settings.clone(),
        SharedStore::clone(&serving.store),
        SharedMetrics::clone(&serving.metrics),
        serving.lifecycle.clone(),
        Arc::clone(&serving.counts),
        script.as_ref().map(Script::hooks),
    );
    serving.run(rocket, greeting).await
}

/// A process that is about to serve: it has a log, metrics and a store.
pub(crate) struct Start {
    pub(crate) settings: Settings,
    pub(crate) store: SharedStore,
    pub(crate) metrics: SharedMetrics,
    rocket: Figment,
    log: Log,
    counts: Arc<SubscriberCounts>,
}

impl Start {
    /// Begins the log, and makes the store.
    pub(crate) fn new(setup: Setup) -> Result<Self, Failure> {
        let log = log::init(&setup.settings.log, setup.settings.log_format)?;
        for warning in &setup.warnings {
            tracing::warn!("{warning}");
        }
        raise_open_files();
        let settings = setup.settings;
        let metrics = Metrics::new(settings.redis_delivery(), settings.max_clients);
        let store = store(&settings, SharedMetrics::clone(&metrics))?;
        let counts = SubscriberCounts::shared(metrics.streams.followed.clone());
        Ok(Self {
            settings,
            store,
            metrics,
            rocket: setup.rocket,
            log,
            counts,
        })
    }

    /// Loads the script that the settings name. `default_stream` is where a script publishes when
    /// it names no stream.
    pub(crate) async fn load_script(
        &self,
        default_stream: Option<Arc<dyn DefaultStream>>,
    ) -> Result<Option<Script>, Failure> {
        let parts = BrokerParts {
            store: SharedStore::clone(&self.store),
            counts: Arc::clone(&self.counts),
            default_stream,
        };
        Script::load(&self.settings, SharedMetrics::clone(&self.metrics), parts).await
    }

    /// The parts around a server, and what Rocket is set to. `address_settings` are the
    /// settings that give the server another address, for errors.
    pub(crate) async fn serving(
        self,
        address_settings: &'static str,
    ) -> Result<(Serving, Figment), Failure> {
        // The store logs what is wrong, now and whenever it changes.
        let _ = self.store.ready().await;
        let serving = Serving {
            settings: self.settings,
            store: self.store,
            metrics: self.metrics,
            counts: self.counts,
            lifecycle: Lifecycle::default(),
            log: self.log,
            signals: StopSignals::new()?,
            address_settings,
        };
        Ok((serving, self.rocket))
    }
}

/// The parts of the process around its server.
pub(crate) struct Serving {
    pub(crate) settings: Settings,
    pub(crate) store: SharedStore,
    pub(crate) metrics: SharedMetrics,
    pub(crate) counts: Arc<SubscriberCounts>,
    pub(crate) lifecycle: Lifecycle,
    log: Log,
    signals: StopSignals,
    address_settings: &'static str,
}

impl Serving {
    /// Calls the hook `startup` with these options, and then `tick` as the settings say.
    pub(crate) async fn start_script(
        &self,
        script: &Script,
        options: Value,
    ) -> Result<(), Failure> {
        let tick = self.settings.script_tick;
        script.start(options, tick, &self.lifecycle).await
    }

    /// Serves until SIGTERM or SIGINT, then stops in order, and ends the process.
    pub(crate) async fn run(
        mut self,
        rocket: Rocket<Build>,
        greeting: Greeting,
    ) -> Result<(), Failure> {
        let metrics_address = Arc::new(OnceLock::new());
        let bound = Arc::clone(&metrics_address);
        let greeting = AdHoc::on_liftoff("greeting", move |rocket| {
            let (address, metrics) = (address_of(rocket.config()), bound.get().copied());
            Box::pin(async move { greeting.print(address, metrics) })
        });
        let rocket = rocket.attach(greeting);
        let rocket = rocket.ignite().await;
        let rocket = rocket.map_err(|error| Failure::Launch(error.kind().to_string()))?;
        // Not before: a Rocket that is built turns the log of the other one on, which then prints a
        // line of its own.
        if let MetricsAt::Address(address) = self.settings.metrics {
            let bound = serve_metrics(address, self.store, self.metrics).await?;
            // Nobody else sets it.
            let _ = metrics_address.set(bound);
        }
        let shutdown = rocket.shutdown();
        let address = address_of(rocket.config());
        let mut launch = tokio::spawn(rocket.launch());

        tokio::select! {
            biased;
            ended = &mut launch => {
                return match launch_problem(ended, address, self.address_settings) {
                    None => Ok(()),
                    Some(problem) => Err(Failure::Launch(problem)),
                };
            }
            () = self.signals.recv() => {}
        }
        let grace = self.settings.shutdown_grace;
        stop(&self.lifecycle, grace, shutdown, &mut self.signals).await;
        self.log.flush();
        // The remaining connections, most of them of stalled subscribers, end with the process.
        std::process::exit(0)
    }
}

/// Stops the broker in order: it is not ready any more and admits no subscribers, it closes
/// long-lived connections over the grace period, it closes the listener, and it finishes what runs.
/// A second signal stops it at once.
async fn stop(
    lifecycle: &Lifecycle,
    grace: Duration,
    shutdown: rocket::Shutdown,
    signals: &mut StopSignals,
) {
    tracing::info!(
        grace_seconds = grace.as_secs(),
        "stopping; a second signal ends it at once"
    );
    lifecycle.close(grace);
    let in_order = async {
        // A load balancer that asks whether the node is ready gets "no", rather than no connection.
        let _ = tokio::time::timeout(grace.mul_f64(LISTENING_SHARE), lifecycle.idle()).await;
        shutdown.notify();
        lifecycle.idle().await;
        tokio::time::sleep(LAST_BYTES).await;
    };
    tokio::select! {
        biased;
        () = in_order => tracing::info!("stopped; nothing was left open"),
        () = tokio::time::sleep(grace) => {
            tracing::warn!("stopped; some connections did not close in time");
        }
        () = signals.recv() => tracing::warn!("stopped at once"),
    }
}

/// Serves the metrics at a separate address until the process ends. Returns the address when the
/// metrics can be read there.
async fn serve_metrics(
    address: SocketAddr,
    store: SharedStore,
    metrics: SharedMetrics,
) -> Result<SocketAddr, Failure> {
    let (bound, is_bound) = oneshot::channel();
    let send_address = AdHoc::on_liftoff("metrics address", move |rocket| {
        // Nobody waits any more when the start has failed.
        let _ = bound.send(address_of(rocket.config()));
        Box::pin(std::future::ready(()))
    });
    let launch: JoinHandle<_> = tokio::spawn(
        metrics_server(address, store, metrics)
            .attach(send_address)
            .launch(),
    );
    if let Ok(address) = is_bound.await {
        return Ok(address);
    }
    let problem = launch_problem(launch.await, address, "STREAMER_METRICS");
    let problem = problem.unwrap_or_else(|| "the server ended".to_owned());
    Err(Failure::Metrics(problem))
}

fn address_of(config: &rocket::Config) -> SocketAddr {
    SocketAddr::new(config.address, config.port)
}

/// Why a server failed, and which settings give it another address; none when it ended in order.
/// Rocket's error panics when it is dropped unseen; its `Display` counts as seeing it.
fn launch_problem(
    ended: Result<Result<Rocket<Ignite>, rocket::Error>, tokio::task::JoinError>,
    address: SocketAddr,
    settings: &str,
) -> Option<String> {
    let error = match ended {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) => error,
        Err(error) => return Some(error.to_string()),
    };
    let error = match error.kind() {
        rocket::error::ErrorKind::Bind(error) | rocket::error::ErrorKind::Io(error) => error,
        kind => return Some(kind.to_string()),
    };
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "this user may not listen there; ports below 1024 need a right of their own".to_owned()
        }
        _ => error.to_string(),
    };
    Some(format!(
        "the address {address} can't be used: {reason}. Choose another with {settings}"
    ))
}

/// What a process that serves prints when it listens.
pub(crate) struct Greeting {
    /// What it serves, and from which store.
    pub(crate) about: String,
    pub(crate) console: bool,
    /// The keys that are valid for this run only, with their variables.
    pub(crate) temporary_keys: Vec<(String, String)>,
}

impl Greeting {
    fn print(&self, address: SocketAddr, metrics: Option<SocketAddr>) {
        let (version, about) = (env!("CARGO_PKG_VERSION"), &self.about);
        let mut text = format!("tinistreamer {version} listens on http://{address} ({about})\n");
        if self.console {
            text.push_str(
                "Open that address in a browser for the console; it asks for the API key\n",
            );
        }
        text.extend(metrics.map(|address| format!("Metrics are at http://{address}/metrics\n")));
        if !self.temporary_keys.is_empty() {
            text.push_str(
                "\nKeys for this run only, as none were set; \
                 `tinistreamer keygen` makes some to keep:\n\n",
            );
            let lines = self.temporary_keys.iter();
            text.extend(lines.map(|(variable, key)| format!("export {variable}={key}\n")));
            text.push('\n');
        }
        if let Err(error) = io::stdout().write_all(text.as_bytes()) {
            tracing::debug!(%error, "nobody reads standard output");
        }
    }
}

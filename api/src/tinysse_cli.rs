//! `tinistreamer tinysse`: the server that its options describe.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use rocket::fairing::AdHoc;
use serde_json::Value;
use tinistreamer::{
    http::tinysse::{default_stream::default_stream, options::TinysseOptions, server::Parts},
    lifecycle::Lifecycle,
    presence::SubscriberCounts,
    store::SharedStore,
    telemetry::{
        log,
        metrics::{Metrics, SharedMetrics},
    },
    tinysse_server,
};

use crate::{
    failure::Failure,
    scripts::{BrokerParts, Script},
    serve::{self, Serving},
    setup::{self, Setup},
    stop_signals::StopSignals,
    tinysse_arguments::TinysseArguments,
};

/// The settings of the broker that the server uses: of the store, of limits and of the log.
fn settings(arguments: &TinysseArguments) -> Result<Setup, Failure> {
    setup::with(|rocket, environment| {
        let mut set = |name: &str, value: String| environment.set(name, value);
        set("address", arguments.listen.ip().to_string());
        set("port", arguments.listen.port().to_string());
        // One Redis subscription for all subscribers of the node.
        set("delivery", "shared".to_owned());
        set("console", "off".to_owned());
        if let Some(level) = &arguments.log_level {
            set("log", level.clone());
        }
        if let Some(url) = &arguments.redis_url {
            set("redis_url", url.clone());
        }
        for (name, value) in arguments.script_settings() {
            set(name, value);
        }
        for (name, value) in [("redis_url", "memory:"), ("metrics", "off")] {
            if !environment.is_set(name) && !rocket.contains(name) {
                environment.set(name, value.to_owned());
            }
        }
        setup::Keys::MadeUp
    })
}

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(arguments: &TinysseArguments) -> Result<(), Failure> {
    let options = arguments.options()?;
    let setup = settings(arguments)?;
    setup::runtime()?.block_on(serve(options, arguments.startup_table(), setup))
}

async fn serve(options: TinysseOptions, startup: Value, setup: Setup) -> Result<(), Failure> {
    let Setup {
        rocket,
        settings,
        warnings,
        ..
    } = setup;
    let log = log::init(&settings.log, settings.log_format)?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    serve::raise_open_files();
    let metrics = Metrics::new(settings.redis_delivery(), settings.max_clients);
    let store = setup::store(&settings, SharedMetrics::clone(&metrics))?;
    let counts = SubscriberCounts::shared(metrics.streams.followed.clone());
    let own = default_stream(
        &options,
        &settings,
        SharedStore::clone(&store),
        SharedMetrics::clone(&metrics),
    );
    let parts = BrokerParts {
        store: SharedStore::clone(&store),
        counts: Arc::clone(&counts),
        default_stream: Some(own.map_err(|error| Failure::Launch(error.to_string()))?),
    };
    let script = Script::load(&settings, SharedMetrics::clone(&metrics), parts).await?;
    // The store logs what is wrong, now and whenever it changes.
    let _ = store.ready().await;
    let signals = StopSignals::new()?;
    let serving = Serving {
        lifecycle: Lifecycle::default(),
        grace: settings.shutdown_grace,
        metrics_at: settings.metrics,
        store: SharedStore::clone(&store),
        metrics: SharedMetrics::clone(&metrics),
        address_settings: "--listen",
    };
    let about = format!("tinysse's interface, {} store", store.name());
    let metrics_address: Arc<OnceLock<SocketAddr>> = Arc::default();
    let bound = Arc::clone(&metrics_address);
    let greeting = AdHoc::on_liftoff("greeting", move |rocket| {
        let address = serve::address_of(rocket.config());
        Box::pin(async move { serve::greet(address, &about, false, bound.get().copied(), &[]) })
    });
    if let Some(script) = &script {
        let tick = settings.script_tick;
        script.start(startup, tick, &serving.lifecycle).await?;
    }
    let parts = Parts {
        settings,
        store,
        metrics,
        lifecycle: serving.lifecycle.clone(),
        counts,
        hooks: script.as_ref().map(Script::hooks),
    };
    let rocket = tinysse_server(rocket, options, parts)
        .map_err(|error| Failure::Launch(error.to_string()))?
        .attach(greeting);
    serving.run(rocket, &metrics_address, signals, log).await
}

//! `tinistreamer tinysse`: the server that its options describe.

use std::sync::Arc;

use serde_json::Value;
use tinistreamer::{
    http::tinysse::{default_stream::default_stream, options::TinysseOptions, server::Parts},
    store::SharedStore,
    telemetry::metrics::SharedMetrics,
    tinysse_server,
};

use crate::{
    failure::Failure,
    scripts::Script,
    serve::{Greeting, Start},
    setup::{self, Setup},
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
    let start = Start::new(setup)?;
    let default_stream = default_stream(
        &options,
        &start.settings,
        SharedStore::clone(&start.store),
        SharedMetrics::clone(&start.metrics),
    );
    let default_stream = default_stream.map_err(|error| Failure::Launch(error.to_string()))?;
    let script = start.load_script(Some(default_stream)).await?;
    let (serving, rocket) = start.serving("--listen").await?;
    if let Some(script) = &script {
        serving.start_script(script, startup).await?;
    }
    let greeting = Greeting {
        about: format!("tinysse's interface, {} store", serving.store.name()),
        console: false,
        temporary_keys: Vec::new(),
    };
    let parts = Parts {
        settings: serving.settings.clone(),
        store: SharedStore::clone(&serving.store),
        metrics: SharedMetrics::clone(&serving.metrics),
        lifecycle: serving.lifecycle.clone(),
        counts: Arc::clone(&serving.counts),
        hooks: script.as_ref().map(Script::hooks),
    };
    let rocket = tinysse_server(rocket, options, parts)
        .map_err(|error| Failure::Launch(error.to_string()))?;
    serving.run(rocket, greeting).await
}

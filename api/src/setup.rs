//! What commands need before they start: settings, the async runtime, the store.

use std::sync::Arc;

use rocket::{Config, config::Config as RocketConfig, figment::Figment};
use tinistreamer::{
    config::{Problem, Settings, StoreUrl, variable},
    store::{SharedStore, memory::MemoryStore, redis},
    telemetry::metrics::SharedMetrics,
};

use crate::{dev, env_file, environment::Environment, failure::Failure};

/// The settings, and what an operator should know about them.
pub(crate) struct Setup {
    pub(crate) rocket: Figment,
    pub(crate) settings: Settings,
    /// Keys that are valid for this run only: variable and key. The broker prints them.
    pub(crate) temporary_keys: Vec<(String, String)>,
    /// What an operator should know about the source of the settings.
    pub(crate) warnings: Vec<String>,
}

/// What the broker is started for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// To serve, as the settings say.
    Serve,
    /// To try it and to develop with it; see [`dev`]. None: a free port.
    Dev { port: Option<u16> },
}

/// What to do where required keys are not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// They are missing.
    Required,
    /// Make some up for this run.
    MadeUp,
}

/// Reads `.env`, `Rocket.toml` and the environment.
///
/// To develop, and in Rocket's debug profile, it makes up missing keys, so that a new user need not
/// know about them. Otherwise it requires real keys.
pub(crate) fn setup(purpose: Purpose) -> Result<Setup, Failure> {
    with(|rocket, environment| match purpose {
        Purpose::Serve if *rocket.profile() == Config::DEBUG_PROFILE => Keys::MadeUp,
        Purpose::Serve => Keys::Required,
        Purpose::Dev { port } => {
            dev::prepare(environment, port);
            Keys::MadeUp
        }
    })
}

/// The same, where `prepare` may change the environment, and says what to do about missing keys.
pub(crate) fn with(
    prepare: impl FnOnce(&Figment, &mut Environment) -> Keys,
) -> Result<Setup, Failure> {
    let warnings = env_file::load().map_err(|problem| Failure::Settings(vec![problem]))?;
    let rocket = RocketConfig::figment();
    let mut environment = Environment::of_process();
    let makes_keys = prepare(&rocket, &mut environment) == Keys::MadeUp;
    let missing = missing_keys(&rocket, &environment);
    let mut temporary_keys = Vec::new();
    if makes_keys {
        for &(name, bytes) in &missing {
            let key = random_hex(bytes)?;
            environment.set(name, key.clone());
            temporary_keys.push((variable(name), key));
        }
    }
    let settings = Settings::load(&rocket, environment).map_err(|mut problems| {
        if !makes_keys && !missing.is_empty() {
            problems.push(Problem(dev::HINT.to_owned()));
        }
        Failure::Settings(problems)
    })?;
    Ok(Setup {
        rocket,
        settings,
        temporary_keys,
        warnings,
    })
}

/// The keys that are not set, each with the number of its bytes.
fn missing_keys(rocket: &Figment, environment: &Environment) -> Vec<(&'static str, usize)> {
    let mut keys = vec![("api_key", 16), ("secret_key", 32)];
    keys.retain(|(name, _)| !environment.is_set(name) && !rocket.contains(name));
    keys
}

/// A random key of this many bytes, as hex digits.
pub(crate) fn random_hex(bytes: usize) -> Result<String, Failure> {
    let mut key = vec![0; bytes];
    getrandom::fill(&mut key).map_err(std::io::Error::from)?;
    Ok(hex::encode(key))
}

/// The async runtime. The runtime of Rocket's macros would ignore the `workers` setting.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let workers = RocketConfig::figment()
        .extract_inner::<usize>("workers")
        .unwrap_or_else(|_| Config::default().workers);
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers.max(1))
        .thread_name("rocket-worker")
        .enable_all()
        .build()?)
}

/// The store that the settings name. This does not connect yet.
pub(crate) fn store(settings: &Settings, metrics: SharedMetrics) -> Result<SharedStore, Failure> {
    Ok(match &settings.store {
        StoreUrl::Memory => Arc::new(MemoryStore::new(metrics)),
        StoreUrl::Redis(_) | StoreUrl::Sentinels(_) | StoreUrl::Cluster(_) => {
            redis::install_crypto_provider();
            Arc::new(redis::RedisStore::new(settings, metrics)?)
        }
    })
}

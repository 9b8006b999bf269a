//! What commands need before they start: settings, the async runtime, the store.

use std::sync::Arc;

use rocket::{Config, config::Config as RocketConfig, figment::Figment};
use tinistreamer::{
    config::{Settings, StoreUrl, variable},
    store::{SharedStore, memory::MemoryStore, redis},
    telemetry::metrics::SharedMetrics,
};

use crate::{env_file, failure::Failure};

/// The settings, and what an operator should know about them.
pub(crate) struct Setup {
    pub(crate) rocket: Figment,
    pub(crate) settings: Settings,
    /// Keys that are valid for this run only: variable and key. The broker prints them.
    pub(crate) temporary_keys: Vec<(String, String)>,
    /// What an operator should know about the source of the settings.
    pub(crate) warnings: Vec<String>,
}

/// Reads `.env`, `Rocket.toml` and the environment.
///
/// In Rocket's debug profile it makes up missing keys, so that a new user need not know about them.
/// The release profile requires real keys.
pub(crate) fn setup() -> Result<Setup, Failure> {
    let warnings = env_file::load().map_err(|problem| Failure::Settings(vec![problem]))?;
    let rocket = RocketConfig::figment();
    let mut environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| {
            let value = value.to_string_lossy().into_owned();
            Some((name.into_string().ok()?, value))
        })
        .collect();
    let temporary_keys = if *rocket.profile() == Config::DEBUG_PROFILE {
        missing_keys(&rocket, &environment)?
    } else {
        Vec::new()
    };
    environment.extend(temporary_keys.iter().cloned());
    let settings = Settings::load(&rocket, environment).map_err(Failure::Settings)?;
    Ok(Setup {
        rocket,
        settings,
        temporary_keys,
        warnings,
    })
}

/// A new key for each key that is not set.
fn missing_keys(
    rocket: &Figment,
    environment: &[(String, String)],
) -> Result<Vec<(String, String)>, Failure> {
    let mut keys = Vec::new();
    for (name, bytes) in [("api_key", 16), ("secret_key", 32)] {
        let variable = variable(name);
        let is_set = environment
            .iter()
            .any(|(set, value)| *set == variable && !value.is_empty());
        if !is_set && !rocket.contains(name) {
            keys.push((variable, random_hex(bytes)?));
        }
    }
    Ok(keys)
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

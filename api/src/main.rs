//! The command line: `tinistreamer` serves; its other commands make keys, check a setup, ask for
//! health.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Parser, Subcommand};
use rocket::{Config, config::Config as RocketConfig, figment::Figment};
use tinistreamer::{
    config::{ENV_PREFIX, Problem, Settings, StoreUrl},
    http::openapi,
    store::{SharedStore, StoreError, StoreFault, memory::MemoryStore, redis},
    telemetry::{
        log::LogError,
        metrics::{Metrics, SharedMetrics},
    },
};

mod env_file;
mod serve;

/// A stateless HTTP streaming broker on Redis Streams.
///
/// Without a command it serves. Settings come from Rocket.toml and the environment (STREAMER_*,
/// also from a .env file), which wins; the README lists them.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, Subcommand)]
enum Command {
    /// Serve (what it does without a command)
    Serve,
    /// Print a fresh `STREAMER_API_KEY` and `STREAMER_SECRET_KEY`, as lines of a .env file
    Keygen,
    /// Check the settings and the store, and exit
    Check,
    /// Ask the broker on this machine whether it lives; for container health checks
    Health,
    /// Print the OpenAPI document
    Openapi,
}

/// How often `check` asks a store again that is silent.
const CHECKS: usize = 4;

/// What ended the program, in one line each.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Settings(Vec<Problem>),
    #[error("Failed: {0}")]
    Store(#[from] StoreError),
    #[error("The broker can't start: {0}")]
    Launch(String),
    #[error("The metrics can't be served: {0}")]
    Metrics(String),
    #[error("No healthy broker at {address}: {reason}")]
    Unhealthy { address: SocketAddr, reason: String },
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("{0}")]
    System(#[from] std::io::Error),
    #[error("The OpenAPI document can't be written: {0}")]
    Document(#[from] serde_json::Error),
}

fn main() -> ExitCode {
    let command = Arguments::parse().command.unwrap_or(Command::Serve);
    let done = match command {
        Command::Keygen => keygen(),
        Command::Openapi => openapi::document_json()
            .map_err(Failure::from)
            .and_then(|json| print(&json)),
        Command::Serve => setup()
            .and_then(|setup| runtime().and_then(|runtime| runtime.block_on(serve::serve(setup)))),
        Command::Check => {
            setup().and_then(|setup| runtime().and_then(|runtime| runtime.block_on(check(setup))))
        }
        Command::Health => setup().and_then(|setup| health(&setup.settings)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to be done when even this can't be written.
            let _ = writeln!(std::io::stderr(), "{failure}");
            ExitCode::from(if matches!(failure, Failure::Settings(_)) {
                2
            } else {
                1
            })
        }
    }
}

/// What every command but `keygen` begins with.
struct Setup {
    rocket: Figment,
    settings: Settings,
    /// Keys made up for this run, to be shown.
    throw_away: Vec<(&'static str, String)>,
    /// What an operator should know of where the settings come from.
    warnings: Vec<String>,
}

/// Reads `.env`, `Rocket.toml` and the environment. In Rocket's debug profile missing keys are made
/// up, so that a newcomer need not know of them; the release profile demands real ones.
fn setup() -> Result<Setup, Failure> {
    let warnings = env_file::load().map_err(|problem| Failure::Settings(vec![problem]))?;
    let rocket = RocketConfig::figment();
    let mut environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| {
            Some((
                name.into_string().ok()?,
                value.to_string_lossy().into_owned(),
            ))
        })
        .collect();
    let mut throw_away = Vec::new();
    if *rocket.profile() == Config::DEBUG_PROFILE {
        for (name, bytes) in [("api_key", 16), ("secret_key", 32)] {
            let variable = format!("{ENV_PREFIX}{}", name.to_ascii_uppercase());
            let is_set = environment
                .iter()
                .any(|(set, value)| *set == variable && !value.is_empty())
                || rocket.contains(name);
            if !is_set {
                let key = random_hex(bytes)?;
                environment.push((variable, key.clone()));
                throw_away.push((
                    if name == "api_key" {
                        "STREAMER_API_KEY"
                    } else {
                        "STREAMER_SECRET_KEY"
                    },
                    key,
                ));
            }
        }
    }
    let settings = Settings::load(&rocket, environment).map_err(Failure::Settings)?;
    Ok(Setup {
        rocket,
        settings,
        throw_away,
        warnings,
    })
}

fn random_hex(bytes: usize) -> Result<String, Failure> {
    let mut key = vec![0; bytes];
    getrandom::fill(&mut key).map_err(std::io::Error::from)?;
    Ok(hex::encode(key))
}

fn keygen() -> Result<(), Failure> {
    print(&format!(
        "STREAMER_API_KEY={}\nSTREAMER_SECRET_KEY={}\n",
        random_hex(16)?,
        random_hex(32)?
    ))
}

fn print(text: &str) -> Result<(), Failure> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// Rocket's macros would build one that ignores the `workers` setting.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let workers = RocketConfig::figment()
        .extract_inner::<usize>("workers")
        .unwrap_or_else(|_| Config::default().workers);
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers.max(1))
        .thread_name("rocket-worker")
        .enable_all()
        .build()?)
}

fn store(settings: &Settings, metrics: SharedMetrics) -> Result<SharedStore, Failure> {
    Ok(match &settings.store {
        StoreUrl::Memory => Arc::new(MemoryStore::new(metrics)),
        StoreUrl::Redis(_) | StoreUrl::Sentinels(_) | StoreUrl::Cluster(_) => {
            redis::install_crypto_provider();
            Arc::new(redis::RedisStore::new(settings, metrics)?)
        }
    })
}

async fn check(setup: Setup) -> Result<(), Failure> {
    let store = store(
        &setup.settings,
        Metrics::new(setup.settings.redis_delivery(), setup.settings.max_clients),
    )?;
    let mut answer = store.ready().await;
    // The name of a host may take longer to resolve than a probe waits; here there is time.
    for _ in 0..CHECKS {
        if !matches!(
            answer,
            Err(StoreError::Refused {
                fault: StoreFault::Silent,
                ..
            })
        ) {
            break;
        }
        answer = store.ready().await;
    }
    let warnings = answer?;
    print(&format!(
        "The settings are good, and the {} store answers.\n",
        store.name()
    ))?;
    setup
        .warnings
        .iter()
        .chain(&warnings)
        .try_for_each(|warning| print(&format!("{warning}.\n")))
}

/// `GET /api/health` of the broker on this machine.
fn health(settings: &Settings) -> Result<(), Failure> {
    let address = SocketAddr::new(
        match settings.address {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        },
        settings.port,
    );
    let ask = || {
        let patience = Duration::from_secs(2);
        let mut connection = TcpStream::connect_timeout(&address, patience)?;
        connection.set_read_timeout(Some(patience))?;
        connection.write_all(
            b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )?;
        let mut answer = Vec::new();
        connection.take(4096).read_to_end(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    match ask() {
        Ok(answer) if answer.starts_with(b"HTTP/1.1 200") => Ok(()),
        Ok(_) => Err(Failure::Unhealthy {
            address,
            reason: "it does not answer 200".to_owned(),
        }),
        Err(error) => Err(Failure::Unhealthy {
            address,
            reason: error.to_string(),
        }),
    }
}

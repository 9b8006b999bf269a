//! What is measured: a broker started for the run, with a Redis of its own, the floor, a peer, or a
//! broker that runs already.

mod durable_streams;
mod folder;
mod nchan;
mod redis;
mod running;
mod server;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use self::redis::RedisState;
use self::{redis::Redis, running::Running};
use crate::{
    api::Api,
    dialect::Broker,
    problem::{Outcome, Problem},
    process,
};

/// What is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The smallest Rocket program that broadcasts from memory
    Floor,
    /// The broker with the embedded store
    Memory,
    /// The broker on Redis, one subscription per node
    Shared,
    /// The broker on Redis, one connection per client
    Exclusive,
    /// A peer: nginx with the module nchan, on Redis
    Nchan,
    /// A peer: the server of the crate durable-streams, as it is by default
    DurableStreams,
    /// The same, confirming what is not on the disk yet
    DurableStreamsMemory,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Memory => "memory",
            Self::Shared => "shared",
            Self::Exclusive => "exclusive",
            Self::Nchan => "nchan",
            Self::DurableStreams => "durable-streams",
            Self::DurableStreamsMemory => "durable-streams, memory",
        }
    }

    /// The most files that one process of it holds for so many clients.
    pub(crate) fn files(self, clients: usize) -> u64 {
        let per_client = if self == Self::Exclusive { 2 } else { 1 };
        clients as u64 * per_client + 300
    }
}

/// Which target, from the command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Selection {
    /// Start this, measure it, and stop it
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "shared",
        conflicts_with = "url"
    )]
    pub(crate) target: Kind,
    /// The broker's program; the floor's lies beside it
    #[arg(long, global = true, default_value = "target/release/tinistreamer")]
    pub(crate) broker: PathBuf,
    /// The folder of the peers, which bench/peers/setup fills
    #[arg(long, global = true, default_value = "target/peers")]
    pub(crate) peers: PathBuf,
    /// The broker reaches its Redis over TCP, as nchan must, in place of a Unix socket
    #[arg(long, global = true)]
    pub(crate) redis_tcp: bool,
    /// A further setting of the broker that is started, such as HEARTBEAT=30
    #[arg(long = "set", global = true, value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Measure a running broker, such as `http://10.0.0.1:8000`
    #[arg(long, global = true, requires = "api_key")]
    url: Option<String>,
    /// The running broker's API key
    #[arg(long, global = true)]
    api_key: Option<String>,
    /// Processes of the running broker whose processor time and memory are read
    #[arg(long, global = true)]
    pid: Vec<u32>,
}

/// A target that runs.
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) api: Api,
    pids: Vec<u32>,
    server: Option<Running>,
    redis: Option<Redis>,
}

/// Processor time so far, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    pub(crate) broker: f64,
    pub(crate) redis: f64,
}

impl Selection {
    /// The same, of another kind.
    pub(crate) fn of(&self, target: Kind) -> Self {
        Self {
            target,
            url: None,
            ..self.clone()
        }
    }

    /// The same, of another build.
    pub(crate) fn with_broker(&self, program: &Path) -> Self {
        Self {
            broker: program.to_owned(),
            ..self.clone()
        }
    }

    /// Starts it with a further setting.
    pub(crate) fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    /// Starts it, for so many clients.
    pub(crate) async fn start(&self, clients: usize) -> Outcome<Target> {
        // Connections are opened and closed quickly: some room for those that linger.
        process::allow_files(self.target.files(clients)).map_err(Problem::Other)?;
        if let (Some(url), Some(api_key)) = (&self.url, &self.api_key) {
            let address = resolve(url).await?;
            let api = Api {
                address,
                dialect: Arc::new(Broker {
                    api_key: api_key.clone(),
                }),
            };
            return Ok(Target {
                name: url.clone(),
                api,
                pids: self.pid.clone(),
                server: None,
                redis: None,
            });
        }
        let redis = match self.target {
            Kind::Floor | Kind::Memory | Kind::DurableStreams | Kind::DurableStreamsMemory => None,
            Kind::Shared | Kind::Exclusive => Some(Redis::start(self.redis_tcp).await?),
            Kind::Nchan => Some(Redis::start(true).await?),
        };
        let store = redis
            .as_ref()
            .map_or_else(|| "memory:".to_owned(), Redis::url);
        let (server, api) = match self.target {
            Kind::Nchan => nchan::start(&self.peers, &store).await?,
            Kind::DurableStreams => durable_streams::start(&self.peers, "wal").await?,
            Kind::DurableStreamsMemory => durable_streams::start(&self.peers, "memory").await?,
            kind => server::start(kind, &self.broker, &store, &self.settings).await?,
        };
        Ok(Target {
            name: self.target.name().to_owned(),
            api,
            pids: server.pids.clone(),
            server: Some(server),
            redis,
        })
    }
}

/// What to do about a peer that is not there.
fn not_set_up(path: &Path) -> String {
    format!(
        "{} (it is put there by `bench/peers/setup`)",
        path.display()
    )
}

async fn resolve(url: &str) -> Outcome<SocketAddr> {
    let wrong = || Problem::Other(format!("--url {url} is not http://HOST:PORT"));
    let authority = url
        .strip_prefix("http://")
        .ok_or_else(wrong)?
        .trim_end_matches('/');
    let named = if authority.contains(':') {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    tokio::net::lookup_host(named)
        .await
        .map_err(|error| Problem::System(format!("--url {url}"), error))?
        .next()
        .ok_or_else(wrong)
}

impl Target {
    pub(crate) fn cpu(&self) -> Cpu {
        Cpu {
            broker: self.pids.iter().map(|pid| process::cpu_us(*pid)).sum(),
            redis: self
                .redis
                .as_ref()
                .and_then(Redis::pid)
                .map_or(0.0, process::cpu_us),
        }
    }

    /// Whether its processes can be looked into.
    pub(crate) fn is_near(&self) -> bool {
        !self.pids.is_empty()
    }

    pub(crate) fn has_redis(&self) -> bool {
        self.redis.is_some()
    }

    /// Resident memory of the broker, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        match self.pids[..] {
            [pid] => process::memory(pid),
            // What several share would be counted as often.
            _ => self
                .pids
                .iter()
                .map(|pid| process::share_of_memory(*pid))
                .sum(),
        }
    }

    /// What Redis says of itself; zeros without one.
    pub(crate) async fn redis_state(&self) -> Outcome<RedisState> {
        match &self.redis {
            Some(redis) => redis.state().await,
            None => Ok(RedisState::default()),
        }
    }

    /// Stops what was started.
    pub(crate) async fn stop(self) -> Outcome<()> {
        if let Some(server) = self.server {
            server.stop().await?;
        }
        match self.redis {
            Some(redis) => redis.stop().await,
            None => Ok(()),
        }
    }
}

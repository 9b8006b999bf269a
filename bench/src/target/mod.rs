//! The measured server: a broker with its own Redis, the baseline or a peer, which the run starts;
//! or a broker that already runs.

mod durable_streams;
mod kind;
mod nchan;
mod peers;
mod redis;
mod server;
mod server_process;
mod temp_folder;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use self::{kind::Kind, redis::RedisState};
use self::{redis::Redis, server_process::ServerProcess};
use crate::{
    api::Api,
    error::{Error, Outcome},
    process,
    protocol::Broker,
};

/// The target, from the command line.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Selection {
    /// Start this server, measure it, and stop it
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "shared",
        conflicts_with = "url"
    )]
    pub(crate) target: Kind,
    /// The broker's program; the baseline's must be in the same folder
    #[arg(long, global = true, default_value = "target/release/tinistreamer")]
    pub(crate) broker: PathBuf,
    /// The folder of the peers, which bench/peers/setup fills
    #[arg(long, global = true, default_value = "target/peers")]
    pub(crate) peers: PathBuf,
    /// Let the broker reach Redis over TCP, as nchan must, instead of a Unix socket
    #[arg(long, global = true)]
    pub(crate) redis_tcp: bool,
    /// Another setting of the started broker, such as HEARTBEAT=30
    #[arg(long = "set", global = true, value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Measure a running broker, such as `http://10.0.0.1:8000`
    #[arg(long, global = true, requires = "api_key")]
    url: Option<String>,
    /// The API key of the running broker
    #[arg(long, global = true)]
    api_key: Option<String>,
    /// Processes of the running broker whose processor time and memory to read
    #[arg(long, global = true)]
    pid: Vec<u32>,
}

/// A running target.
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) api: Api,
    pids: Vec<u32>,
    server: Option<ServerProcess>,
    redis: Option<Redis>,
}

/// Processor time so far, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    pub(crate) broker: f64,
    pub(crate) redis: f64,
}

impl Selection {
    /// The same selection with another kind of server.
    pub(crate) fn of(&self, target: Kind) -> Self {
        Self {
            target,
            url: None,
            ..self.clone()
        }
    }

    /// The same selection with another build of the broker.
    pub(crate) fn with_broker(&self, program: &Path) -> Self {
        Self {
            broker: program.to_owned(),
            ..self.clone()
        }
    }

    /// Adds a setting of the broker.
    pub(crate) fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    /// Starts the target for this many subscribers.
    pub(crate) async fn start(&self, subscribers: usize) -> Outcome<Target> {
        // Closed connections keep their files for a while, so that some more are needed.
        process::allow_files(self.target.files(subscribers)).map_err(Error::Other)?;
        if let (Some(url), Some(api_key)) = (&self.url, &self.api_key) {
            let address = resolve(url).await?;
            let api = Api {
                address,
                protocol: Arc::new(Broker {
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
            Kind::Baseline | Kind::Memory | Kind::DurableStreams | Kind::DurableStreamsMemory => {
                None
            }
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

async fn resolve(url: &str) -> Outcome<SocketAddr> {
    let wrong = || Error::Other(format!("--url {url} is not http://HOST:PORT"));
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
        .map_err(|error| Error::System(format!("--url {url}"), error))?
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

    /// Whether its processes run on this machine.
    pub(crate) fn is_local(&self) -> bool {
        !self.pids.is_empty()
    }

    pub(crate) fn has_redis(&self) -> bool {
        self.redis.is_some()
    }

    /// Resident memory of the broker, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        match self.pids[..] {
            [pid] => process::memory(pid),
            // Pages that the processes share must not count several times.
            _ => self
                .pids
                .iter()
                .map(|pid| process::proportional_memory(*pid))
                .sum(),
        }
    }

    /// The state of Redis. Zeros without one.
    pub(crate) async fn redis_state(&self) -> Outcome<RedisState> {
        match &self.redis {
            Some(redis) => redis.state().await,
            None => Ok(RedisState::default()),
        }
    }

    /// Stops the started processes.
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

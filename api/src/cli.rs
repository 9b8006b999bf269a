//! The command line. Without a command, `tinistreamer` serves.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand, ValueEnum};
use tinistreamer::{
    config::{self, Settings},
    http::openapi,
    presence::SubscriberCounts,
    store::{SharedStore, StoreError, StoreFault},
    telemetry::metrics::{Metrics, SharedMetrics},
};

use crate::{
    failure::Failure,
    scripts::{BrokerParts, Script},
    serve,
    setup::{Purpose, Setup, random_hex, runtime, setup, store},
    tinysse_arguments::TinysseArguments,
    tinysse_cli,
};

/// How often `check` asks again when the store does not answer.
const CHECK_RETRIES: usize = 4;

/// Timeout of each step of `health`: to connect, and to read.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// The most bytes of a health response that `health` reads.
const MAX_HEALTH_BYTES: u64 = 4096;

/// A stateless HTTP streaming broker on Redis Streams.
///
/// Without a command it serves. It reads settings from the environment (STREAMER_*), from a .env
/// file and from Rocket.toml, in this order: the first that has a setting wins. `tinistreamer
/// settings` lists them all.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve. This is the default
    Serve,
    /// Serve on this machine only, to try the broker and to develop. Needs no settings and no Redis
    ///
    /// The broker keeps streams in memory. It listens on the loopback address and serves the
    /// console. It makes up the keys that are not set. Other settings work as without this command.
    Dev {
        /// The port to listen on. The default is `STREAMER_PORT`, or else the first free port from
        /// 8000 on
        #[arg(long)]
        port: Option<u16>,
    },
    /// Serve the HTTP interface of tinysse, with its options and its `TINYSSE_*` variables
    ///
    /// Messages are in memory, or in Redis where several nodes share them. Limits and the log have
    /// the settings of the broker (`STREAMER_*`). It needs no keys.
    Tinysse(Box<TinysseArguments>),
    /// Print a new `STREAMER_API_KEY` and `STREAMER_SECRET_KEY`, as lines of a .env file
    Keygen,
    /// Check the settings and the script, ask the store for an answer, and exit
    Check,
    /// Ask the broker on this machine whether it is alive. For health checks of containers
    Health,
    /// Print every setting with its meaning, its values and its default
    Settings {
        /// The output format
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Print the OpenAPI document
    Openapi,
}

/// The output format of the settings' reference.
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Text for a terminal
    Text,
    /// A Markdown table
    Markdown,
    /// A .env file, with the settings commented out
    Env,
}

/// Runs the command of this process. Writes to standard error why it failed.
pub(crate) fn run() -> ExitCode {
    let command = Arguments::parse().command.unwrap_or(Command::Serve);
    match execute(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where standard error is closed, nothing else can be done.
            let _ = writeln!(io::stderr(), "{failure}");
            failure.exit_code()
        }
    }
}

fn execute(command: Command) -> Result<(), Failure> {
    match command {
        Command::Keygen => keygen(),
        Command::Openapi => print(&openapi::document_json()?),
        Command::Settings { format } => print(&match format {
            Format::Text => config::text(),
            Format::Markdown => config::markdown(),
            Format::Env => config::env_example(),
        }),
        Command::Serve => serve(Purpose::Serve),
        Command::Dev { port } => serve(Purpose::Dev { port }),
        Command::Tinysse(arguments) => tinysse_cli::run(&arguments),
        Command::Check => {
            let setup = setup(Purpose::Serve)?;
            runtime()?.block_on(check(setup))
        }
        Command::Health => health(&setup(Purpose::Serve)?.settings),
    }
}

fn serve(purpose: Purpose) -> Result<(), Failure> {
    let setup = setup(purpose)?;
    runtime()?.block_on(serve::serve(setup))
}

fn print(text: &str) -> Result<(), Failure> {
    Ok(io::stdout().write_all(text.as_bytes())?)
}

fn keygen() -> Result<(), Failure> {
    print(&format!(
        "STREAMER_API_KEY={}\nSTREAMER_SECRET_KEY={}\n",
        random_hex(16)?,
        random_hex(32)?
    ))
}

/// Checks the settings and the store. Prints the warnings.
async fn check(setup: Setup) -> Result<(), Failure> {
    let settings = &setup.settings;
    let metrics = Metrics::new(settings.redis_delivery(), settings.max_clients);
    let store = store(settings, SharedMetrics::clone(&metrics))?;
    let parts = BrokerParts {
        store: SharedStore::clone(&store),
        counts: SubscriberCounts::shared(metrics.streams.followed.clone()),
        default_stream: None,
    };
    Script::load(settings, metrics, parts).await?;
    let mut ready = store.ready().await;
    // To resolve the name of a host may take longer than a probe waits. This command can wait.
    for _ in 0..CHECK_RETRIES {
        let is_silent = matches!(
            ready,
            Err(StoreError::Refused {
                fault: StoreFault::Silent,
                ..
            })
        );
        if !is_silent {
            break;
        }
        ready = store.ready().await;
    }
    let warnings = ready?;
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

/// Sends `GET /api/health` to the broker on this machine.
fn health(settings: &Settings) -> Result<(), Failure> {
    let ip = match settings.address {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, settings.port);
    let reason = match health_response(address) {
        Ok(response) if response.starts_with(b"HTTP/1.1 200") => return Ok(()),
        Ok(_) => "it does not answer 200".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Failure::Unhealthy { address, reason })
}

fn health_response(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut connection = TcpStream::connect_timeout(&address, HEALTH_TIMEOUT)?;
    connection.set_read_timeout(Some(HEALTH_TIMEOUT))?;
    connection
        .write_all(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut response = Vec::new();
    connection
        .take(MAX_HEALTH_BYTES)
        .read_to_end(&mut response)?;
    Ok(response)
}

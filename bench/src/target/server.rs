//! Starting the broker or the floor, and learning where it listens.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::{Kind, running::Running};
use crate::{
    api::Api,
    dialect::{Broker, Dialect, Floor},
    problem::{Outcome, Problem},
};

const API_KEY: &str = "bench-api-key-0123456789";
const SECRET_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

pub(super) async fn start(
    kind: Kind,
    broker: &Path,
    redis: &str,
    settings: &[String],
) -> Outcome<(Running, Api)> {
    let floor = broker.with_file_name("tinistreamer-floor");
    let program = program(if kind == Kind::Floor { &floor } else { broker }, |path| {
        format!(
            "{} (it is built by `cargo build --release --workspace`)",
            path.display()
        )
    })?;
    let mut command = Command::new(&program);
    // In the root, so that no .env and no Rocket.toml is found; with an environment of its own for
    // the same reason.
    command
        .env_clear()
        .env("ROCKET_PROFILE", "release")
        .current_dir("/")
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    if kind != Kind::Floor {
        let delivery = if kind == Kind::Exclusive {
            "exclusive"
        } else {
            "shared"
        };
        let fixed = [
            ("API_KEY", API_KEY),
            ("SECRET_KEY", SECRET_KEY),
            ("PORT", "0"),
            ("REDIS_URL", redis),
            ("DELIVERY", delivery),
            ("MAX_CLIENTS", "20000"),
            ("LOG", "warn"),
        ];
        command.envs(fixed.map(|(name, value)| (format!("STREAMER_{name}"), value)));
        for setting in settings {
            let (name, value) = setting
                .split_once('=')
                .ok_or_else(|| Problem::Other(format!("--set {setting} is not NAME=VALUE")))?;
            command.env(
                format!("STREAMER_{}", name.trim_start_matches("STREAMER_")),
                value,
            );
        }
    }
    let (child, address) = spawn(&program, &mut command).await?;
    let dialect: Arc<dyn Dialect> = if kind == Kind::Floor {
        Arc::new(Floor)
    } else {
        Arc::new(Broker {
            api_key: API_KEY.to_owned(),
        })
    };
    Ok((Running::new(child, None), Api { address, dialect }))
}

/// The program's whole path; where there is none, the problem says what `missing` makes of it.
pub(super) fn program(path: &Path, missing: impl Fn(&Path) -> String) -> Outcome<PathBuf> {
    path.canonicalize()
        .map_err(|error| Problem::System(missing(path), error))
}

/// Starts a program that says in the first line of its output where it listens.
pub(super) async fn spawn(program: &Path, command: &mut Command) -> Outcome<(Child, SocketAddr)> {
    let mut child = command
        .spawn()
        .map_err(|error| Problem::System(program.display().to_string(), error))?;
    let address = address(&mut child)
        .await
        .ok_or_else(|| Problem::Other(format!("{} does not start", program.display())))?;
    Ok((child, address))
}

/// The address in the first line of its output.
async fn address(child: &mut Child) -> Option<SocketAddr> {
    let mut lines = BufReader::new(child.stdout.take()?).lines();
    let line = timeout(Duration::from_secs(10), lines.next_line())
        .await
        .ok()?
        .ok()??;
    // Nothing more is said there, and nobody reads on: it stays open with the child, so that a
    // write would not fail.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    line.split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("http://"))?
        .parse()
        .ok()
}

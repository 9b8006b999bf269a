//! Starts the broker or the baseline, and reads its address.

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

use super::{kind::Kind, server_process::ServerProcess};
use crate::{
    api::Api,
    error::{Error, Outcome},
    protocol::{Baseline, Broker, Protocol},
};

const API_KEY: &str = "bench-api-key-0123456789";
const SECRET_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

pub(super) async fn start(
    kind: Kind,
    broker: &Path,
    redis: &str,
    settings: &[String],
) -> Outcome<(ServerProcess, Api)> {
    let baseline = broker.with_file_name("tinistreamer-baseline");
    let program = program(
        if kind == Kind::Baseline {
            &baseline
        } else {
            broker
        },
        |path| {
            format!(
                "{} (`cargo build --release --workspace` builds it)",
                path.display()
            )
        },
    )?;
    let mut command = Command::new(&program);
    // In the root folder and with an empty environment, so that no .env and no Rocket.toml applies.
    command
        .env_clear()
        .env("ROCKET_PROFILE", "release")
        .current_dir("/")
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    if kind != Kind::Baseline {
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
                .ok_or_else(|| Error::Other(format!("--set {setting} is not NAME=VALUE")))?;
            command.env(
                format!("STREAMER_{}", name.trim_start_matches("STREAMER_")),
                value,
            );
        }
    }
    let (child, address) = spawn(&program, &mut command).await?;
    let protocol: Arc<dyn Protocol> = if kind == Kind::Baseline {
        Arc::new(Baseline)
    } else {
        Arc::new(Broker {
            api_key: API_KEY.to_owned(),
        })
    };
    Ok((ServerProcess::new(child, None), Api { address, protocol }))
}

/// The absolute path of a program. If there is none, the error has the text of `missing`.
pub(super) fn program(path: &Path, missing: impl Fn(&Path) -> String) -> Outcome<PathBuf> {
    path.canonicalize()
        .map_err(|error| Error::System(missing(path), error))
}

/// Starts a program that prints its address in the first line of its output.
pub(super) async fn spawn(program: &Path, command: &mut Command) -> Outcome<(Child, SocketAddr)> {
    let mut child = command
        .spawn()
        .map_err(|error| Error::System(program.display().to_string(), error))?;
    let address = address(&mut child)
        .await
        .ok_or_else(|| Error::Other(format!("{} does not start", program.display())))?;
    Ok((child, address))
}

/// Reads the address in the first line of the output.
async fn address(child: &mut Child) -> Option<SocketAddr> {
    let mut lines = BufReader::new(child.stdout.take()?).lines();
    let line = timeout(Duration::from_secs(10), lines.next_line())
        .await
        .ok()?
        .ok()??;
    // The output must stay open until the process ends, or its writes would fail.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    line.split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("http://"))?
        .parse()
        .ok()
}

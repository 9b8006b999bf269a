//! Starting the broker or the floor, and learning where it listens.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::{Kind, redis::Redis};
use crate::{
    api::Api,
    problem::{Outcome, Problem},
};

const API_KEY: &str = "bench-api-key-0123456789";
const SECRET_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

pub(super) async fn start(kind: Kind, broker: &Path, redis: Option<&Redis>, settings: &[String]) -> Outcome<(Child, Api)> {
    let floor = broker.with_file_name("tinistreamer-floor");
    let program = if kind == Kind::Floor { &floor } else { broker };
    let program = program
        .canonicalize()
        .map_err(|error| Problem::System(format!("{} (it is built by `cargo build --release --workspace`)", program.display()), error))?;
    let mut command = Command::new(&program);
    // In the root, so that no .env and no Rocket.toml is found; with an environment of its own for the same reason.
    command.env_clear().env("ROCKET_PROFILE", "release").current_dir("/").stdout(Stdio::piped()).kill_on_drop(true);
    if kind != Kind::Floor {
        let url = redis.map_or_else(|| "memory:".to_owned(), Redis::url);
        let delivery = if kind == Kind::Exclusive { "exclusive" } else { "shared" };
        let fixed = [
            ("API_KEY", API_KEY),
            ("SECRET_KEY", SECRET_KEY),
            ("PORT", "0"),
            ("REDIS_URL", &url),
            ("DELIVERY", delivery),
            ("MAX_CLIENTS", "20000"),
            ("LOG", "warn"),
        ];
        command.envs(fixed.map(|(name, value)| (format!("STREAMER_{name}"), value)));
        for setting in settings {
            let (name, value) = setting.split_once('=').ok_or_else(|| Problem::Other(format!("--set {setting} is not NAME=VALUE")))?;
            command.env(format!("STREAMER_{}", name.trim_start_matches("STREAMER_")), value);
        }
    }
    let mut child = command.spawn().map_err(|error| Problem::System(program.display().to_string(), error))?;
    let address = address(&mut child).await.ok_or_else(|| Problem::Other(format!("{} does not start", program.display())))?;
    let api_key = (kind != Kind::Floor).then(|| API_KEY.to_owned());
    Ok((child, Api { address, api_key }))
}

/// The address in the first line of its output.
async fn address(child: &mut Child) -> Option<SocketAddr> {
    let mut lines = BufReader::new(child.stdout.take()?).lines();
    let line = timeout(Duration::from_secs(10), lines.next_line()).await.ok()?.ok()??;
    // Nothing more is said there, and nobody reads on: it stays open with the child, so that a write would not fail.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix("http://"))?.parse().ok()
}

//! Starts the server of the crate `durable-streams`.

use std::{path::Path, process::Stdio, sync::Arc};

use tokio::process::Command;

use super::{
    server::{program, spawn},
    server_process::{ServerProcess, free_address},
    temp_folder::TempFolder,
};
use crate::{api::Api, error::Outcome, protocol::DurableStreams};

/// The program, in the folder that `peers/setup` fills.
const PROGRAM: &str = "bin/durable-streams-server";

pub(super) async fn start(peers: &Path, durability: &str) -> Outcome<(ServerProcess, Api)> {
    let program = program(&peers.join(PROGRAM), super::peers::not_set_up)?;
    let folder = TempFolder::new()?;
    let mut command = Command::new(&program);
    command
        .args([
            "--durability",
            durability,
            "--port",
            &free_address()?.port().to_string(),
            "--data-dir",
        ])
        .arg(folder.path());
    let (child, address) =
        spawn(&program, command.stdout(Stdio::piped()).kill_on_drop(true)).await?;
    Ok((
        ServerProcess::new(child, Some(folder)),
        Api {
            address,
            protocol: Arc::new(DurableStreams),
        },
    ))
}

//! Starting the server of the crate `durable-streams`.

use std::{path::Path, process::Stdio, sync::Arc};

use tokio::process::Command;

use super::{
    folder::Folder,
    running::{Running, free_address},
    server::{program, spawn},
};
use crate::{api::Api, dialect::DurableStreams, problem::Outcome};

/// The program, in the folder that `peers/setup` fills.
const PROGRAM: &str = "bin/durable-streams-server";

pub(super) async fn start(peers: &Path, durability: &str) -> Outcome<(Running, Api)> {
    let program = program(&peers.join(PROGRAM), super::not_set_up)?;
    let folder = Folder::new()?;
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
        Running::new(child, Some(folder)),
        Api {
            address,
            dialect: Arc::new(DurableStreams),
        },
    ))
}

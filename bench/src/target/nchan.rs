//! Starts nginx with nchan, over the Redis of the run.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use tokio::{process::Command, time::sleep};

use super::{
    server_process::{ServerProcess, free_address},
    temp_folder::TempFolder,
};
use crate::{
    api::Api,
    error::{Error, Outcome},
    http::Connection,
    process,
    protocol::{Nchan, Request},
};

const CONFIGURATION: &str = include_str!("../../peers/nginx.conf");

/// The module, in the folder that `peers/setup` fills.
const MODULE: &str = "nchan/usr/lib/nginx/modules/ngx_nchan_module.so";

pub(super) async fn start(peers: &Path, redis: &str) -> Outcome<(ServerProcess, Api)> {
    let module = peers.join(MODULE);
    let module = module
        .canonicalize()
        .map_err(|error| Error::System(super::peers::not_set_up(&module), error))?;
    let (folder, address) = (TempFolder::new()?, free_address()?);
    let workers = std::thread::available_parallelism()?.get();
    let configuration = CONFIGURATION
        .replace("@MODULE@", &module.display().to_string())
        .replace("@WORKERS@", &workers.to_string())
        .replace("@ADDRESS@", &address.to_string())
        .replace("@REDIS@", redis);
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, configuration)
        .map_err(|error| Error::System(file.display().to_string(), error))?;

    let child = Command::from(nginx(&folder))
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Error::System("nginx".to_owned(), error))?;
    let mut quit = nginx(&folder);
    // Killing the master process would leave its workers running.
    quit.args(["-s", "stop"]).stderr(Stdio::null());
    let mut running = ServerProcess::new(child, Some(folder));
    running.quit = Some(quit);
    let api = Api {
        address,
        protocol: Arc::new(Nchan),
    };
    for _ in 0..500 {
        let pids = running
            .child
            .id()
            .map(process::children)
            .unwrap_or_default();
        if pids.len() == workers && connected(&api).await == Some(workers) {
            running.pids.extend(pids);
            return Ok((running, api));
        }
        sleep(Duration::from_millis(10)).await;
    }
    Err(Error::Other(
        "nginx with nchan is not ready within five seconds".to_owned(),
    ))
}

/// The command that starts nginx, or stops it with further arguments.
fn nginx(folder: &TempFolder) -> std::process::Command {
    let mut command = std::process::Command::new("nginx");
    command
        .arg("-p")
        .arg(folder.path())
        .args(["-e", "stderr", "-c", "nginx.conf"])
        .stdout(Stdio::null());
    command
}

/// How many workers are connected to Redis. Without the connection they respond with 503.
async fn connected(api: &Api) -> Option<usize> {
    let mut connection = Connection::open(api.address, None).await.ok()?;
    connection
        .send(&Request::get("/status".to_owned()).encode(api.address))
        .await
        .ok()?;
    workers_connected(&String::from_utf8_lossy(
        &connection.response().await.ok()?.body,
    ))
}

fn workers_connected(status: &str) -> Option<usize> {
    status
        .lines()
        .find_map(|line| line.strip_prefix("redis connected servers: ")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_has_the_number_of_workers_with_redis() {
        assert_eq!(
            workers_connected(
                "subscribers: 0\nredis connected servers: 2\nredis unhealthy upstreams: 0\n"
            ),
            Some(2)
        );
    }
}

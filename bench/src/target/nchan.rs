//! Starting nginx with nchan, over the Redis of the run.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use tokio::{process::Command, time::sleep};

use super::{
    folder::Folder,
    running::{Running, free_address},
};
use crate::{
    api::Api,
    dialect::{Nchan, Request},
    http::Connection,
    problem::{Outcome, Problem},
    process,
};

const CONFIGURATION: &str = include_str!("../../peers/nginx.conf");

/// The module, in the folder that `peers/setup` fills.
const MODULE: &str = "nchan/usr/lib/nginx/modules/ngx_nchan_module.so";

pub(super) async fn start(peers: &Path, redis: &str) -> Outcome<(Running, Api)> {
    let module = peers.join(MODULE);
    let module = module
        .canonicalize()
        .map_err(|error| Problem::System(super::not_set_up(&module), error))?;
    let (folder, address) = (Folder::new()?, free_address()?);
    let workers = std::thread::available_parallelism()?.get();
    let configuration = CONFIGURATION
        .replace("@MODULE@", &module.display().to_string())
        .replace("@WORKERS@", &workers.to_string())
        .replace("@ADDRESS@", &address.to_string())
        .replace("@REDIS@", redis);
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, configuration)
        .map_err(|error| Problem::System(file.display().to_string(), error))?;

    let child = Command::from(nginx(&folder))
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Problem::System("nginx".to_owned(), error))?;
    let mut quit = nginx(&folder);
    // A master that is killed leaves its workers behind.
    quit.args(["-s", "stop"]).stderr(Stdio::null());
    let mut running = Running::new(child, Some(folder));
    running.quit = Some(quit);
    let api = Api {
        address,
        dialect: Arc::new(Nchan),
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
    Err(Problem::Other(
        "nginx with nchan is not ready within five seconds".to_owned(),
    ))
}

/// The same program and files, to start it and to stop it.
fn nginx(folder: &Folder) -> std::process::Command {
    let mut command = std::process::Command::new("nginx");
    command
        .arg("-p")
        .arg(folder.path())
        .args(["-e", "stderr", "-c", "nginx.conf"])
        .stdout(Stdio::null());
    command
}

/// How many workers have their connection to Redis, which they answer 503 without.
async fn connected(api: &Api) -> Option<usize> {
    let mut connection = Connection::open(api.address, None).await.ok()?;
    connection
        .send(&Request::get("/status".to_owned()).encode(api.address))
        .await
        .ok()?;
    workers_connected(&String::from_utf8_lossy(
        &connection.answer().await.ok()?.body,
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
    fn the_status_tells_how_many_workers_have_redis() {
        assert_eq!(
            workers_connected(
                "subscribers: 0\nredis connected servers: 2\nredis unhealthy upstreams: 0\n"
            ),
            Some(2)
        );
    }
}

//! A private Redis, on a socket in a folder of its own, that keeps nothing on disk.

use std::{path::PathBuf, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    process::{Child, Command},
    time::sleep,
};

use crate::problem::{Outcome, Problem};

pub(super) struct Redis {
    child: Child,
    folder: Folder,
}

/// What Redis says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RedisState {
    /// Bytes in use.
    pub(crate) memory: u64,
    /// Connections, without the one that asks.
    pub(crate) connections: u64,
}

/// Removed when dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Redis {
    pub(super) async fn start() -> Outcome<Self> {
        let name = format!("tinistreamer-bench-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let folder = Folder(std::env::temp_dir().join(name));
        std::fs::create_dir_all(&folder.0).map_err(|error| Problem::System(folder.0.display().to_string(), error))?;
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--maxclients", "20000", "--unixsocket"])
            .arg(folder.0.join("redis.sock"))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Problem::System("redis-server".to_owned(), error))?;
        let redis = Self { child, folder };
        for _ in 0..500 {
            if redis.info("server").await.is_ok() {
                return Ok(redis);
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err(Problem::Other("redis-server does not answer within five seconds".to_owned()))
    }

    pub(super) fn url(&self) -> String {
        format!("unix://{}", self.folder.0.join("redis.sock").display())
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub(super) async fn state(&self) -> Outcome<RedisState> {
        let memory = field(&self.info("memory").await?, "used_memory");
        let connections = field(&self.info("clients").await?, "connected_clients").saturating_sub(1);
        Ok(RedisState { memory, connections })
    }

    /// `INFO`, as text.
    async fn info(&self, section: &str) -> std::io::Result<String> {
        let mut stream = BufReader::new(UnixStream::connect(self.folder.0.join("redis.sock")).await?);
        stream.write_all(format!("INFO {section}\r\n").as_bytes()).await?;
        let mut size = String::new();
        stream.read_line(&mut size).await?;
        let size = size.trim().strip_prefix('$').and_then(|size| size.parse().ok()).ok_or(std::io::ErrorKind::InvalidData)?;
        let mut text = vec![0; size];
        stream.read_exact(&mut text).await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    pub(super) async fn stop(mut self) -> Outcome<()> {
        Ok(self.child.kill().await?)
    }
}

fn field(info: &str, name: &str) -> u64 {
    let value = info.lines().filter_map(|line| line.split_once(':')).find(|(field, _)| *field == name);
    value.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or_default()
}

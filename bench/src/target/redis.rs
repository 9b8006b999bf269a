//! A private Redis with a socket in a temporary folder. It stores nothing on disk.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    process::{Child, Command},
    time::sleep,
};

use super::{server_process::free_address, temp_folder::TempFolder};
use crate::error::{Error, Outcome};

pub(super) struct Redis {
    child: Child,
    /// Its TCP address, besides its socket.
    address: Option<SocketAddr>,
    folder: TempFolder,
}

/// The memory and connections of Redis.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RedisState {
    /// Bytes in use.
    pub(crate) memory: u64,
    /// Connections, without the one that reads this.
    pub(crate) connections: u64,
}

impl Redis {
    /// Starts Redis. With `tcp`, others reach it over TCP instead of its socket.
    pub(super) async fn start(tcp: bool) -> Outcome<Self> {
        let folder = TempFolder::new()?;
        let address = tcp.then(free_address).transpose()?;
        let port = address.map_or(0, |address| address.port()).to_string();
        let child = Command::new("redis-server")
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                &port,
                "--save",
                "",
                "--appendonly",
                "no",
                "--maxclients",
                "20000",
                "--unixsocket",
            ])
            .arg(folder.path().join("redis.sock"))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Error::System("redis-server".to_owned(), error))?;
        let redis = Self {
            child,
            address,
            folder,
        };
        for _ in 0..500 {
            if redis.info("server").await.is_ok() {
                return Ok(redis);
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err(Error::Other(
            "redis-server does not answer within five seconds".to_owned(),
        ))
    }

    pub(super) fn url(&self) -> String {
        match self.address {
            Some(address) => format!("redis://{address}"),
            None => format!("unix://{}", self.folder.path().join("redis.sock").display()),
        }
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub(super) async fn state(&self) -> Outcome<RedisState> {
        let memory = field(&self.info("memory").await?, "used_memory");
        let connections =
            field(&self.info("clients").await?, "connected_clients").saturating_sub(1);
        Ok(RedisState {
            memory,
            connections,
        })
    }

    /// The text of `INFO`.
    async fn info(&self, section: &str) -> std::io::Result<String> {
        let mut stream =
            BufReader::new(UnixStream::connect(self.folder.path().join("redis.sock")).await?);
        stream
            .write_all(format!("INFO {section}\r\n").as_bytes())
            .await?;
        let mut size = String::new();
        stream.read_line(&mut size).await?;
        let size = size
            .trim()
            .strip_prefix('$')
            .and_then(|size| size.parse().ok())
            .ok_or(std::io::ErrorKind::InvalidData)?;
        let mut text = vec![0; size];
        stream.read_exact(&mut text).await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    pub(super) async fn stop(mut self) -> Outcome<()> {
        Ok(self.child.kill().await?)
    }
}

fn field(info: &str, name: &str) -> u64 {
    let value = info
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(field, _)| *field == name);
    value
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or_default()
}

//! A started server, and how it is stopped.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use tokio::process::Child;

use super::temp_folder::TempFolder;
use crate::error::Outcome;

/// Stops the server when dropped, so that an interrupted or failed run leaves nothing behind.
pub(super) struct ServerProcess {
    pub(super) child: Child,
    /// All of its processes.
    pub(super) pids: Vec<u32>,
    /// The command that stops it, where killing it would leave child processes behind.
    pub(super) quit: Option<std::process::Command>,
    /// The folder of its files, which is removed after it has ended.
    pub(super) _folder: Option<TempFolder>,
}

impl ServerProcess {
    /// A server with a single process.
    pub(super) fn new(child: Child, folder: Option<TempFolder>) -> Self {
        let pids = child.id().into_iter().collect();
        Self {
            child,
            pids,
            quit: None,
            _folder: folder,
        }
    }

    pub(super) async fn stop(mut self) -> Outcome<()> {
        if self.quit.is_none() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let Some(quit) = &mut self.quit else { return };
        let mut stopping = false;
        // A process that still runs after five seconds is killed when it is dropped.
        for _ in 0..500 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            // A server that has just been started may not accept the command yet.
            stopping = stopping || quit.status().is_ok_and(|status| status.success());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// An address that is free at the moment, for a server that can't choose one itself.
pub(super) fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

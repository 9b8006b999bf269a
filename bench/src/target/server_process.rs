//! A server that was started, and how it ends.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use tokio::process::Child;

use super::folder::Folder;
use crate::problem::Outcome;

/// Stopped when dropped, too: interrupted or failed, a run leaves nothing behind.
pub(super) struct Running {
    pub(super) child: Child,
    /// All of its processes.
    pub(super) pids: Vec<u32>,
    /// What stops it, where killing it would leave processes of its own behind.
    pub(super) quit: Option<std::process::Command>,
    /// What it writes to, removed after its end.
    pub(super) _folder: Option<Folder>,
}

impl Running {
    /// One process.
    pub(super) fn new(child: Child, folder: Option<Folder>) -> Self {
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

impl Drop for Running {
    fn drop(&mut self) {
        let Some(quit) = &mut self.quit else { return };
        let mut asked = false;
        // What is still there after five seconds is killed as it is dropped.
        for _ in 0..500 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            // Only just started, it may not know yet how to be asked.
            asked = asked || quit.status().is_ok_and(|status| status.success());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// An address that was free just now, for a server that can't choose one itself.
pub(super) fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

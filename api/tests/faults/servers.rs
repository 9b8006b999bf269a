//! Operations on servers that only these tests need.

use std::process::Command;

use crate::{
    common::{Broker, Kind, redis::Redis},
    fleet::eventually,
};

/// Redis persists every write that it acknowledges, however it ends.
pub(crate) const KEEP: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

impl Redis {
    pub(crate) fn pid(&self) -> u32 {
        let info = self.cli(&["info", "server"]);
        let pid = info
            .lines()
            .find_map(|line| line.trim_end().strip_prefix("process_id:"));
        pid.and_then(|pid| pid.parse().ok()).expect("a process id")
    }
}

/// Waits until a node receives notifications for the stream, in shared delivery.
pub(crate) async fn wait_for_subscription(redis: &Redis, kind: Kind, key: &str) {
    let is_subscribed = || {
        !redis
            .cli(&["pubsub", "channels", &format!("*:live:{key}")])
            .is_empty()
    };
    if kind == Kind::Shared {
        eventually(
            "a node is subscribed to the stream's channel",
            is_subscribed,
        )
        .await;
    }
}

impl Broker {
    /// The resident memory in bytes, as the kernel counts it.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!(
            "/proc/{}/status",
            self.process.id().expect("it runs")
        ))
        .expect("its status");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("its memory");
        let kilobytes: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number");
        kilobytes << 10
    }
}

pub(crate) fn signal(pid: u32, signal: &str) {
    assert!(
        Command::new("kill")
            .args([signal, &pid.to_string()])
            .status()
            .expect("kill runs")
            .success()
    );
}

/// Raises the limit on open files for this process and the processes that it starts.
pub(crate) fn allow_open_files(count: u32) {
    let pid = std::process::id().to_string();
    let hard = std::fs::read_to_string("/proc/self/limits").expect("the limits");
    let hard = hard.lines().find_map(|line| {
        line.strip_prefix("Max open files")?
            .split_whitespace()
            .nth(1)?
            .parse()
            .ok()
    });
    assert!(
        hard.is_none_or(|hard: u32| hard >= count),
        "the system lets nobody have {count} files: see `ulimit -Hn`"
    );
    let raised = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--nofile={count}:")])
        .status();
    assert!(raised.expect("prlimit runs").success());
}

//! Operations on servers that only these tests need.

use std::process::Command;

use crate::{
    common::{Broker, Kind, redis::Redis},
    fleet::eventually,
};

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
    /// The resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.resident_kb() << 10
    }
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
        "the system allows fewer than {count} open files: see `ulimit -Hn`"
    );
    let raised = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--nofile={count}:")])
        .status();
    assert!(raised.expect("prlimit runs").success());
}

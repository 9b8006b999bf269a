//! A Redis server that belongs to the tests.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Arguments of a Redis that persists every write that it acknowledges, however it ends.
pub(crate) const PERSISTENT: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// A private `redis-server` on a unix socket. Stopped when dropped, and also when the test process
/// ends in any way.
pub(crate) struct Redis {
    process: Child,
    folder: TempDir,
}

impl Redis {
    /// Starts a server with further arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(&[], arguments)
    }

    /// Starts a server with these environment variables, too.
    pub(crate) fn start_in(environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let process = Self::spawn(&folder, environment, arguments);
        let redis = Self { process, folder };
        redis.wait();
        redis
    }

    /// The server that most tests share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&[]))
    }

    fn spawn(folder: &TempDir, environment: &[(&str, &str)], arguments: &[&str]) -> Child {
        let socket = folder.path().join("redis.sock");
        // The shell waits on a pipe that closes with this process, and then kills the server.
        let script = concat!(
            r#"redis-server --port 0 --cluster-config-file "$1/nodes" --save "" --appendonly no "#,
            r#"--unixsocket "$0" --dir "$1" "${@:2}" >"$1/log" 2>&1 & read -r _; kill -9 $!"#,
        );
        Command::new("bash")
            .arg("-c")
            .arg(script)
            .arg(&socket)
            .arg(folder.path())
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .spawn()
            .expect("bash runs")
    }

    fn wait(&self) {
        let begun = Instant::now();
        while self.try_cli(&["ping"]).as_deref() != Some("PONG") {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(
                begun.elapsed() < super::TIMEOUT,
                "redis-server starts (is it installed?): {log}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the server. Its data are lost unless it persists them.
    pub(crate) fn kill(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
        let _ = std::fs::remove_file(self.socket());
    }

    /// Starts the server again on the same socket. It is empty unless its arguments persist data.
    pub(crate) fn restart(&mut self, arguments: &[&str]) {
        self.process = Self::spawn(&self.folder, &[], arguments);
        self.wait();
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// The value of the broker's `REDIS_URL`.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Runs a command and returns what `redis-cli` prints.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        self.try_cli(arguments)
            .unwrap_or_else(|| panic!("redis-cli {arguments:?} works"))
    }

    pub(crate) fn try_cli(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("redis-cli")
            .arg("-s")
            .arg(self.socket())
            .args(arguments)
            .output()
            .expect("redis-cli runs");
        output.status.success().then(|| {
            String::from_utf8_lossy(&output.stdout)
                .trim_end()
                .to_owned()
        })
    }

    /// The server's process id.
    pub(crate) fn pid(&self) -> u32 {
        let info = self.cli(&["info", "server"]);
        let pid = info
            .lines()
            .find_map(|line| line.trim_end().strip_prefix("process_id:"));
        pid.and_then(|pid| pid.parse().ok()).expect("a process id")
    }

    /// Writes an event as the append script does, but does not publish it, as if the message was
    /// lost.
    pub(crate) fn write_unpublished(&self, key: &str, data: &str) {
        let script = "local next = redis.call('HGET', KEYS[2], 'next')
            local id = redis.call('HGET', KEYS[2], 'last_ms') .. '-' .. next
            redis.call('XADD', KEYS[1], id, 'event', 'unpublished', 'data', ARGV[1])
            redis.call('HSET', KEYS[2], 'next', next + 1)";
        let name = |kind: &str| self.cli(&["keys", &format!("*:{kind}:{key}")]);
        self.cli(&["eval", script, "2", &name("events"), &name("meta"), data]);
    }

    /// The connections that wait for a stream's next event.
    pub(crate) fn blocked_connections(&self) -> usize {
        self.cli(&["client", "list"])
            .lines()
            .filter(|line| line.contains("cmd=xread"))
            .count()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, signal: &str) {
    assert!(
        Command::new("kill")
            .args([signal, &pid.to_string()])
            .status()
            .expect("kill runs")
            .success()
    );
}

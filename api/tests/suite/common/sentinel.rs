//! Redis with Sentinels that belong to the tests.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{cluster::free_port, redis::Redis};

/// The name of the service in the Sentinels.
const SERVICE: &str = "streams";

/// A primary with two replicas, and three Sentinels, each on its own port.
pub(crate) struct RedisWithSentinels {
    servers: Vec<(u16, Redis)>,
    sentinels: Vec<Sentinel>,
}

/// Stopped when dropped, and also when the test process ends in any way.
struct Sentinel {
    port: u16,
    process: Child,
    _folder: TempDir,
}

impl RedisWithSentinels {
    pub(crate) fn start() -> Self {
        let ports = [free_port(), free_port(), free_port()];
        let servers = ports.map(|port| {
            let replica = if port == ports[0] {
                String::new()
            } else {
                format!(" --replicaof 127.0.0.1 {}", ports[0])
            };
            let arguments =
                format!("--bind 127.0.0.1 --port {port} --repl-diskless-sync-delay 0{replica}");
            (
                port,
                Redis::start(&arguments.split(' ').collect::<Vec<_>>()),
            )
        });
        let watched = Self {
            servers: servers.into(),
            sentinels: (0..3).map(|_| Sentinel::start(ports[0])).collect(),
        };
        watched.wait();
        watched
    }

    /// Waits until the Sentinels know each other and the replicas.
    fn wait(&self) {
        let begun = Instant::now();
        let knows_all = |sentinel: &Sentinel| {
            let reply = sentinel.cli(&["sentinel", "master", SERVICE]);
            let lines: Vec<&str> = reply.lines().collect();
            let is = |name: &str, value: &str| lines.windows(2).any(|pair| pair == [name, value]);
            is("num-slaves", "2") && is("num-other-sentinels", "2") && is("flags", "master")
        };
        while !self.sentinels.iter().all(knows_all) {
            assert!(
                begun.elapsed() < super::TIMEOUT,
                "the Sentinels find each other"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The value of the broker's `REDIS_URL`.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self
            .sentinels
            .iter()
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.port))
            .collect();
        format!("redis-sentinel://{}/{SERVICE}", hosts.join(","))
    }

    /// Kills the primary, after the replicas have all of its writes.
    pub(crate) fn kill_primary(&mut self) {
        let reply = self.sentinels[0].cli(&["sentinel", "get-master-addr-by-name", SERVICE]);
        let port = reply.lines().nth(1).expect("an address");
        let (_, primary) = self
            .servers
            .iter_mut()
            .find(|(own, _)| own.to_string() == port)
            .expect("one of ours");
        // Writes that no replica has are lost with the primary. That is a property of Redis, not of
        // the broker.
        assert_eq!(primary.cli(&["wait", "2", "10000"]), "2");
        primary.kill();
    }

    /// Kills a Sentinel. The other two are still a majority.
    pub(crate) fn kill_first_sentinel(&mut self) {
        drop(self.sentinels.remove(0));
    }
}

impl Sentinel {
    fn start(primary: u16) -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let config = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor {SERVICE} 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds {SERVICE} 1000\n\
             sentinel failover-timeout {SERVICE} 5000\n"
        );
        std::fs::write(folder.path().join("sentinel.conf"), config).expect("a file");
        // The shell waits on a pipe that closes with this process, and then kills the Sentinel.
        let script = concat!(
            r#"redis-server "$0/sentinel.conf" --sentinel --dir "$0" >"$0/log" 2>&1 & "#,
            "read -r _; kill -9 $!",
        );
        let process = Command::new("bash")
            .arg("-c")
            .arg(script)
            .arg(folder.path())
            .stdin(Stdio::piped())
            .spawn()
            .expect("bash runs");
        Self {
            port,
            process,
            _folder: folder,
        }
    }

    fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(arguments)
            .output()
            .expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

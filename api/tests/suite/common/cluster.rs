//! A Redis Cluster that belongs to the tests.

use std::{
    net::TcpListener,
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};

use super::redis::Redis;

/// Three primaries, each on its own port, and optional replicas.
pub(crate) struct Cluster {
    nodes: Vec<(u16, Redis)>,
}

impl Cluster {
    /// Starts a Cluster with this many replicas for each primary.
    pub(crate) fn start(replicas: usize) -> Self {
        let nodes = (0..3 * (1 + replicas)).map(|_| {
            let (port, bus) = (free_port(), free_port());
            let arguments = format!(
                "--bind 127.0.0.1 --port {port} --cluster-port {bus} --cluster-enabled yes \
                 --cluster-node-timeout 2000"
            );
            (
                port,
                Redis::start(&arguments.split(' ').collect::<Vec<_>>()),
            )
        });
        let cluster = Self {
            nodes: nodes.collect(),
        };
        let addresses = cluster
            .nodes
            .iter()
            .map(|(port, _)| format!("127.0.0.1:{port}"));
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-yes", "--cluster-replicas", &replicas.to_string()])
            .output()
            .expect("redis-cli runs");
        assert!(
            created.status.success(),
            "{}",
            String::from_utf8_lossy(&created.stdout)
        );
        cluster.wait();
        cluster
    }

    /// The Cluster that most tests share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(0))
    }

    /// Waits until every node knows all nodes.
    fn wait(&self) {
        let begun = Instant::now();
        let is_ok = |redis: &Redis| {
            let info = redis.cli(&["cluster", "info"]);
            let known = format!("cluster_known_nodes:{}", self.nodes.len());
            let replication = redis.cli(&["info", "replication"]);
            let in_sync = replication.contains("role:master")
                || replication.contains("master_link_status:up");
            info.contains("cluster_state:ok") && info.contains(&known) && in_sync
        };
        while !self.nodes.iter().all(|(_, redis)| is_ok(redis)) {
            assert!(begun.elapsed() < super::TIMEOUT, "a cluster forms");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The value of the broker's `REDIS_URL`: one node, which knows the others.
    pub(crate) fn url(&self) -> String {
        format!("redis-cluster://127.0.0.1:{}", self.nodes[0].0)
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Redis> {
        self.nodes.iter().map(|(_, redis)| redis)
    }

    /// Moves the slot of a key, with its keys, to another node.
    pub(crate) fn move_slot_of(&self, key: &str) {
        let (_, any) = &self.nodes[0];
        let slot = any.cli(&["cluster", "keyslot", key]);
        let ids: Vec<String> = self
            .nodes()
            .map(|redis| redis.cli(&["cluster", "myid"]))
            .collect();
        let owns = |redis: &Redis| {
            redis
                .try_cli(&["cluster", "countkeysinslot", &slot])
                .is_some_and(|count| count != "0")
        };
        let from = self.nodes().position(owns).expect("a node with the key");
        let to = (from + 1) % self.nodes.len();
        let (source, target) = (&self.nodes[from].1, &self.nodes[to].1);
        target.cli(&["cluster", "setslot", &slot, "importing", &ids[from]]);
        source.cli(&["cluster", "setslot", &slot, "migrating", &ids[to]]);
        let port = self.nodes[to].0.to_string();
        loop {
            let keys = source.cli(&["cluster", "getkeysinslot", &slot, "100"]);
            if keys.is_empty() {
                break;
            }
            for key in keys.lines() {
                source.cli(&["migrate", "127.0.0.1", &port, key, "0", "5000"]);
            }
        }
        for redis in [target, source].into_iter().chain(self.nodes()) {
            redis.cli(&["cluster", "setslot", &slot, "node", &ids[to]]);
        }
    }
}

/// A free port outside the range that the system assigns to outgoing connections.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(10_000..30_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

//! All faults for a long time: one stream after another, one fault after another. Memory must not
//! grow.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::{
    common::{
        Broker, Kind,
        redis::{PERSISTENT, Redis, signal},
    },
    fleet::{fleet, node, urls},
    proxy::{Link, Proxy, Target},
};

/// The duration in seconds, unless `SOAK_SECONDS` sets another.
const SECONDS: u64 = 600;

const MIB: u64 = 1 << 20;

#[derive(Clone, Copy, Debug)]
enum Fault {
    ConnectionsKilled,
    RedisFrozen,
    RedisKilled,
    NetworkCut,
    NetworkSilent,
    NodeStopped,
    NodeKilled,
}

impl Fault {
    const ALL: [Self; 7] = [
        Self::ConnectionsKilled,
        Self::RedisFrozen,
        Self::RedisKilled,
        Self::NetworkCut,
        Self::NetworkSilent,
        Self::NodeStopped,
        Self::NodeKilled,
    ];
}

/// The servers under test. The first of three nodes stays, and the test measures its memory.
struct Environment {
    redis: Redis,
    link: Proxy,
    nodes: Vec<Broker>,
}

impl Environment {
    async fn start() -> Self {
        let redis = Redis::start(&PERSISTENT);
        let link = Proxy::start(Target::Unix(redis.socket())).await;
        let first = node(Kind::Shared)
            .set("REDIS_URL", link.url("redis"))
            .set("REDIS_TIMEOUT", 1)
            .start()
            .await;
        let others = [first.another_node().await, first.another_node().await];
        Self {
            redis,
            link,
            nodes: [first].into_iter().chain(others).collect(),
        }
    }

    async fn inject(&mut self, fault: Fault) {
        let a_while = Duration::from_millis(fastrand::u64(500..3000));
        match fault {
            Fault::ConnectionsKilled => ["normal", "pubsub"].iter().for_each(|class| {
                self.redis.cli(&["client", "kill", "type", class]);
            }),
            Fault::RedisFrozen => {
                let pid = self.redis.pid();
                signal(pid, "-STOP");
                sleep(a_while).await;
                signal(pid, "-CONT");
            }
            Fault::RedisKilled => {
                self.redis.kill();
                sleep(a_while).await;
                self.redis.restart(&PERSISTENT);
            }
            Fault::NetworkCut => self.link.cut(),
            Fault::NetworkSilent => {
                self.link.set(Link::BLACK_HOLE);
                sleep(a_while).await;
                self.link.set(Link::OPEN);
            }
            Fault::NodeStopped | Fault::NodeKilled => {
                let turn = fastrand::usize(1..self.nodes.len());
                let replacement = self.nodes[turn].another_node().await;
                let old = std::mem::replace(&mut self.nodes[turn], replacement);
                let (word, code) = if matches!(fault, Fault::NodeStopped) {
                    ("-TERM", Some(0))
                } else {
                    ("-KILL", None)
                };
                assert_eq!(old.stop(word).await.0, code);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes ten minutes: `make soak`"]
#[allow(clippy::print_stdout, reason = "somebody waits")]
async fn every_fault_happens_for_ten_minutes() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(SECONDS, |text| {
        text.parse().expect("SOAK_SECONDS is a number")
    });
    let (begun, mut environment, mut memory) =
        (Instant::now(), Environment::start().await, Vec::new());
    while begun.elapsed() < Duration::from_secs(seconds) {
        let key = format!("chat-{}", memory.len());
        let fleet = fleet(&urls(&environment.nodes))
            .key(&key)
            .subscribers(12)
            .ttl(60)
            .start()
            .await;
        for _ in 0..5 {
            let fault = Fault::ALL[fastrand::usize(..Fault::ALL.len())];
            println!("{:>4} s  {key}  {fault:?}", begun.elapsed().as_secs());
            environment.inject(fault).await;
            fleet.go_to(&urls(&environment.nodes));
            fleet.flows().await;
            sleep(Duration::from_millis(fastrand::u64(..2000))).await;
        }
        let events = fleet.confirmed();
        fleet.end_whole().await;
        memory.push(environment.nodes[0].resident_bytes() / MIB);
        println!(
            "{:>4} s  {key}  {events} events, whole; {} MiB",
            begun.elapsed().as_secs(),
            memory[memory.len() - 1]
        );
    }
    let third = memory.len() / 3;
    let (early, late) = (
        memory[..=third].iter().max(),
        memory[memory.len() - 1 - third..].iter().max(),
    );
    // Memory of a subscriber or a stream that is not freed would add up over hundreds of
    // connections.
    assert!(
        late.unwrap() <= &(early.unwrap() + 16),
        "MiB after each stream: {memory:?}"
    );
}

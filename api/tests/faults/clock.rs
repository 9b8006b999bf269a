//! The clock of Redis jumps: libfaketime gives its process another time.

use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::time::sleep;

use crate::{
    common::{Kind, redis::Redis, until},
    fleet::{fleet, node},
};

const HOUR: i64 = 3600;

/// A Redis whose clock can be set.
struct RedisWithClock {
    redis: Redis,
    offset: NamedTempFile,
}

impl RedisWithClock {
    fn start() -> Self {
        let library = glob::glob("/usr/lib/*/faketime/libfaketime.so.1")
            .unwrap()
            .find_map(Result::ok);
        let library = library.expect("libfaketime is installed: scripts/setup-tests does it");
        let offset = NamedTempFile::new().unwrap();
        std::fs::write(offset.path(), "+0").unwrap();
        let redis = Redis::start_in(
            &[
                // libfaketime allocates memory before jemalloc can, because jemalloc first asks for
                // the time. So Redis uses the allocator of the C library here.
                ("LD_PRELOAD", &format!("{} libc.so.6", library.display())),
                ("FAKETIME_TIMESTAMP_FILE", offset.path().to_str().unwrap()),
                ("FAKETIME_NO_CACHE", "1"),
                // The monotonic clock of the system does not change when an administrator or NTP
                // sets the clock.
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ],
            &[],
        );
        Self { redis, offset }
    }

    /// Sets the clock to this many seconds from the true time.
    async fn set(&self, offset: i64) {
        std::fs::write(self.offset.path(), format!("{offset:+}")).unwrap();
        let clock_time = || -> i64 {
            self.redis
                .cli(&["time"])
                .lines()
                .next()
                .unwrap()
                .parse()
                .unwrap()
        };
        until("the clock is set", || async {
            (clock_time() - chrono::Utc::now().timestamp() - offset).abs() < 60
        })
        .await;
    }
}

async fn the_clock_jumps_back_and_forth_by_an_hour(kind: Kind) {
    let clocked = RedisWithClock::start();
    let broker = node(kind)
        .set("REDIS_URL", clocked.redis.url())
        .set("REDIS_TIMEOUT", 1)
        .start()
        .await;
    // The TTL is longer than the jumps.
    let fleet = fleet(&[&broker.url]).ttl(4 * HOUR as u64).start().await;
    for offset in [HOUR, 0, -HOUR, 0] {
        clocked.set(offset).await;
        // Longer than the broker lets Redis block for an event, because Redis measures that wait
        // with the clock that jumped.
        let rest = fleet.pause().await;
        sleep(Duration::from_secs(8)).await;
        drop(rest);
        fleet.flows().await;
    }
    let records = fleet.end_whole().await;
    let ms = |id: &str| -> i64 { id.split_once('-').unwrap().0.parse().unwrap() };
    let events = &records[0].streams[0].events;
    assert!(
        ms(&events.last().unwrap().id) - ms(&events[0].id) >= HOUR * 1000,
        "ids stay at the latest time that the clock has had"
    );
}

async fn streams_expire_by_the_clock_that_has_jumped(kind: Kind) {
    let clocked = RedisWithClock::start();
    let broker = node(kind)
        .set("REDIS_URL", clocked.redis.url())
        .start()
        .await;
    let expired = fleet(&[&broker.url]).ttl(600).start().await;
    clocked.set(HOUR).await;
    expired.end_lost().await;
    let fleet = fleet(&[&broker.url]).ttl(600).start().await;
    clocked.set(0).await;
    fleet.flows().await;
    // The TTL counts from a new write on, whatever the clock was before.
    let (_, info) = broker.get("/api/stream/info?key=chat").await;
    assert!(info["ttl"].as_u64().unwrap() <= 600, "{info}");
    fleet.end_whole().await;
}

over_each_delivery!(
    the_clock_jumps_back_and_forth_by_an_hour,
    streams_expire_by_the_clock_that_has_jumped
);

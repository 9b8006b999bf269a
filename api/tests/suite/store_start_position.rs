//! The start position of a subscriber without a cursor. This tests the stores themselves, without a
//! broker.

use std::{sync::Arc, time::Duration};

use rocket::figment::Figment;
use tinistreamer::{
    codec::segment::Part,
    config::{Settings, StoreUrl},
    store::{
        NewStream, Page, SharedStore, StoreError, StreamUpdate, memory::MemoryStore,
        redis::RedisStore,
    },
    stream::{EventId, NewEvent, Position, SharedPosition, StartPosition, StreamKey},
    telemetry::metrics::Metrics,
};

use crate::common::{
    broker::{API_KEY, SECRET_KEY},
    cluster::Cluster,
    redis::Redis,
    within,
};

/// A store with its own prefix.
fn store(url: &str, delivery: &str, prefix: &str) -> SharedStore {
    let prefix = format!("start-position-{}-{delivery}-{prefix}:", std::process::id());
    let set = [
        ("API_KEY", API_KEY),
        ("SECRET_KEY", SECRET_KEY),
        ("REDIS_URL", url),
        ("DELIVERY", delivery),
        ("KEY_PREFIX", prefix.as_str()),
    ];
    let environment = set.map(|(name, value)| (format!("STREAMER_{name}"), value.to_owned()));
    let settings = Settings::load(&Figment::new(), environment).expect("settings");
    let metrics = Metrics::new(settings.redis_delivery(), 1);
    if settings.store == StoreUrl::Memory {
        Arc::new(MemoryStore::new(metrics))
    } else {
        Arc::new(RedisStore::new(&settings, metrics).unwrap())
    }
}

/// One store of each kind.
fn stores(prefix: &str) -> [(&'static str, SharedStore); 5] {
    let (redis, cluster) = (Redis::shared().url(), Cluster::shared().url());
    [
        ("memory", store("memory:", "exclusive", prefix)),
        ("exclusive", store(&redis, "exclusive", prefix)),
        ("shared", store(&redis, "shared", prefix)),
        ("exclusive cluster", store(&cluster, "exclusive", prefix)),
        ("cluster", store(&cluster, "shared", prefix)),
    ]
}

fn key() -> StreamKey {
    "chat".parse().unwrap()
}

async fn create(store: &SharedStore, max_events: u64) {
    store
        .create(
            &key(),
            &NewStream::new(Duration::from_secs(600), max_events),
        )
        .await
        .unwrap();
}

/// Writes the events in one batch, so that they share their millisecond.
async fn add(store: &SharedStore, count: usize) {
    store
        .append(
            &key(),
            None,
            &vec![NewEvent::new("n", None).unwrap(); count],
            None,
        )
        .await
        .unwrap();
}

fn ids(parts: &[Part]) -> Vec<EventId> {
    parts
        .iter()
        .flat_map(Part::entries)
        .map(|entry| entry.id)
        .collect()
}

/// All events that are stored after the cursor, and the first page of them.
async fn after(store: &SharedStore, cursor: Option<EventId>) -> (Vec<EventId>, Page) {
    let first = store.read(&key(), cursor).await.unwrap();
    let (mut found, mut page) = (ids(&first.parts), first.clone());
    while !page.is_newest() {
        page = store.read(&key(), page.cursor).await.unwrap();
        found.extend(ids(&page.parts));
    }
    (found, first)
}

/// Compares the page of each distinct start position with what is stored.
async fn check(store: &SharedStore, name: &str) {
    let (kept, page) = after(store, None).await;
    let trimmed = kept[0].n;
    assert_eq!(
        page.missed.and_then(|missed| missed.missed),
        (trimmed > 0).then_some(trimmed),
        "{name}"
    );
    let times = kept
        .iter()
        .flat_map(|id| id.ms - 1..=id.ms + 1)
        .chain([0, u64::MAX]);
    let mut times: Vec<u64> = times.collect();
    times.dedup();
    let counts = (0..=kept.len() as u64 + 1).chain([u64::MAX]);
    let by_count = counts.map(|count| {
        (
            StartPosition::Last(count),
            kept.len() - usize::try_from(count).unwrap().min(kept.len()),
        )
    });
    let by_time = times.into_iter().map(|ms| {
        (
            StartPosition::Since(ms),
            kept.iter().filter(|id| id.ms < ms).count(),
        )
    });
    for (start_position, wanted) in by_count
        .chain(by_time)
        .chain([(StartPosition::Now, kept.len())])
    {
        let cursor = store.locate(&key(), start_position).await.unwrap();
        let (found, page) = after(store, cursor).await;
        assert_eq!(
            (&found[..], page.missed),
            (&kept[wanted..], None),
            "{name}: {start_position:?} is after {cursor:?}"
        );
        assert!(
            wanted < kept.len() || cursor == kept.last().copied(),
            "{name}: {start_position:?}"
        );
    }
    assert_eq!(
        store.locate(&key(), StartPosition::Start).await.unwrap(),
        None
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_position_yields_the_requested_events() {
    for (name, store) in stores("asked") {
        create(&store, 1_000).await;
        check(&store, name).await;
        for (count, pause) in [(1, 0), (30, 2), (1, 1), (2, 0), (20, 5), (1, 0)] {
            add(&store, count).await;
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        check(&store, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_position_in_a_trimmed_stream_yields_the_kept_events() {
    for (name, store) in stores("trimmed") {
        create(&store, 10).await;
        // Redis trims about a hundred entries at a time.
        for count in [150, 90, 4, 1] {
            add(&store, count).await;
        }
        assert!(
            store.info(&key()).await.unwrap().first.n > 0,
            "{name}: something is trimmed"
        );
        check(&store, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_events_follow_the_start_position() {
    // The last batch of the stream has three events. Each row is a start position and the number of
    // the first event that comes.
    let start_positions: [fn(EventId) -> (StartPosition, u64); 3] = [
        |last| (StartPosition::Now, last.n + 1),
        |last| (StartPosition::Last(2), last.n - 1),
        |last| (StartPosition::Since(last.ms), last.n - 2),
    ];
    for (name, store) in stores("later") {
        create(&store, 1_000).await;
        for start_position in start_positions {
            // The batch gets a millisecond of its own.
            tokio::time::sleep(Duration::from_millis(2)).await;
            add(&store, 3).await;
            let last = store.info(&key()).await.unwrap().last;
            let (start_position, first) = start_position(last);
            let cursor = store.locate(&key(), start_position).await.unwrap();
            let mut tails = store.tails();
            let position = SharedPosition::new(cursor.map_or(Position::Start, Position::At));
            tails.add(store.read(&key(), cursor).await.unwrap(), position.clone());
            tokio::time::sleep(Duration::from_millis(2)).await;
            add(&store, 3).await;
            let mut numbers = Vec::new();
            while numbers.last() != Some(&(last.n + 3)) {
                let (_, update) = within(tails.next()).await.unwrap();
                let StreamUpdate::Events(batch) = update else {
                    panic!("{name}: {start_position:?}: the stream was deleted");
                };
                assert_eq!(batch.missed, None, "{name}: {start_position:?}");
                let last = batch.entries().next_back().unwrap().id;
                position.set(Position::At(last));
                numbers.extend(ids(&batch.parts).iter().map(|id| id.n));
            }
            assert_eq!(
                numbers,
                (first..=last.n + 3).collect::<Vec<_>>(),
                "{name}: {start_position:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_stream_has_no_start_position_except_its_start() {
    for (name, store) in stores("none") {
        for start_position in [
            StartPosition::Now,
            StartPosition::Last(1),
            StartPosition::Since(0),
        ] {
            let located = store.locate(&key(), start_position).await;
            assert!(
                matches!(located, Err(StoreError::NotFound)),
                "{name}: {start_position:?}: {located:?}"
            );
        }
        assert_eq!(
            store.locate(&key(), StartPosition::Start).await.unwrap(),
            None
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_pauses_between_events_do_not_change_the_start_position() {
    let redis = Redis::start(&[]);
    let store = store(&redis.url(), "exclusive", "pauses");
    create(&store, 1_000).await;
    let meta = redis.cli(&["keys", "*:meta:chat"]);
    for (count, pause_ms) in [
        (3, 3_600_000),
        (1, 1),
        (40, 10_000_000_000),
        (2, 2),
        (1, 100_000_000_000),
    ] {
        let last = store.info(&key()).await.unwrap().last;
        // As if the clock had gone back since then. Ids never go back.
        redis.cli(&["hset", &meta, "last_ms", &(last.ms + pause_ms).to_string()]);
        add(&store, count).await;
    }
    check(&store, "redis").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finding_a_start_position_in_a_long_stream_reads_at_most_some_forty_events() {
    let redis = Redis::start(&[]);
    let store = store(&redis.url(), "exclusive", "long");
    create(&store, 1_000_000).await;
    for _ in 0..20 {
        add(&store, 1_000).await;
    }
    let meta = redis.cli(&["keys", "*:meta:chat"]);
    let last = store.info(&key()).await.unwrap().last;
    redis.cli(&["hset", &meta, "last_ms", &(last.ms * 2).to_string()]);
    add(&store, 1_000).await;
    // Redis loads the script.
    store.locate(&key(), StartPosition::Now).await.unwrap();
    for (start_position, most) in [
        (StartPosition::Now, 1),
        (StartPosition::Since(last.ms), 2),
        (StartPosition::Last(1), 45),
        (StartPosition::Last(7_000), 45),
        (StartPosition::Last(20_500), 45),
    ] {
        redis.cli(&["config", "resetstat"]);
        store.locate(&key(), start_position).await.unwrap();
        let commands = redis.cli(&["info", "commandstats"]);
        let calls = |command: &str| {
            let line = commands
                .lines()
                .find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
            line.map_or(0, |line| {
                line.split(',').next().unwrap().parse::<u32>().unwrap()
            })
        };
        assert_eq!(
            (calls("evalsha"), calls("xrevrange"), calls("xread")),
            (1, 0, 0),
            "{commands}"
        );
        assert!(
            (1..=most).contains(&calls("xrange")),
            "{start_position:?}: {commands}"
        );
        let sent = redis.cli(&["info", "stats"]);
        let sent = sent
            .lines()
            .find_map(|line| line.strip_prefix("total_net_output_bytes:"))
            .unwrap()
            .trim()
            .parse::<u64>()
            .unwrap();
        assert!(sent < 16_384, "{sent} bytes, including those for redis-cli");
    }
}

//! What the tests need: a broker, a Redis, and subscribers that check what they read.

pub(crate) mod broker;
pub(crate) mod cluster;
pub(crate) mod cutter;
pub(crate) mod follower;
pub(crate) mod keys;
pub(crate) mod metrics;
pub(crate) mod raw;
pub(crate) mod redis;
pub(crate) mod seed;
pub(crate) mod sentinel;
pub(crate) mod sse;
pub(crate) mod ws;

use std::time::Duration;

pub(crate) use broker::{Broker, Kind, broker};

/// The timeout of waits that would otherwise never end. No test measures time, so a busy machine
/// only makes the tests slower.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for something that must happen.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it happens in time")
}

/// Waits until the condition holds.
pub(crate) async fn until<Fut: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> Fut) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The number in an id.
pub(crate) fn number(id: &str) -> u64 {
    id.split_once('-')
        .and_then(|(_, n)| n.parse().ok())
        .unwrap_or_else(|| panic!("not an id: {id:?}"))
}

/// Checks that the numbers of the ids begin at `from`, without a hole or a repeat.
pub(crate) fn assert_contiguous<'a>(ids: impl IntoIterator<Item = &'a str>, from: u64) {
    let numbers: Vec<u64> = ids.into_iter().map(number).collect();
    let wanted: Vec<u64> = (from..from + numbers.len() as u64).collect();
    assert_eq!(numbers, wanted);
}

/// Runs each of these tests, `async fn(Broker)`, over every store and delivery.
macro_rules! on_every_store {
    ($($promise:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise($crate::common::broker($crate::common::Kind::Memory).start().await).await;
            })+
        }
        mod exclusive {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise($crate::common::broker($crate::common::Kind::Exclusive).start().await).await;
            })+
        }
        mod shared {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise($crate::common::broker($crate::common::Kind::Shared).start().await).await;
            })+
        }
        mod exclusive_cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise($crate::common::broker($crate::common::Kind::ExclusiveCluster).start().await).await;
            })+
        }
        mod cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise($crate::common::broker($crate::common::Kind::Cluster).start().await).await;
            })+
        }
    };
}

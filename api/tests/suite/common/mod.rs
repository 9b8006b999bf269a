//! What the tests need: a broker, a Redis, and subscribers that check what they read.

pub(crate) mod broker;
pub(crate) mod cluster;
pub(crate) mod cutting_proxy;
pub(crate) mod keys;
pub(crate) mod metrics;
pub(crate) mod raw;
pub(crate) mod redis;
pub(crate) mod seed;
pub(crate) mod sentinel;
pub(crate) mod sse;
pub(crate) mod subscriber;
pub(crate) mod ws;

use std::time::Duration;

pub(crate) use broker::{Broker, Kind, broker};

/// The timeout of waits that would otherwise never end. No test measures time, so a busy machine
/// only makes the tests slower.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// A client for HTTP without TLS.
pub(crate) fn http_client() -> reqwest::Client {
    http_client_builder().build().expect("a client")
}

/// Builds a client for HTTP without TLS. With scripts the library has TLS, and would read the
/// system's certificates for each client, which takes a debug build a tenth of a second.
pub(crate) fn http_client_builder() -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder();
    #[cfg(feature = "scripts")]
    {
        tinistreamer::store::redis::install_crypto_provider();
        builder.tls_certs_only([])
    }
    #[cfg(not(feature = "scripts"))]
    builder
}

/// Waits for something that must happen.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, what)
        .await
        .expect("it happens before the timeout")
}

/// Waits until the condition holds.
pub(crate) async fn until<Fut: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> Fut) {
    let deadline = tokio::time::Instant::now() + TIMEOUT;
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

/// Runs each of these tests, `async fn(Kind)`, over the named kinds, in a module for each kind:
/// `over_kinds!(exclusive: Exclusive, shared: Shared; (test, ...))`.
macro_rules! over_kinds {
    (@module $module:ident: $kind:ident; ($($test:ident),+ $(,)?)) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test($crate::common::Kind::$kind).await;
                }
            )+
        }
    };
    ($($module:ident: $kind:ident),+; $tests:tt) => {
        $(over_kinds!(@module $module: $kind; $tests);)+
    };
}

/// Runs each of these tests, `async fn(Kind)`, over both deliveries of Redis.
macro_rules! over_each_delivery {
    ($($tests:tt)+) => {
        over_kinds!(exclusive: Exclusive, shared: Shared; ($($tests)+));
    };
}

/// Runs each of these tests, `async fn(Kind)`, over the embedded store and both deliveries of
/// Redis.
macro_rules! over_each_kind {
    ($($tests:tt)+) => {
        over_kinds!(memory: Memory, exclusive: Exclusive, shared: Shared; ($($tests)+));
    };
}

/// Runs each of these tests, `async fn(Broker)`, over every store and delivery, also on a Cluster.
///
/// Exclusive delivery on a Cluster is for `make test-rust-stores`: each test has it apart, on one
/// Redis, and a Cluster, with shared delivery.
macro_rules! on_every_store {
    (@module $module:ident: $kind:ident, $attribute:meta; ($($test:ident),+ $(,)?)) => {
        mod $module {
            use $crate::common::{Kind, broker};
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[$attribute]
                async fn $test() {
                    super::$test(broker(Kind::$kind).start().await).await;
                }
            )+
        }
    };
    (@all $tests:tt) => {
        on_every_store!(@module memory: Memory, cfg(test); $tests);
        on_every_store!(@module exclusive: Exclusive, cfg(test); $tests);
        on_every_store!(@module shared: Shared, cfg(test); $tests);
        on_every_store!(@module cluster: Cluster, cfg(test); $tests);
        on_every_store!(
            @module exclusive_cluster: ExclusiveCluster, ignore = "make test-rust-stores"; $tests
        );
    };
    ($($test:ident),+ $(,)?) => {
        on_every_store!(@all ($($test),+));
    };
}

//! The types of the settings' values, and the bounds that other parts of the broker use too.

use std::{fmt, net::SocketAddr, ops::RangeInclusive};

/// The bounds of a lifetime, of a stream as of a token: one second to seven days.
pub const TTL_SECONDS: RangeInclusive<u64> = 1..=604_800;

/// How long a producer may be silent or write no event, in seconds, where that has a limit.
pub const PROMISE_SECONDS: RangeInclusive<u64> = 2..=86_400;

/// The bounds of the number of events that a stream keeps.
pub const MAX_EVENTS: RangeInclusive<u64> = 1..=1_000_000;

/// The most events that `STREAMER_MAX_BATCH` may allow in a batch.
pub const MAX_BATCH: usize = 100_000;

/// The most streams that `STREAMER_MAX_KEYS_PER_CLIENT` may allow.
pub const MAX_KEYS: usize = 256;

/// A value that must not be shown: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a secret.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The secret itself, for the one place that uses it.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Where streams live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:`, the embedded store.
    Memory,
    /// `redis://`, `rediss://` or `unix://`. It may hold a password.
    Redis(Secret<String>),
    /// `redis-sentinel://` or `rediss-sentinel://`: the Sentinels, which know the primary.
    Sentinels(Secret<Sentinels>),
    /// `redis-cluster://` or `rediss-cluster://`: a URL for each node that the broker asks for the
    /// other nodes.
    Cluster(Secret<Vec<String>>),
}

/// The Sentinels that the broker asks for the primary, by
/// <https://redis.io/docs/latest/develop/reference/sentinel-clients/>. Holds passwords.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub struct Sentinels {
    /// A URL for each Sentinel.
    pub nodes: Vec<String>,
    /// The name under which they watch the primary.
    pub service: String,
    /// A URL with the credentials and the database of the servers. Its host is a placeholder.
    pub server: String,
}

/// How live events reach the subscribers of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// One Redis connection per subscriber, with `XREAD BLOCK`.
    Exclusive,
    /// One Redis subscription for all subscribers of a node.
    Shared,
}

impl Delivery {
    /// The delivery as text, as an operator sets and reads it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
        }
    }
}

/// The format of the log's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text, for people.
    Text,
    /// One JSON object per line, for programs.
    Json,
}

/// Where the broker serves `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAt {
    /// Nowhere.
    Nowhere,
    /// At the broker's own address.
    Broker,
    /// At a separate address, which serves nothing else.
    Address(SocketAddr),
}

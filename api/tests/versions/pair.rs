//! Two nodes of two versions over one Redis.

use std::{process::Command, sync::OnceLock};

use crate::{
    common::{
        Broker, Kind,
        broker::Setup,
        subscriber::{Transport, Update},
    },
    fleet,
};

/// The commit that was landed last.
const BASE: &str = include_str!("base");

/// The program of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// The program of the commit that was landed last.
    Old,
    /// The program that was built for this test.
    New,
}

/// Two nodes over one Redis. Each test runs twice, with each version as the first.
pub(crate) struct Pair {
    /// Creates the streams.
    pub(crate) first: Broker,
    pub(crate) second: Broker,
}

/// The commit that was landed last, as its recordings name it.
pub(crate) fn base() -> &'static str {
    BASE.trim()
}

/// The program of the commit that was landed last. The first test that needs it builds it, unless
/// it exists.
pub(crate) fn old_program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/build-commit");
        let built = Command::new(script)
            .arg(base())
            .output()
            .expect("scripts/build-commit runs");
        assert!(
            built.status.success(),
            "the old version is built: {}",
            String::from_utf8_lossy(&built.stderr)
        );
        String::from_utf8(built.stdout)
            .expect("a path")
            .trim_end()
            .to_owned()
    })
}

/// A node of this version with its own prefix in Redis.
pub(crate) fn node(version: Version, kind: Kind) -> Setup {
    of(version, fleet::node(kind))
}

/// A node of this version and delivery, with the Redis and the settings of another node.
pub(crate) fn beside(other: &Broker, version: Version, kind: Kind) -> Setup {
    let delivery = if matches!(kind, Kind::Shared | Kind::Cluster) {
        "shared"
    } else {
        "exclusive"
    };
    of(
        version,
        Setup {
            kind,
            ..other.setup()
        }
        .set("DELIVERY", delivery),
    )
}

fn of(version: Version, setup: Setup) -> Setup {
    let program = match version {
        Version::Old => old_program().to_owned(),
        Version::New => crate::common::broker::PROGRAM.to_owned(),
    };
    Setup { program, ..setup }
}

impl Version {
    fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }
}

impl Pair {
    /// The first node is of this version, the second of the other.
    pub(crate) async fn start(first: Version, kinds: [Kind; 2]) -> Self {
        let second = first.other();
        let first = node(first, kinds[0]).start().await;
        let second = beside(&first, second, kinds[1]).start().await;
        Self { first, second }
    }

    pub(crate) fn nodes(&self) -> [&Broker; 2] {
        [&self.first, &self.second]
    }
}

/// An update as this transport delivers it: server-sent events know only one line end.
pub(crate) fn over(transport: Transport, mut update: Update) -> Update {
    if transport == Transport::Sse {
        update.data = update.data.replace("\r\n", "\n").replace('\r', "\n");
    }
    update
}

/// Runs each of these tests, `async fn(Pair)`, with each version as the first, over both
/// deliveries, and mixed.
macro_rules! between_versions {
    ($($test:ident),+ $(,)?) => {
        between_versions!(exclusive: Exclusive, Exclusive; $($test),+);
        between_versions!(shared: Shared, Shared; $($test),+);
        between_versions!(exclusive_and_shared: Exclusive, Shared; $($test),+);
        between_versions!(shared_and_exclusive: Shared, Exclusive; $($test),+);
    };
    ($kinds:ident: $first:ident, $second:ident; $($test:ident),+) => {
        mod $kinds {
            use crate::{common::Kind, pair::{Pair, Version}};
            async fn pair(first: Version) -> Pair {
                Pair::start(first, [Kind::$first, Kind::$second]).await
            }
            mod old_first {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::super::$test(super::pair(super::Version::Old).await).await;
                })+
            }
            mod new_first {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::super::$test(super::pair(super::Version::New).await).await;
                })+
            }
        }
    };
}

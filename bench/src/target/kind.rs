//! The kinds of servers that can be measured.

/// The kinds of servers that a run can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The smallest Rocket program that broadcasts from memory
    Baseline,
    /// The broker with the embedded store
    Memory,
    /// The broker on Redis, shared delivery: one subscription per node
    Shared,
    /// The broker on Redis, exclusive delivery: one connection per subscriber
    Exclusive,
    /// A peer: nginx with the module nchan, on Redis
    Nchan,
    /// A peer: the server of the crate durable-streams, with its default durability
    DurableStreams,
    /// The same, which confirms events before they are on disk
    DurableStreamsMemory,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Memory => "memory",
            Self::Shared => "shared",
            Self::Exclusive => "exclusive",
            Self::Nchan => "nchan",
            Self::DurableStreams => "durable-streams",
            Self::DurableStreamsMemory => "durable-streams, memory",
        }
    }

    /// How many open files one process needs for this many subscribers.
    pub(crate) fn files(self, subscribers: usize) -> u64 {
        let per_subscriber = if self == Self::Exclusive { 2 } else { 1 };
        subscribers as u64 * per_subscriber + 300
    }
}

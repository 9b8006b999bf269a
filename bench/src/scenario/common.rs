//! The options of all scenarios.

use std::time::Duration;

use crate::{clock, stream::Transport};

/// The options of all scenarios.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// Seconds to measure
    #[arg(long, global = true, default_value = "5", value_parser = clock::seconds)]
    pub(crate) seconds: Duration,
    /// Seconds of the same load before the measurement
    #[arg(long, global = true, default_value = "1", value_parser = clock::seconds)]
    pub(crate) warm_up: Duration,
    /// Bytes of an event's data
    #[arg(long, global = true, default_value = "100")]
    pub(crate) payload: usize,
    /// How subscribers receive events
    #[arg(long, global = true, value_enum, default_value = "sse")]
    pub(crate) transport: Transport,
}

//! What can be measured, one module each.

mod churn;
mod fanout;
mod idle;
mod ingest;
mod slow;
mod streams;

use std::time::Duration;

pub(crate) use self::{
    churn::{Churn, RESUMES},
    fanout::Fanout,
    idle::{FULL, Idle, MEMORY, MEMORY_AGAIN, REDIS_CONNECTIONS, REDIS_MEMORY},
    ingest::Ingest,
    slow::{PEAK, Slow},
    streams::Streams,
};
use crate::{
    api::Transport,
    clock,
    problem::Outcome,
    result::Findings,
    target::{Selection, Target},
};

/// What all scenarios take.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// Seconds to measure
    #[arg(long, global = true, default_value = "5", value_parser = clock::seconds)]
    pub(crate) seconds: Duration,
    /// Seconds of the same load before that
    #[arg(long, global = true, default_value = "1", value_parser = clock::seconds)]
    pub(crate) warm_up: Duration,
    /// Bytes of an event's data
    #[arg(long, global = true, default_value = "100")]
    pub(crate) payload: usize,
    /// How clients follow
    #[arg(long, global = true, value_enum, default_value = "sse")]
    pub(crate) transport: Transport,
}

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Scenario {
    /// One stream, many clients: as fast as they take it, or paced
    Fanout(Fanout),
    /// Many streams, a writer and a client each
    Streams(Streams),
    /// Writers alone, as fast as they are answered
    Ingest(Ingest),
    /// Clients that wait: memory and connections
    Idle(Idle),
    /// Clients that leave and resume
    Churn(Churn),
    /// Clients of which some stop reading
    Slow(Slow),
}

impl Scenario {
    /// The most connections that it holds at once.
    fn connections(&self) -> usize {
        match self {
            Self::Fanout(Fanout { clients, .. })
            | Self::Idle(Idle { clients, .. })
            | Self::Churn(Churn { clients, .. })
            | Self::Slow(Slow { clients, .. }) => *clients,
            Self::Streams(scenario) => scenario.connections(),
            Self::Ingest(Ingest { publishers, .. }) => *publishers,
        }
    }

    /// Starts the target, measures it, and stops it.
    pub(crate) async fn run(&self, common: &Common, selection: &Selection) -> Outcome<Findings> {
        let target = selection.start(self.connections()).await?;
        let found = self.measure(common, &target).await;
        target.stop().await?;
        found
    }

    async fn measure(&self, common: &Common, target: &Target) -> Outcome<Findings> {
        match self {
            Self::Fanout(scenario) => scenario.run(common, target).await,
            Self::Streams(scenario) => scenario.run(common, target).await,
            Self::Ingest(scenario) => scenario.run(common, target).await,
            Self::Idle(scenario) => scenario.run(common, target).await,
            Self::Churn(scenario) => scenario.run(common, target).await,
            Self::Slow(scenario) => scenario.run(common, target).await,
        }
    }
}

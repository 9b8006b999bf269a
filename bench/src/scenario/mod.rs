//! The scenarios, one module each.

mod churn;
mod common;
mod fanout;
mod idle;
mod ingest;
mod signals;
mod slow;
mod streams;

pub(crate) use self::{
    churn::{Churn, RESUMES},
    common::Common,
    fanout::Fanout,
    idle::{FULL, Idle, MEMORY, MEMORY_AGAIN, REDIS_CONNECTIONS, REDIS_MEMORY},
    ingest::Ingest,
    signals::Signals,
    slow::{PEAK, Slow},
    streams::Streams,
};
use crate::{
    error::Outcome,
    result::RunResult,
    target::{Selection, Target},
};

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Scenario {
    /// Fan-out: one stream, many subscribers, at full speed or at a fixed rate
    Fanout(Fanout),
    /// Many streams, each with a publisher and a subscriber
    Streams(Streams),
    /// Ingest: publishers without subscribers, at full speed
    Ingest(Ingest),
    /// Idle subscribers: memory and connections
    Idle(Idle),
    /// Subscribers that disconnect and resume
    Churn(Churn),
    /// Subscribers that stop reading, beside others that read
    Slow(Slow),
    /// Signals to producers that wait for them, beside the load of `streams`
    Signals(Signals),
}

impl Scenario {
    /// The largest number of connections at once.
    fn connections(&self) -> usize {
        match self {
            Self::Fanout(Fanout { subscribers, .. })
            | Self::Idle(Idle { subscribers, .. })
            | Self::Churn(Churn { subscribers, .. })
            | Self::Slow(Slow { subscribers, .. }) => *subscribers,
            Self::Streams(scenario) => scenario.connections(),
            Self::Signals(scenario) => scenario.connections(),
            Self::Ingest(Ingest { publishers, .. }) => *publishers,
        }
    }

    /// Starts the target, measures it, and stops it.
    pub(crate) async fn run(&self, common: &Common, selection: &Selection) -> Outcome<RunResult> {
        let target = selection.start(self.connections()).await?;
        let result = self.measure(common, &target).await;
        target.stop().await?;
        result
    }

    async fn measure(&self, common: &Common, target: &Target) -> Outcome<RunResult> {
        match self {
            Self::Fanout(scenario) => scenario.run(common, target).await,
            Self::Streams(scenario) => scenario.run(common, target).await,
            Self::Ingest(scenario) => scenario.run(common, target).await,
            Self::Idle(scenario) => scenario.run(common, target).await,
            Self::Churn(scenario) => scenario.run(common, target).await,
            Self::Slow(scenario) => scenario.run(common, target).await,
            Self::Signals(scenario) => scenario.run(common, target).await,
        }
    }
}

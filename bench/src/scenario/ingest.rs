//! Ingest: publishers without subscribers.

use std::sync::Arc;

use futures::future::try_join_all;
use tokio::time::sleep;

use super::common::Common;
use crate::{
    error::Outcome,
    publisher::{BatchPublisher, Stop},
    recorder::Recorder,
    result::{EVENTS, Interval, RunResult},
    stream::KEPT,
    target::Target,
};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Ingest {
    /// Publishers, each with a stream and a connection of its own
    #[arg(long, default_value = "8")]
    pub(crate) publishers: usize,
    /// Events in a request
    #[arg(long, default_value = "1")]
    pub(crate) batch: usize,
}

impl Ingest {
    /// Records the time of a request as latency, from before it is sent to after its response.
    pub(super) async fn run(&self, common: &Common, target: &Target) -> Outcome<RunResult> {
        let (api, recorder) = (&target.api, Arc::new(Recorder::new()?));
        let streams = try_join_all((0..self.publishers).map(|_| api.create(KEPT))).await?;
        let stop = Stop::default();
        let mut publishers = Vec::with_capacity(self.publishers);
        for (number, stream) in streams.iter().enumerate() {
            let batches = BatchPublisher::open(api, stream, self.batch, common.payload).await?;
            publishers.push(tokio::spawn(batches.closed_loop(
                Arc::clone(&recorder),
                number,
                stop.watch(),
            )));
        }
        sleep(common.warm_up).await;
        let interval = Interval::measure(target, &recorder, common.seconds).await?;
        stop.now();
        for publisher in publishers {
            publisher.await??;
        }
        let title = format!(
            "{}: ingest, {} publishers, {} events per request",
            target.name, self.publishers, self.batch
        );
        let mut result = RunResult::new(title);
        result.put_interval(EVENTS, &interval);
        try_join_all(streams.iter().map(|stream| api.end(stream))).await?;
        Ok(result)
    }
}

//! Writers alone.

use std::sync::Arc;

use futures::future::try_join_all;
use tokio::time::sleep;

use super::Common;
use crate::{
    api::KEPT,
    meter::Meter,
    problem::Outcome,
    publisher::{Batches, Stop},
    result::{EVENTS, Findings, Interval},
    target::Target,
};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Ingest {
    /// Writers, each with a stream and a connection of its own
    #[arg(long, default_value = "8")]
    pub(crate) publishers: usize,
    /// Events in a request
    #[arg(long, default_value = "1")]
    pub(crate) batch: usize,
}

impl Ingest {
    /// Latency is that of a request, from before it is written to after it is answered.
    pub(super) async fn run(&self, common: &Common, target: &Target) -> Outcome<Findings> {
        let (api, meter) = (&target.api, Arc::new(Meter::new()?));
        let streams = try_join_all((0..self.publishers).map(|_| api.create(KEPT))).await?;
        let stop = Stop::default();
        let mut writers = Vec::with_capacity(self.publishers);
        for (number, stream) in streams.iter().enumerate() {
            let batches = Batches::open(api, stream, self.batch, common.payload).await?;
            writers.push(tokio::spawn(batches.closed_loop(
                Arc::clone(&meter),
                number,
                stop.watch(),
            )));
        }
        sleep(common.warm_up).await;
        let interval = Interval::measure(target, &meter, common.seconds).await?;
        stop.now();
        for writer in writers {
            writer.await??;
        }
        let title = format!(
            "{}: ingest, {} publishers, {} events a request",
            target.name, self.publishers, self.batch
        );
        let mut found = Findings::new(title);
        found.put_interval(EVENTS, &interval);
        try_join_all(streams.iter().map(|stream| api.end(stream))).await?;
        Ok(found)
    }
}

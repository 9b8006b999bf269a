//! Many streams, each with an upload and a client: answers of language models, token by token.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use tokio::time::sleep;

use super::Common;
use crate::{
    api::KEPT,
    fleet::Fleet,
    meter::Meter,
    problem::Outcome,
    publisher::{Stop, open_upload, upload},
    result::{EVENTS, Findings, Interval},
    target::Target,
};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Streams {
    /// Streams
    #[arg(long, default_value = "200")]
    pub(crate) streams: usize,
    /// Events a second in each
    #[arg(long, default_value = "20")]
    pub(crate) rate: f64,
}

impl Streams {
    pub(super) async fn run(&self, common: &Common, target: &Target) -> Outcome<Findings> {
        let (api, meter) = (&target.api, Arc::new(Meter::new()?));
        let streams: Vec<_> = stream::iter(0..self.streams).map(|_| api.create(KEPT)).buffered(16).try_collect().await?;
        let fleet = Fleet::connect(api, &streams, 1, common.transport, &meter).await?;
        let stop = Stop::default();
        let uploads: Vec<_> = stream::iter(&streams).map(|stream| open_upload(api, stream)).buffered(16).try_collect().await?;
        let writers: Vec<_> = uploads
            .into_iter()
            .enumerate()
            .map(|(number, connection)| {
                // Spread over the interval, as independent writers are.
                let phase = number as f64 / self.streams as f64;
                tokio::spawn(upload(connection, api.clone(), common.payload, self.rate, phase, stop.watch()))
            })
            .collect();
        sleep(common.warm_up).await;
        let interval = Interval::measure(target, &meter, common.seconds).await?;
        stop.now();
        let mut events = Vec::with_capacity(self.streams);
        for writer in writers {
            // A broker's stream begins with an event of its own.
            events.push(writer.await?? + u64::from(!api.is_floor()));
        }
        fleet.reaches(|number| events[number]).await;
        let mut found = Findings::new(format!("{}: {} streams, {} events/s each", target.name, self.streams, self.rate));
        found.put_interval(EVENTS, &interval);
        found.put_faults(fleet.faults(|number| events[number]));
        try_join_all(streams.iter().map(|stream| api.end(stream))).await?;
        Ok(found)
    }
}

//! One stream, many clients.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::Common;
use crate::{
    api::KEPT,
    fleet::Fleet,
    meter::Meter,
    problem::Outcome,
    publisher::{Batches, Stop, Stopped},
    result::{DELIVERIES, Findings, Interval},
    target::Target,
};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Fanout {
    /// Clients of the stream
    #[arg(long, default_value = "100")]
    pub(crate) clients: usize,
    /// Events in a batch
    #[arg(long, default_value = "1")]
    pub(crate) batch: usize,
    /// Batches a second; without it, as fast as the clients take them
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Without a rate: events that the slowest client may lag behind
    #[arg(long, default_value = "2000")]
    pub(crate) window: u64,
}

impl Fanout {
    pub(super) async fn run(&self, common: &Common, target: &Target) -> Outcome<Findings> {
        let (api, meter) = (&target.api, Arc::new(Meter::new()?));
        let stream = api.create(KEPT).await?;
        let fleet = Arc::new(
            Fleet::connect(
                api,
                std::slice::from_ref(&stream),
                self.clients,
                common.transport,
                &meter,
            )
            .await?,
        );
        let batches = Batches::open(api, &stream, self.batch, common.payload).await?;
        let stop = Stop::default();
        let writer = match self.rate {
            Some(rate) => tokio::spawn(batches.paced(rate, 0.0, stop.watch())),
            None => tokio::spawn(as_they_take_it(
                batches,
                Arc::clone(&fleet),
                self.window,
                stop.watch(),
            )),
        };
        sleep(common.warm_up).await;
        let interval = Interval::measure(target, &meter, common.seconds).await?;
        stop.now();
        let events = writer.await??;
        fleet.reaches(|_| events).await;
        let pace = self.rate.map_or_else(
            || "as fast as it goes".to_owned(),
            |rate| format!("{rate} batches/s"),
        );
        let mut found = Findings::new(format!(
            "{}: fanout, {} clients, {} events a batch, {pace}",
            target.name, self.clients, self.batch
        ));
        found.put_interval(DELIVERIES, &interval);
        found.put_faults(fleet.faults(|_| events));
        api.end(&stream).await?;
        Ok(found)
    }
}

/// Writes batch after batch, yet waits where the slowest client is too far behind: otherwise a
/// queue would be measured that grows, not what goes through.
async fn as_they_take_it(
    mut batches: Batches,
    fleet: Arc<Fleet>,
    window: u64,
    stop: Stopped,
) -> Outcome<u64> {
    let (mut held, mut taken) = (0_u64, 0);
    while !stop.is_set() {
        if held.saturating_sub(taken) > window {
            taken = fleet.slowest();
            if held.saturating_sub(taken) > window {
                sleep(Duration::from_millis(1)).await;
                continue;
            }
        }
        held = batches.publish().await?;
    }
    Ok(held)
}

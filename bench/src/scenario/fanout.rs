//! Fan-out: one stream, many subscribers.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::common::Common;
use crate::{
    error::Outcome,
    publisher::{BatchPublisher, Stop, StopSignal},
    recorder::Recorder,
    result::{DELIVERIES, Interval, RunResult},
    stream::KEPT,
    subscribers::Subscribers,
    target::Target,
};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Fanout {
    /// Subscribers of the stream
    #[arg(long, alias = "clients", default_value = "100")]
    pub(crate) subscribers: usize,
    /// Events in a batch
    #[arg(long, default_value = "1")]
    pub(crate) batch: usize,
    /// Batches a second; without it, at full speed
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// At full speed: how many events the slowest subscriber may lag behind
    #[arg(long, default_value = "2000")]
    pub(crate) window: u64,
}

impl Fanout {
    pub(super) async fn run(&self, common: &Common, target: &Target) -> Outcome<RunResult> {
        let (api, recorder) = (&target.api, Arc::new(Recorder::new()?));
        let stream = api.create(KEPT).await?;
        let subscribers = Arc::new(
            Subscribers::connect(
                api,
                std::slice::from_ref(&stream),
                self.subscribers,
                common.transport,
                &recorder,
            )
            .await?,
        );
        let batches = BatchPublisher::open(api, &stream, self.batch, common.payload).await?;
        let stop = Stop::default();
        let publisher = match self.rate {
            Some(rate) => tokio::spawn(batches.paced(rate, 0.0, stop.watch())),
            None => tokio::spawn(at_full_speed(
                batches,
                Arc::clone(&subscribers),
                self.window,
                stop.watch(),
            )),
        };
        sleep(common.warm_up).await;
        let interval = Interval::measure(target, &recorder, common.seconds).await?;
        stop.now();
        let events = publisher.await??;
        subscribers.wait_until(|_| events).await;
        let load = self.rate.map_or_else(
            || "at full speed".to_owned(),
            |rate| format!("{rate} batches/s"),
        );
        let mut result = RunResult::new(format!(
            "{}: fanout, {} subscribers, {} events per batch, {load}",
            target.name, self.subscribers, self.batch
        ));
        result.put_interval(DELIVERIES, &interval);
        result.put_faults(subscribers.faults(|_| events));
        api.end(&stream).await?;
        Ok(result)
    }
}

/// Writes batch after batch, but waits while the slowest subscriber is too far behind. Otherwise
/// the run would measure a growing queue, not throughput.
async fn at_full_speed(
    mut batches: BatchPublisher,
    subscribers: Arc<Subscribers>,
    window: u64,
    stop: StopSignal,
) -> Outcome<u64> {
    let (mut written, mut taken) = (0_u64, 0);
    while !stop.is_set() {
        if written.saturating_sub(taken) > window {
            taken = subscribers.slowest();
            if written.saturating_sub(taken) > window {
                sleep(Duration::from_millis(1)).await;
                continue;
            }
        }
        written = batches.publish().await?;
    }
    Ok(written)
}

//! Some subscribers stop reading while megabytes are published. They must neither cost memory nor
//! delay the others. When they read again, they must receive everything.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep;

use super::common::Common;
use crate::{
    api::Api,
    error::{Error, Outcome},
    publisher::{BatchPublisher, Stop},
    recorder::Recorder,
    result::{DELIVERIES, Interval, RunResult},
    stream::Stream,
    subscriber_connection::{ConnectOptions, SubscriberConnection},
    subscribers::{Subscriber, Subscribers},
    target::Target,
};

/// More than any run writes, so that subscribers that stalled lose nothing.
const KEPT: u64 = 1_000_000;

/// Events in a batch.
const BATCH: usize = 50;

/// The size of the system's receive buffer for a subscriber that does not read.
const RECEIVE_BUFFER: u32 = 4096;

pub(crate) const PEAK: &str = "broker MB at most, meanwhile";

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Slow {
    /// Subscribers, including those that stall
    #[arg(long, alias = "clients", default_value = "20")]
    pub(crate) subscribers: usize,
    /// Percentage that stalls
    #[arg(long, default_value = "50", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) stalled: u8,
    /// Megabytes to publish while they stall
    #[arg(long, default_value = "30")]
    pub(crate) megabytes: usize,
    /// Bytes of an event's data, instead of --payload
    #[arg(long, default_value = "1000")]
    pub(crate) size: usize,
}

impl Slow {
    pub(super) async fn run(&self, common: &Common, target: &Target) -> Outcome<RunResult> {
        let (api, recorder) = (&target.api, Arc::new(Recorder::new()?));
        let stalled = self.subscribers * usize::from(self.stalled) / 100;
        let stream = api.create(KEPT).await?;
        let readers = Subscribers::connect(
            api,
            std::slice::from_ref(&stream),
            self.subscribers - stalled,
            common.transport,
            &recorder,
        )
        .await?;
        let waiting = self.stall(api, &stream, stalled, common).await?;
        // One batch, so that the one-time allocations of the first batch do not count.
        BatchPublisher::open(api, &stream, BATCH, self.size)
            .await?
            .publish()
            .await?;
        sleep(Duration::from_millis(500)).await;
        let before = target.memory();

        let stop = Stop::default();
        let rate = (self.megabytes * 1_000_000) as f64
            / (BATCH * self.size) as f64
            / common.seconds.as_secs_f64();
        let publisher = tokio::spawn(
            BatchPublisher::open(api, &stream, BATCH, self.size)
                .await?
                .paced(rate, 0.0, stop.watch()),
        );
        let (interval, peak) = tokio::join!(
            Interval::measure(target, &recorder, common.seconds),
            peak(target, common.seconds)
        );
        let interval = interval?;
        stop.now();
        let events = publisher.await??;
        readers.wait_until(|_| events).await;
        let mut faults = readers.faults(|_| events);
        let after = target.memory();
        // They read again. Where subscribers can't resume, the server may no longer have their
        // events.
        let late = Subscribers::of(
            waiting
                .into_iter()
                .map(|connection| (connection, Subscriber::default())),
            &recorder,
        );
        if api.protocol.resumes() {
            late.wait_until(|_| events).await;
            faults += late.faults(|_| events);
        }
        drop((readers, late));
        sleep(Duration::from_secs(1)).await;
        let left = target.memory();
        api.end(&stream).await?;

        let title = format!(
            "{}: slow, {} subscribers, {stalled} stalled, {} MB",
            target.name, self.subscribers, self.megabytes
        );
        let mut result = RunResult::new(title);
        result.put_interval(DELIVERIES, &interval);
        if target.is_local() {
            let mb = |bytes: u64| bytes as f64 / 1e6;
            result.put("broker MB before", mb(before));
            result.put(PEAK, mb(peak));
            result.put("broker MB afterwards", mb(after));
            result.put("broker MB after all have read and left", mb(left));
        }
        result.put_faults(faults);
        Ok(result)
    }

    /// Opens connections that are not read.
    async fn stall(
        &self,
        api: &Api,
        stream: &Stream,
        count: usize,
        common: &Common,
    ) -> Outcome<Vec<SubscriberConnection>> {
        let path = api.protocol.follow(stream, common.transport, None);
        let options = &ConnectOptions {
            transport: common.transport,
            path,
            receive_buffer: Some(RECEIVE_BUFFER),
        };
        let open = |_| async move {
            SubscriberConnection::open(api, options)
                .await?
                .ok_or_else(|| Error::Other("A new stream has ended".to_owned()))
        };
        stream::iter(0..count)
            .map(open)
            .buffered(16)
            .try_collect()
            .await
    }
}

/// The largest memory in this time.
async fn peak(target: &Target, length: Duration) -> u64 {
    const STEP: Duration = Duration::from_millis(100);
    let mut most = 0;
    for _ in 0..length.as_millis() / STEP.as_millis() {
        sleep(STEP).await;
        most = most.max(target.memory());
    }
    most
}

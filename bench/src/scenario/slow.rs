//! Clients of which some stop reading, while megabytes go through the stream: they may neither cost
//! memory nor delay the others, and when they read again they must find everything.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep;

use super::Common;
use crate::{
    api::{Api, Stream},
    client::{Client, Opening},
    fleet::{Fleet, Member},
    meter::Meter,
    problem::{Outcome, Problem},
    publisher::{Batches, Stop},
    result::{DELIVERIES, Findings, Interval},
    target::Target,
};

/// All that is written is kept, so that those who stalled lose nothing.
const KEPT: u64 = 1_000_000;

/// Events in a batch.
const BATCH: usize = 50;

/// What the system holds for a client that does not read.
const RECEIVE_BUFFER: u32 = 4096;

pub(crate) const PEAK: &str = "broker MB at most, meanwhile";

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Slow {
    /// Clients, with those that stall
    #[arg(long, default_value = "20")]
    pub(crate) clients: usize,
    /// How many of a hundred stall
    #[arg(long, default_value = "50", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) stalled: u8,
    /// Megabytes that go through the stream while they stall, in the measured time
    #[arg(long, default_value = "30")]
    pub(crate) megabytes: usize,
    /// Bytes of an event's data, in place of --payload
    #[arg(long, default_value = "1000")]
    pub(crate) size: usize,
}

impl Slow {
    pub(super) async fn run(&self, common: &Common, target: &Target) -> Outcome<Findings> {
        let (api, meter) = (&target.api, Arc::new(Meter::new()?));
        let stalled = self.clients * usize::from(self.stalled) / 100;
        let stream = api.create(KEPT).await?;
        let readers = Fleet::connect(
            api,
            std::slice::from_ref(&stream),
            self.clients - stalled,
            common.transport,
            &meter,
        )
        .await?;
        let waiting = self.stall(api, &stream, stalled, common).await?;
        // One batch, so that what is set up with the first one is not counted.
        Batches::open(api, &stream, BATCH, self.size)
            .await?
            .publish()
            .await?;
        sleep(Duration::from_millis(500)).await;
        let before = target.memory();

        let stop = Stop::default();
        let rate = (self.megabytes * 1_000_000) as f64
            / (BATCH * self.size) as f64
            / common.seconds.as_secs_f64();
        let writer = tokio::spawn(Batches::open(api, &stream, BATCH, self.size).await?.paced(
            rate,
            0.0,
            stop.watch(),
        ));
        let (interval, peak) = tokio::join!(
            Interval::measure(target, &meter, common.seconds),
            peak(target, common.seconds)
        );
        let interval = interval?;
        stop.now();
        let events = writer.await??;
        readers.reaches(|_| events).await;
        let mut faults = readers.faults(|_| events);
        let after = target.memory();
        // They read again. Where one can't go on behind an id, there need not be anything for them
        // any more.
        let late = Fleet::of(
            waiting
                .into_iter()
                .map(|client| (client, Member::default())),
            &meter,
        );
        if api.dialect.resumes() {
            late.reaches(|_| events).await;
            faults += late.faults(|_| events);
        }
        drop((readers, late));
        sleep(Duration::from_secs(1)).await;
        let left = target.memory();
        api.end(&stream).await?;

        let title = format!(
            "{}: slow, {} clients of which {stalled} stall, {} MB",
            target.name, self.clients, self.megabytes
        );
        let mut found = Findings::new(title);
        found.put_interval(DELIVERIES, &interval);
        if target.is_near() {
            let mb = |bytes: u64| bytes as f64 / 1e6;
            found.put("broker MB before", mb(before));
            found.put(PEAK, mb(peak));
            found.put("broker MB afterwards", mb(after));
            found.put("broker MB after all have read and left", mb(left));
        }
        found.put_faults(faults);
        Ok(found)
    }

    /// Connections that are open and not read.
    async fn stall(
        &self,
        api: &Api,
        stream: &Stream,
        count: usize,
        common: &Common,
    ) -> Outcome<Vec<Client>> {
        let path = api.dialect.follow(stream, common.transport, None);
        let opening = &Opening {
            transport: common.transport,
            path,
            receive_buffer: Some(RECEIVE_BUFFER),
        };
        let open = |_| async move {
            Client::open(api, opening)
                .await?
                .ok_or_else(|| Problem::Other("A new stream has ended".to_owned()))
        };
        stream::iter(0..count)
            .map(open)
            .buffered(16)
            .try_collect()
            .await
    }
}

/// The most memory over so long.
async fn peak(target: &Target, length: Duration) -> u64 {
    const STEP: Duration = Duration::from_millis(100);
    let mut most = 0;
    for _ in 0..length.as_millis() / STEP.as_millis() {
        sleep(STEP).await;
        most = most.max(target.memory());
    }
    most
}

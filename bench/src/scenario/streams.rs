//! Many streams, each with a writer and a client: answers of language models, token by token. Or
//! with clients that follow several each: dashboards.

use std::{num::NonZeroUsize, sync::Arc};

use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use tokio::time::sleep;

use super::Common;
use crate::{
    api::{Api, KEPT, Stream},
    fleet::Fleet,
    meter::Meter,
    problem::Outcome,
    publisher::{Batches, Stop, Stopped, Uploading},
    result::{EVENTS, Findings, Interval},
    target::Target,
};

/// Of the clients' connections, with what they follow; not of the writers'.
const MEMORY: &str = "broker KB/stream and client";

#[derive(Clone, Debug, clap::Args)]
#[allow(clippy::struct_field_names, reason = "the options are called so")]
pub(crate) struct Streams {
    /// Streams
    #[arg(long, default_value = "200")]
    pub(crate) streams: usize,
    /// Events a second in each
    #[arg(long, default_value = "20")]
    pub(crate) rate: f64,
    /// A request per event in place of an upload; where there are no uploads, always so
    #[arg(long)]
    pub(crate) requests: bool,
    /// Streams that a client follows over one connection; only the broker knows how, by default up
    /// to 32
    #[arg(long, default_value = "1")]
    pub(crate) together: NonZeroUsize,
    /// Clients that follow the same
    #[arg(long, default_value = "1")]
    pub(crate) each: NonZeroUsize,
}

impl Streams {
    /// With a client to each stream.
    pub(crate) fn alone(streams: usize, rate: f64, requests: bool) -> Self {
        Self {
            streams,
            rate,
            requests,
            together: NonZeroUsize::MIN,
            each: NonZeroUsize::MIN,
        }
    }

    /// The most connections at once.
    pub(super) fn connections(&self) -> usize {
        self.streams + self.streams.div_ceil(self.together.get()) * self.each.get()
    }

    pub(super) async fn run(&self, common: &Common, target: &Target) -> Outcome<Findings> {
        let (together, each) = (self.together.get(), self.each.get());
        let (api, meter) = (&target.api, Arc::new(Meter::new()?));
        let streams: Vec<_> = stream::iter(0..self.streams)
            .map(|_| api.create(KEPT))
            .buffered(16)
            .try_collect()
            .await?;
        let before = target.memory();
        let fleet = match together {
            1 => Fleet::connect(api, &streams, each, common.transport, &meter).await?,
            _ => {
                Fleet::connect_together(api, &streams, together, each, common.transport, &meter)
                    .await?
            }
        };
        let connected = target.memory();
        let stop = Stop::default();
        let writers: Vec<_> = stream::iter(&streams)
            .map(|stream| Writer::open(api, stream, self.requests, common.payload))
            .buffered(16)
            .try_collect()
            .await?;
        let writers: Vec<_> = writers
            .into_iter()
            .enumerate()
            .map(|(number, writer)| {
                // Spread over the interval, as independent writers are.
                let phase = number as f64 / self.streams as f64;
                tokio::spawn(writer.paced(self.rate, phase, stop.watch()))
            })
            .collect();
        sleep(common.warm_up).await;
        let interval = Interval::measure(target, &meter, common.seconds).await?;
        stop.now();
        let mut events = Vec::with_capacity(self.streams);
        for writer in writers {
            events.push(writer.await??);
        }
        fleet.reaches(|place| events[place]).await;
        let mut found = Findings::new(self.title(target));
        found.put_interval(EVENTS, &interval);
        if target.is_near() {
            found.put(
                MEMORY,
                connected.saturating_sub(before) as f64 / 1_000.0 / (self.streams * each) as f64,
            );
        }
        found.put_faults(fleet.faults(|place| events[place]));
        try_join_all(streams.iter().map(|stream| api.end(stream))).await?;
        Ok(found)
    }

    fn title(&self, target: &Target) -> String {
        let Self {
            streams,
            rate,
            together,
            each,
            ..
        } = self;
        let title = format!("{}: {streams} streams, {rate} events/s each", target.name);
        match (together.get(), each.get()) {
            (1, 1) => title,
            _ => format!("{title}, {together} a connection, clients to each: {each}"),
        }
    }
}

/// Who writes to a stream.
enum Writer {
    Uploading {
        upload: Uploading,
        first_events: u64,
    },
    Requests(Batches),
}

impl Writer {
    async fn open(api: &Api, stream: &Stream, requests: bool, payload: usize) -> Outcome<Self> {
        match api.dialect.upload(stream).filter(|_| !requests) {
            Some(upload) => Ok(Self::Uploading {
                upload: Uploading::open(api, upload, payload).await?,
                first_events: api.dialect.first_events(),
            }),
            None => Ok(Self::Requests(
                Batches::open(api, stream, 1, payload).await?,
            )),
        }
    }

    /// Writes until it is stopped; how many events the stream holds then.
    async fn paced(self, rate: f64, phase: f64, stop: Stopped) -> Outcome<u64> {
        match self {
            Self::Uploading {
                upload,
                first_events,
            } => Ok(upload.paced(rate, phase, stop).await? + first_events),
            Self::Requests(batches) => batches.paced(rate, phase, stop).await,
        }
    }
}

//! Many streams, each with a publisher and a subscriber: answers of language models, token by
//! token. Or with subscribers that follow several streams each: dashboards.

use std::{num::NonZeroUsize, sync::Arc};

use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use tokio::time::sleep;

use super::common::Common;
use crate::{
    api::Api,
    error::Outcome,
    publisher::{BatchPublisher, Stop, StopSignal, UploadPublisher},
    recorder::Recorder,
    result::{EVENTS, Interval, RunResult},
    stream::{KEPT, Stream},
    subscribers::Subscribers,
    target::Target,
};

/// Memory of the subscribers' connections, without the publishers'.
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
    /// Send a request per event instead of an upload; always so where the server takes no uploads
    #[arg(long)]
    pub(crate) requests: bool,
    /// Streams that a subscriber follows over one connection; only with the broker, by default up
    /// to 32
    #[arg(long, default_value = "1")]
    pub(crate) together: NonZeroUsize,
    /// Subscribers of the same streams
    #[arg(long, default_value = "1")]
    pub(crate) each: NonZeroUsize,
}

impl Streams {
    /// With one subscriber per stream.
    pub(crate) fn alone(streams: usize, rate: f64, requests: bool) -> Self {
        Self {
            streams,
            rate,
            requests,
            together: NonZeroUsize::MIN,
            each: NonZeroUsize::MIN,
        }
    }

    /// The largest number of connections at once.
    pub(super) fn connections(&self) -> usize {
        self.streams + self.streams.div_ceil(self.together.get()) * self.each.get()
    }

    pub(super) async fn run(&self, common: &Common, target: &Target) -> Outcome<RunResult> {
        let (together, each) = (self.together.get(), self.each.get());
        let (api, recorder) = (&target.api, Arc::new(Recorder::new()?));
        let streams: Vec<_> = stream::iter(0..self.streams)
            .map(|_| api.create(KEPT))
            .buffered(16)
            .try_collect()
            .await?;
        let before = target.memory();
        let subscribers = match together {
            1 => Subscribers::connect(api, &streams, each, common.transport, &recorder).await?,
            _ => {
                Subscribers::connect_together(
                    api,
                    &streams,
                    together,
                    each,
                    common.transport,
                    &recorder,
                )
                .await?
            }
        };
        let connected = target.memory();
        let stop = Stop::default();
        let publishers: Vec<_> = stream::iter(&streams)
            .map(|stream| StreamPublisher::open(api, stream, self.requests, common.payload))
            .buffered(16)
            .try_collect()
            .await?;
        let publishers: Vec<_> = publishers
            .into_iter()
            .enumerate()
            .map(|(number, publisher)| {
                // Spread over the interval, as independent publishers are.
                let phase = number as f64 / self.streams as f64;
                tokio::spawn(publisher.paced(self.rate, phase, stop.watch()))
            })
            .collect();
        sleep(common.warm_up).await;
        let interval = Interval::measure(target, &recorder, common.seconds).await?;
        stop.now();
        let mut events = Vec::with_capacity(self.streams);
        for publisher in publishers {
            events.push(publisher.await??);
        }
        subscribers.wait_until(|index| events[index]).await;
        let mut result = RunResult::new(self.title(target));
        result.put_interval(EVENTS, &interval);
        if target.is_local() {
            result.put(
                MEMORY,
                connected.saturating_sub(before) as f64 / 1_000.0 / (self.streams * each) as f64,
            );
        }
        result.put_faults(subscribers.faults(|index| events[index]));
        try_join_all(streams.iter().map(|stream| api.end(stream))).await?;
        Ok(result)
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
            _ => format!("{title}, {together} per connection, subscribers of each: {each}"),
        }
    }
}

/// The publisher of a stream.
enum StreamPublisher {
    UploadPublisher {
        upload: UploadPublisher,
        first_events: u64,
    },
    Requests(BatchPublisher),
}

impl StreamPublisher {
    async fn open(api: &Api, stream: &Stream, requests: bool, payload: usize) -> Outcome<Self> {
        match api.protocol.upload(stream).filter(|_| !requests) {
            Some(upload) => Ok(Self::UploadPublisher {
                upload: UploadPublisher::open(api, upload, payload).await?,
                first_events: api.protocol.first_events(),
            }),
            None => Ok(Self::Requests(
                BatchPublisher::open(api, stream, 1, payload).await?,
            )),
        }
    }

    /// Writes until it is stopped. Returns how many events the stream has then.
    async fn paced(self, rate: f64, phase: f64, stop: StopSignal) -> Outcome<u64> {
        match self {
            Self::UploadPublisher {
                upload,
                first_events,
            } => Ok(upload.paced(rate, phase, stop).await? + first_events),
            Self::Requests(batches) => batches.paced(rate, phase, stop).await,
        }
    }
}

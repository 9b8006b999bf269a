//! Signals to producers that wait for them, under the load of many other streams.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

use super::{common::Common, streams::Streams};
use crate::{
    api::Api,
    chunked::Chunked,
    clock,
    error::{Error, Outcome},
    http::Connection,
    publisher::{Stop, StopSignal, ticks},
    recorder::Recorder,
    result::{FAULTS, Interval, RunResult},
    stream::{KEPT, Stream},
    subscribers::DELIVERY_TIMEOUT,
    target::Target,
};

const SIGNALS: &str = "signals/s";

/// Connections that send signals.
const SENDERS: usize = 8;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Signals {
    /// Idle streams, each with a producer that waits for signals
    #[arg(long, default_value = "100")]
    producers: usize,
    /// Signals a second to all of them
    #[arg(long = "signals", default_value = "200")]
    per_second: f64,
    /// The other streams
    #[command(flatten)]
    load: Streams,
}

impl Signals {
    /// The largest number of connections at once.
    pub(super) fn connections(&self) -> usize {
        self.producers + SENDERS + self.load.connections()
    }

    /// Records the time from the request of the sender to the producer as latency.
    pub(super) async fn run(&self, common: &Common, target: &Target) -> Outcome<RunResult> {
        let (load, signals) =
            tokio::try_join!(self.load.run(common, target), self.measure(common, target))?;
        let (interval, lost) = signals;
        let mut result = RunResult::new(format!(
            "{}: {} signals/s to {} producers, beside {} streams",
            target.name, self.per_second, self.producers, self.load.streams
        ));
        result.put(SIGNALS, interval.counted.events as f64 / interval.seconds);
        result.put_latency(&interval.counted.latency);
        for name in FAULTS {
            let of_load = load.get(name).unwrap_or_default();
            let of_signals = if name == FAULTS[0] { lost as f64 } else { 0.0 };
            result.put(name, of_load + of_signals);
        }
        Ok(result)
    }

    /// The signals that were received in the interval, and how many were lost in all.
    async fn measure(&self, common: &Common, target: &Target) -> Outcome<(Interval, u64)> {
        let (api, recorder) = (&target.api, Arc::new(Recorder::new()?));
        let streams: Vec<Stream> = stream::iter(0..self.producers)
            .map(|_| api.create(KEPT))
            .buffered(16)
            .try_collect()
            .await?;
        let mut producers = Vec::with_capacity(streams.len());
        for (number, stream) in streams.iter().enumerate() {
            let producer = Producer::open(api, stream, Arc::clone(&recorder), number).await?;
            producers.push(tokio::spawn(producer.run()));
        }
        let stop = Stop::default();
        let streams: Arc<[Stream]> = streams.into();
        let senders: Vec<JoinHandle<Outcome<u64>>> = (0..SENDERS)
            .map(|number| {
                let phase = number as f64 / SENDERS as f64;
                let rate = self.per_second / SENDERS as f64;
                tokio::spawn(send(
                    api.clone(),
                    Arc::clone(&streams),
                    rate,
                    phase,
                    stop.watch(),
                ))
            })
            .collect();
        sleep(common.warm_up).await;
        let interval = Interval::measure(target, &recorder, common.seconds).await?;
        stop.now();
        let mut sent = 0;
        for sender in senders {
            sent += sender.await??;
        }
        for stream in streams.iter() {
            api.end(stream).await?;
        }
        // The end of its stream ends each producer, after all of its signals.
        let deadline = Instant::now() + DELIVERY_TIMEOUT;
        let mut received = 0;
        for producer in producers {
            let ended = timeout_at(deadline, producer).await;
            let late =
                |_| Error::Other("A producer did not learn the end of its stream".to_owned());
            received += ended.map_err(late)???;
        }
        Ok((interval, sent.saturating_sub(received)))
    }
}

/// Sends signals to random streams until it is stopped. Returns how many it sent.
async fn send(
    api: Api,
    streams: Arc<[Stream]>,
    rate: f64,
    phase: f64,
    stop: StopSignal,
) -> Outcome<u64> {
    let mut connection = Connection::open(api.address, None).await?;
    let mut ticks = ticks(rate, phase);
    let mut sent = 0;
    while !stop.is_set() {
        ticks.tick().await;
        let stream = &streams[fastrand::usize(..streams.len())];
        let request = api.protocol.signal(stream).ok_or_else(unable)?;
        connection.send(&request.encode(api.address)).await?;
        let response = connection.response().await?;
        response.success("A signal is refused")?;
        sent += 1;
    }
    Ok(sent)
}

fn unable() -> Error {
    Error::Other("This server has no signals".to_owned())
}

/// A producer that waits for signals.
struct Producer {
    connection: Connection,
    recorder: Arc<Recorder>,
    number: usize,
}

impl Producer {
    async fn open(
        api: &Api,
        stream: &Stream,
        recorder: Arc<Recorder>,
        number: usize,
    ) -> Outcome<Self> {
        let mut connection = Connection::open(api.address, None).await?;
        let request = api.protocol.signals(stream).ok_or_else(unable)?;
        connection.send(&request.encode(api.address)).await?;
        let head = connection.head().await?;
        if head.status != 200 || !head.chunked {
            return Err(Error::Other(format!(
                "Waiting for signals is answered {}",
                head.status
            )));
        }
        Ok(Self {
            connection,
            recorder,
            number,
        })
    }

    /// Records the signals until the stream ends. Returns how many came.
    async fn run(mut self) -> Outcome<u64> {
        let (mut decoder, mut body, mut received) = (Chunked::new(), Vec::new(), 0);
        loop {
            let malformed = |_| Error::Other("Signals are not in the chunked coding".to_owned());
            decoder
                .decode(&self.connection.unread, &mut body)
                .map_err(malformed)?;
            self.connection.unread.clear();
            let now = clock::now();
            while let Some(end) = memchr::memmem::find(&body, b"\n\n") {
                if let Some(sent) = stamp_of(&body[..end]) {
                    self.recorder.recording(self.number).record(sent, now);
                    received += 1;
                }
                body.drain(..end + 2);
            }
            if decoder.is_done() {
                return Ok(received);
            }
            self.connection.read_more().await?;
        }
    }
}

/// The time in the data of a signal.
fn stamp_of(frame: &[u8]) -> Option<u64> {
    let data = memchr::memmem::find(frame, b"\"data\":")? + b"\"data\":".len();
    clock::stamp(frame.get(data..)?)
}

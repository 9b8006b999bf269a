//! Publishers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{
    api::{Api, unexpected},
    clock,
    error::{Error, Outcome},
    http::Connection,
    protocol::Upload,
    recorder::Recorder,
    stream::Stream,
};

/// Stops publishers. Dropping it stops them, too, so that none continues after a failed run.
#[derive(Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

/// Shows a publisher whether it must stop.
#[derive(Clone)]
pub(crate) struct StopSignal(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn watch(&self) -> StopSignal {
        StopSignal(Arc::clone(&self.0))
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.now();
    }
}

impl StopSignal {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Publishes batches, one request at a time over one connection.
pub(crate) struct BatchPublisher {
    connection: Connection,
    api: Api,
    stream: Stream,
    events: usize,
    payload: usize,
}

impl BatchPublisher {
    pub(crate) async fn open(
        api: &Api,
        stream: &Stream,
        events: usize,
        payload: usize,
    ) -> Outcome<Self> {
        let connection = Connection::open(api.address, None).await?;
        Ok(Self {
            connection,
            api: api.clone(),
            stream: stream.clone(),
            events,
            payload,
        })
    }

    /// Writes a batch. Returns how many events the stream has had since its start.
    pub(crate) async fn publish(&mut self) -> Outcome<u64> {
        let Api { address, protocol } = &self.api;
        let request = protocol.publish(&self.stream, self.events, self.payload);
        let request = request.ok_or_else(|| {
            Error::Other(format!("A request can't hold {} events here", self.events))
        })?;
        self.connection.send(&request.encode(*address)).await?;
        let body = self
            .connection
            .response()
            .await?
            .success("A batch is refused")?;
        protocol
            .event_count(&self.stream, &body)
            .ok_or_else(|| unexpected("A batch", &body))
    }

    /// Writes this many batches a second until it is stopped. Returns how many events the stream
    /// has then.
    pub(crate) async fn paced(mut self, rate: f64, phase: f64, stop: StopSignal) -> Outcome<u64> {
        let mut ticks = ticks(rate, phase);
        let mut written = 0;
        while !stop.is_set() {
            ticks.tick().await;
            written = self.publish().await?;
        }
        Ok(written)
    }

    /// Writes batch after batch until it is stopped, and records each confirmed event.
    pub(crate) async fn closed_loop(
        mut self,
        recorder: Arc<Recorder>,
        number: usize,
        stop: StopSignal,
    ) -> Outcome<()> {
        while !stop.is_set() {
            let sent = clock::now();
            self.publish().await?;
            let answered = clock::now();
            let mut recording = recorder.recording(number);
            (0..self.events).for_each(|_| recording.record(sent, answered));
        }
        Ok(())
    }
}

/// Publishes events over an open upload. It is opened separately, as many at once would overflow
/// the server's queue of new connections. Those that the system refuses are tried again only after
/// a second.
pub(crate) struct UploadPublisher {
    connection: Connection,
    put_event: fn(&mut Vec<u8>, usize),
    payload: usize,
}

impl UploadPublisher {
    pub(crate) async fn open(api: &Api, upload: Upload, payload: usize) -> Outcome<Self> {
        let mut connection = Connection::open(api.address, None).await?;
        connection.send(&upload.head.encode(api.address)).await?;
        Ok(Self {
            connection,
            put_event: upload.put_event,
            payload,
        })
    }

    /// Writes one event at a time until it is stopped. Returns how many events the server counted.
    pub(crate) async fn paced(mut self, rate: f64, phase: f64, stop: StopSignal) -> Outcome<u64> {
        let mut ticks = ticks(rate, phase);
        let mut sent = 0;
        while !stop.is_set() {
            ticks.tick().await;
            self.connection.send(&self.line()).await?;
            sent += 1;
        }
        self.connection.send(b"0\r\n\r\n").await?;
        let body = self
            .connection
            .response()
            .await?
            .success("An upload is refused")?;
        let text = String::from_utf8_lossy(&body);
        let response: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let written = response
            .as_u64()
            .or_else(|| response.get("num_events")?.as_u64());
        if written == Some(sent) {
            return Ok(sent);
        }
        Err(Error::Other(format!(
            "{sent} lines were sent, and the response is {}",
            text.chars().take(300).collect::<String>()
        )))
    }

    /// An event as a chunk.
    fn line(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.payload + 32);
        (self.put_event)(&mut line, self.payload);
        line.push(b'\n');
        let mut chunk = format!("{:x}\r\n", line.len()).into_bytes();
        chunk.append(&mut line);
        chunk.extend_from_slice(b"\r\n");
        chunk
    }
}

/// Ticks at this rate. The first comes after a part (`phase`) of the interval; late ones are made
/// up for.
pub(crate) fn ticks(rate: f64, phase: f64) -> tokio::time::Interval {
    let period = Duration::from_secs_f64(1.0 / rate);
    let mut ticks = interval_at(Instant::now() + period.mul_f64(phase), period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    ticks
}

//! Writers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{
    api::{Api, Stream, unread},
    clock,
    dialect::Upload,
    http::Connection,
    meter::Meter,
    problem::{Outcome, Problem},
};

/// Tells writers to finish; so does its being dropped, so that none goes on after a run that
/// failed.
#[derive(Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

/// What a writer looks at.
#[derive(Clone)]
pub(crate) struct Stopped(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn watch(&self) -> Stopped {
        Stopped(Arc::clone(&self.0))
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.now();
    }
}

impl Stopped {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Writes batches, one request at a time on one connection.
pub(crate) struct Batches {
    connection: Connection,
    api: Api,
    stream: Stream,
    events: usize,
    payload: usize,
}

impl Batches {
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

    /// Writes a batch; how many events the stream has held since its start.
    pub(crate) async fn publish(&mut self) -> Outcome<u64> {
        let Api { address, dialect } = &self.api;
        let request = dialect.publish(&self.stream, self.events, self.payload);
        let request = request.ok_or_else(|| {
            Problem::Other(format!("A request can't hold {} events here", self.events))
        })?;
        self.connection.send(&request.encode(*address)).await?;
        let body = self.connection.answer().await?.good("A batch is refused")?;
        dialect
            .held(&self.stream, &body)
            .ok_or_else(|| unread("A batch", &body))
    }

    /// Writes so many batches a second until it is stopped; how many events the stream holds then.
    pub(crate) async fn paced(mut self, rate: f64, phase: f64, stop: Stopped) -> Outcome<u64> {
        let mut ticks = ticks(rate, phase);
        let mut held = 0;
        while !stop.is_set() {
            ticks.tick().await;
            held = self.publish().await?;
        }
        Ok(held)
    }

    /// Writes batch after batch until it is stopped, counting each event that was confirmed.
    pub(crate) async fn closed_loop(
        mut self,
        meter: Arc<Meter>,
        number: usize,
        stop: Stopped,
    ) -> Outcome<()> {
        while !stop.is_set() {
            let sent = clock::now();
            self.publish().await?;
            let answered = clock::now();
            let mut counter = meter.counter(number);
            (0..self.events).for_each(|_| counter.record(sent, answered));
        }
        Ok(())
    }
}

/// An upload that is open. Opened apart from its use, so that a crowd of them does not overflow the
/// server's queue of newcomers, where those refused try again only a second later.
pub(crate) struct Uploading {
    connection: Connection,
    put_event: fn(&mut Vec<u8>, usize),
    payload: usize,
}

impl Uploading {
    pub(crate) async fn open(api: &Api, upload: Upload, payload: usize) -> Outcome<Self> {
        let mut connection = Connection::open(api.address, None).await?;
        connection.send(&upload.head.encode(api.address)).await?;
        Ok(Self {
            connection,
            put_event: upload.put_event,
            payload,
        })
    }

    /// Writes one event at a time until it is stopped; how many the server counted.
    pub(crate) async fn paced(mut self, rate: f64, phase: f64, stop: Stopped) -> Outcome<u64> {
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
            .answer()
            .await?
            .good("An upload is refused")?;
        let text = String::from_utf8_lossy(&body);
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let written = answer
            .as_u64()
            .or_else(|| answer.get("num_events")?.as_u64());
        if written == Some(sent) {
            return Ok(sent);
        }
        Err(Problem::Other(format!(
            "{sent} lines were sent, and the answer is {}",
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

/// So many a second, beginning with a part of the first interval. Late ones are made up for.
pub(crate) fn ticks(rate: f64, phase: f64) -> tokio::time::Interval {
    let period = Duration::from_secs_f64(1.0 / rate);
    let mut ticks = interval_at(Instant::now() + period.mul_f64(phase), period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    ticks
}

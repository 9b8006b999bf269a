//! Many clients at once, each read by a task of its own.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    api::{Api, Stream, Transport},
    client::{Client, Opening},
    clock,
    frame::EVENT,
    meter::Meter,
    problem::{Outcome, Problem},
    track::{Faults, Track},
};

/// Clients that connect at a time: about as many as a system queues without refusing.
const CONNECTING: usize = 64;

/// How long clients may take for what has been written.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What is known of a client, while a task reads for it.
#[derive(Default)]
pub(crate) struct Member {
    /// One more than the last number that it received; all there can be once it is closed, so that nobody waits for it.
    reached: AtomicU64,
    track: Mutex<Track>,
}

impl Member {
    pub(crate) fn track(&self) -> MutexGuard<'_, Track> {
        self.track.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what there is to read, and counts it.
    pub(crate) async fn read(&self, client: &mut Client, number: usize, meter: &Meter) -> Outcome<bool> {
        let arrived = client.wait().await?;
        let now = clock::now();
        let mut track = self.track();
        // Locked once for all frames of a read.
        let mut counter = meter.counter(number);
        let open = client.take(arrived, |frame| {
            track.see(&frame);
            if frame.name == EVENT
                && let Some(sent) = clock::stamp(frame.data)
            {
                counter.record(sent, now);
            }
        })?;
        self.reached.store(track.last.map_or(0, |last| last.number + 1), Ordering::Relaxed);
        Ok(open)
    }

    pub(crate) fn reached(&self) -> u64 {
        self.reached.load(Ordering::Relaxed)
    }

    /// Reads until the end of the connection.
    pub(crate) async fn follow(&self, mut client: Client, number: usize, meter: &Meter) {
        while matches!(self.read(&mut client, number, meter).await, Ok(true)) {}
        self.track().faults.closed += 1;
        self.reached.store(u64::MAX, Ordering::Relaxed);
    }
}

/// Clients that follow one stream.
pub(crate) struct Fleet {
    pub(crate) members: Vec<Arc<Member>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Fleet {
    /// Connects so many clients to each of the streams; all have received what there was when this returns.
    pub(crate) async fn connect(api: &Api, streams: &[Stream], each: usize, transport: Transport, meter: &Arc<Meter>) -> Outcome<Self> {
        let opening = Opening { transport, after: None, receive_buffer: None };
        let places = streams.iter().flat_map(|stream| std::iter::repeat_n(stream, each));
        let clients: Vec<Client> = stream::iter(places)
            .map(|stream| async move {
                Client::open(api, stream, opening).await?.ok_or_else(|| Problem::Other("A new stream has ended".to_owned()))
            })
            .buffered(CONNECTING)
            .try_collect()
            .await?;
        let fleet = Self::of(clients, meter);
        // There is nobody to wait for where there is nothing.
        fleet.wait_for(api.dialect.first_events()).await?;
        Ok(fleet)
    }

    /// Reads for these clients.
    pub(crate) fn of(clients: Vec<Client>, meter: &Arc<Meter>) -> Self {
        let (members, tasks) = clients
            .into_iter()
            .enumerate()
            .map(|(number, client)| {
                let member = Arc::new(Member::default());
                let (of_task, meter) = (Arc::clone(&member), Arc::clone(meter));
                let task = tokio::spawn(async move { of_task.follow(client, number, &meter).await });
                (member, task)
            })
            .unzip();
        Self { members, tasks }
    }

    /// How many events the client furthest behind has received.
    pub(crate) fn slowest(&self) -> u64 {
        self.members.iter().map(|member| member.reached()).min().unwrap_or(u64::MAX)
    }

    /// Waits until all have received so many events.
    pub(crate) async fn wait_for(&self, events: u64) -> Outcome<()> {
        if self.reaches(|_| events).await {
            return Ok(());
        }
        let behind = self.members.iter().filter(|member| member.reached() < events).count();
        Err(Problem::Other(format!("{behind} of {} clients did not receive an event within {PATIENCE:?}", self.members.len())))
    }

    /// Waits until each has received as many events as are given for its number; false if some do not.
    pub(crate) async fn reaches(&self, events: impl Fn(usize) -> u64) -> bool {
        let start = Instant::now();
        while self.members.iter().enumerate().any(|(number, member)| member.reached() < events(number)) {
            if start.elapsed() > PATIENCE {
                return false;
            }
            sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// What went wrong, given how many events there are for the client with this number.
    pub(crate) fn faults(&self, events: impl Fn(usize) -> u64) -> Faults {
        let mut total = Faults::default();
        for (number, member) in self.members.iter().enumerate() {
            total += member.track().faults_of(events(number));
        }
        total
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

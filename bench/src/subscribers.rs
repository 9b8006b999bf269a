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
    track::{Faults, Tracks},
};

/// Clients that connect at a time: about as many as a system queues without refusing.
const CONNECTING: usize = 64;

/// How long clients may take for what has been written.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What is known of a client, while a task reads for it.
pub(crate) struct Member {
    /// The place of its first stream among those of the fleet. Its others come next.
    first: usize,
    /// For each of its streams, one more than the last number that it received; all there can be
    /// once it is closed, so that nobody waits for it.
    reached: Box<[AtomicU64]>,
    tracks: Mutex<Tracks>,
}

impl Default for Member {
    /// One with a single stream.
    fn default() -> Self {
        Self::of(0, Tracks::default())
    }
}

impl Member {
    fn of(first: usize, tracks: Tracks) -> Self {
        Self {
            first,
            reached: tracks.each().iter().map(|_| AtomicU64::default()).collect(),
            tracks: Mutex::new(tracks),
        }
    }

    pub(crate) fn tracks(&self) -> MutexGuard<'_, Tracks> {
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what there is to read, and counts it.
    pub(crate) async fn read(
        &self,
        client: &mut Client,
        number: usize,
        meter: &Meter,
    ) -> Outcome<bool> {
        let arrived = client.wait().await?;
        let now = clock::now();
        let mut tracks = self.tracks();
        // Locked once for all frames of a read.
        let mut counter = meter.counter(number);
        client.take(arrived, |frame| {
            let place = tracks.see(&frame);
            self.reached[place].store(tracks.each()[place].reached(), Ordering::Relaxed);
            if frame.name == EVENT
                && let Some(sent) = clock::stamp(frame.data)
            {
                counter.record(sent, now);
            }
        })
    }

    /// How many events it has received, for each of its streams, of which the places are told too.
    fn reached(&self) -> impl Iterator<Item = (usize, u64)> {
        (self.first..).zip(
            self.reached
                .iter()
                .map(|reached| reached.load(Ordering::Relaxed)),
        )
    }

    /// Reads until the end of the connection.
    pub(crate) async fn follow(&self, mut client: Client, number: usize, meter: &Meter) {
        while matches!(self.read(&mut client, number, meter).await, Ok(true)) {}
        self.tracks().first().faults.closed += 1;
        self.reached
            .iter()
            .for_each(|reached| reached.store(u64::MAX, Ordering::Relaxed));
    }
}

/// The streams of a client.
struct Wish<'a> {
    /// The place of the first among those of the fleet.
    first: usize,
    streams: &'a [Stream],
    path: String,
}

/// Clients that follow streams.
pub(crate) struct Fleet {
    members: Vec<Arc<Member>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Fleet {
    /// Connects so many clients to each of the streams; all have received what there was when this
    /// returns.
    pub(crate) async fn connect(
        api: &Api,
        streams: &[Stream],
        each: usize,
        transport: Transport,
        meter: &Arc<Meter>,
    ) -> Outcome<Self> {
        let wish = |(first, stream)| Wish {
            first,
            streams: std::slice::from_ref(stream),
            path: api.dialect.follow(stream, transport, None),
        };
        Self::open(
            api,
            &streams.iter().enumerate().map(wish).collect::<Vec<_>>(),
            each,
            transport,
            meter,
        )
        .await
    }

    /// The same, with so many clients to each group of so many streams, which each of them follows
    /// over one connection. The server must know how.
    pub(crate) async fn connect_together(
        api: &Api,
        streams: &[Stream],
        together: usize,
        each: usize,
        transport: Transport,
        meter: &Arc<Meter>,
    ) -> Outcome<Self> {
        let wishes: Vec<_> = stream::iter(streams.chunks(together).enumerate())
            .map(|(group, streams)| async move {
                Ok::<_, Problem>(Wish {
                    first: group * together,
                    streams,
                    path: api.follow_together(streams, transport).await?,
                })
            })
            .buffered(CONNECTING)
            .try_collect()
            .await?;
        Self::open(api, &wishes, each, transport, meter).await
    }

    async fn open(
        api: &Api,
        wishes: &[Wish<'_>],
        each: usize,
        transport: Transport,
        meter: &Arc<Meter>,
    ) -> Outcome<Self> {
        let clients: Vec<_> = stream::iter(
            wishes
                .iter()
                .flat_map(|wish| std::iter::repeat_n(wish, each)),
        )
        .map(|wish| async move {
            let opening = Opening {
                transport,
                path: wish.path.clone(),
                receive_buffer: None,
            };
            let client = Client::open(api, &opening)
                .await?
                .ok_or_else(|| Problem::Other("A new stream has ended".to_owned()))?;
            Ok::<_, Problem>((
                client,
                Member::of(
                    wish.first,
                    Tracks::of(wish.streams.iter().map(|stream| &*stream.key)),
                ),
            ))
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
    pub(crate) fn of(
        clients: impl IntoIterator<Item = (Client, Member)>,
        meter: &Arc<Meter>,
    ) -> Self {
        let (members, tasks) = clients
            .into_iter()
            .enumerate()
            .map(|(number, (client, member))| {
                let member = Arc::new(member);
                let (of_task, meter) = (Arc::clone(&member), Arc::clone(meter));
                let task =
                    tokio::spawn(async move { of_task.follow(client, number, &meter).await });
                (member, task)
            })
            .unzip();
        Self { members, tasks }
    }

    /// How many events the client furthest behind has received.
    pub(crate) fn slowest(&self) -> u64 {
        self.reached()
            .map(|(_, reached)| reached)
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Waits until all have received so many events.
    pub(crate) async fn wait_for(&self, events: u64) -> Outcome<()> {
        if self.reaches(|_| events).await {
            return Ok(());
        }
        let behind = self
            .members
            .iter()
            .filter(|member| member.reached().any(|(_, reached)| reached < events))
            .count();
        Err(Problem::Other(format!(
            "{behind} of {} clients did not receive an event within {PATIENCE:?}",
            self.members.len()
        )))
    }

    /// Waits until each has received as many events as are given for its stream's place; false if
    /// some do not.
    pub(crate) async fn reaches(&self, events: impl Fn(usize) -> u64) -> bool {
        let start = Instant::now();
        while self
            .reached()
            .any(|(place, reached)| reached < events(place))
        {
            if start.elapsed() > PATIENCE {
                return false;
            }
            sleep(Duration::from_millis(5)).await;
        }
        true
    }

    fn reached(&self) -> impl Iterator<Item = (usize, u64)> {
        self.members.iter().flat_map(|member| member.reached())
    }

    /// What went wrong, given how many events the stream at this place has.
    pub(crate) fn faults(&self, events: impl Fn(usize) -> u64) -> Faults {
        let mut total = Faults::default();
        for member in &self.members {
            for (place, track) in (member.first..).zip(member.tracks().each()) {
                total += track.faults_of(events(place));
            }
        }
        total
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

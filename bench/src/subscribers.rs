//! Many subscribers at once, each with a task that reads its events.

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
    api::Api,
    clock,
    delivery_check::{DeliveryCheck, Faults},
    error::{Error, Outcome},
    frame::EVENT,
    recorder::Recorder,
    stream::{Stream, Transport},
    subscriber_connection::{ConnectOptions, SubscriberConnection},
};

/// How many subscribers connect at a time: about as many as the system queues without refusing.
const CONNECTING: usize = 64;

/// How long subscribers may take to receive what was written.
pub(crate) const DELIVERY_TIMEOUT: Duration = Duration::from_secs(20);

/// A subscriber, and what it has received so far.
pub(crate) struct Subscriber {
    /// The index of its first stream among all streams. Its other streams follow.
    first: usize,
    /// For each of its streams, one more than the last number that it received. The largest number
    /// once the connection is closed, so that nothing waits for it.
    next_numbers: Box<[AtomicU64]>,
    check: Mutex<DeliveryCheck>,
}

impl Default for Subscriber {
    /// A subscriber of a single stream.
    fn default() -> Self {
        Self::of(0, DeliveryCheck::default())
    }
}

impl Subscriber {
    fn of(first: usize, check: DeliveryCheck) -> Self {
        Self {
            first,
            next_numbers: check.each().iter().map(|_| AtomicU64::default()).collect(),
            check: Mutex::new(check),
        }
    }

    pub(crate) fn check(&self) -> MutexGuard<'_, DeliveryCheck> {
        self.check.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and records the events that arrive. Returns false at the end of the connection.
    pub(crate) async fn read(
        &self,
        connection: &mut SubscriberConnection,
        number: usize,
        recorder: &Recorder,
    ) -> Outcome<bool> {
        let arrived = connection.wait().await?;
        let now = clock::now();
        let mut check = self.check();
        // Locked once for all frames of a read.
        let mut recording = recorder.recording(number);
        connection.take(arrived, |frame| {
            let index = check.record(&frame);
            self.next_numbers[index].store(check.each()[index].next_number(), Ordering::Relaxed);
            if frame.name == EVENT
                && let Some(sent) = clock::stamp(frame.data)
            {
                recording.record(sent, now);
            }
        })
    }

    /// The index of each of its streams, and how many events it has received.
    fn next_numbers(&self) -> impl Iterator<Item = (usize, u64)> {
        (self.first..).zip(
            self.next_numbers
                .iter()
                .map(|next_number| next_number.load(Ordering::Relaxed)),
        )
    }

    /// Reads until the end of the connection.
    pub(crate) async fn follow(
        &self,
        mut connection: SubscriberConnection,
        number: usize,
        recorder: &Recorder,
    ) {
        while matches!(self.read(&mut connection, number, recorder).await, Ok(true)) {}
        self.check().first().faults.closed += 1;
        self.next_numbers
            .iter()
            .for_each(|next_number| next_number.store(u64::MAX, Ordering::Relaxed));
    }
}

/// The streams that several subscribers follow.
struct Group<'a> {
    /// The index of the first among all streams.
    first: usize,
    streams: &'a [Stream],
    path: String,
}

/// The subscribers of a run.
pub(crate) struct Subscribers {
    members: Vec<Arc<Subscriber>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Subscribers {
    /// Connects `each` subscribers to each stream. Returns when all have received the first events.
    pub(crate) async fn connect(
        api: &Api,
        streams: &[Stream],
        each: usize,
        transport: Transport,
        recorder: &Arc<Recorder>,
    ) -> Outcome<Self> {
        let group = |(first, stream)| Group {
            first,
            streams: std::slice::from_ref(stream),
            path: api.protocol.follow(stream, transport, None),
        };
        Self::open(
            api,
            &streams.iter().enumerate().map(group).collect::<Vec<_>>(),
            each,
            transport,
            recorder,
        )
        .await
    }

    /// Connects `each` subscribers to each group of `together` streams, which a subscriber follows
    /// over one connection. Fails where the server can't do that.
    pub(crate) async fn connect_together(
        api: &Api,
        streams: &[Stream],
        together: usize,
        each: usize,
        transport: Transport,
        recorder: &Arc<Recorder>,
    ) -> Outcome<Self> {
        let groups: Vec<_> = stream::iter(streams.chunks(together).enumerate())
            .map(|(group, streams)| async move {
                Ok::<_, Error>(Group {
                    first: group * together,
                    streams,
                    path: api.many_streams_path(streams, transport).await?,
                })
            })
            .buffered(CONNECTING)
            .try_collect()
            .await?;
        Self::open(api, &groups, each, transport, recorder).await
    }

    async fn open(
        api: &Api,
        groups: &[Group<'_>],
        each: usize,
        transport: Transport,
        recorder: &Arc<Recorder>,
    ) -> Outcome<Self> {
        let connections: Vec<_> = stream::iter(
            groups
                .iter()
                .flat_map(|group| std::iter::repeat_n(group, each)),
        )
        .map(|group| async move {
            let options = ConnectOptions {
                transport,
                path: group.path.clone(),
                receive_buffer: None,
            };
            let connection = SubscriberConnection::open(api, &options)
                .await?
                .ok_or_else(|| Error::Other("A new stream has ended".to_owned()))?;
            Ok::<_, Error>((
                connection,
                Subscriber::of(
                    group.first,
                    DeliveryCheck::of(group.streams.iter().map(|stream| &*stream.key)),
                ),
            ))
        })
        .buffered(CONNECTING)
        .try_collect()
        .await?;
        let subscribers = Self::of(connections, recorder);
        // Returns at once when a new stream has no events.
        subscribers.wait_for(api.protocol.first_events()).await?;
        Ok(subscribers)
    }

    /// Reads events from these connections.
    pub(crate) fn of(
        connections: impl IntoIterator<Item = (SubscriberConnection, Subscriber)>,
        recorder: &Arc<Recorder>,
    ) -> Self {
        let (members, tasks) = connections
            .into_iter()
            .enumerate()
            .map(|(number, (connection, subscriber))| {
                let subscriber = Arc::new(subscriber);
                let (of_task, recorder) = (Arc::clone(&subscriber), Arc::clone(recorder));
                let task =
                    tokio::spawn(
                        async move { of_task.follow(connection, number, &recorder).await },
                    );
                (subscriber, task)
            })
            .unzip();
        Self { members, tasks }
    }

    /// How many events the slowest subscriber has received.
    pub(crate) fn slowest(&self) -> u64 {
        self.next_numbers()
            .map(|(_, next_number)| next_number)
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Waits until all subscribers have received this many events.
    pub(crate) async fn wait_for(&self, events: u64) -> Outcome<()> {
        if self.wait_until(|_| events).await {
            return Ok(());
        }
        let behind = self
            .members
            .iter()
            .filter(|subscriber| {
                subscriber
                    .next_numbers()
                    .any(|(_, next_number)| next_number < events)
            })
            .count();
        Err(Error::Other(format!(
            "{behind} of {} subscribers did not receive an event within {DELIVERY_TIMEOUT:?}",
            self.members.len()
        )))
    }

    /// Waits until all subscribers have received this many events of each stream, by its index.
    /// Returns false when some have not received them in time.
    pub(crate) async fn wait_until(&self, events: impl Fn(usize) -> u64) -> bool {
        let start = Instant::now();
        while self
            .next_numbers()
            .any(|(index, next_number)| next_number < events(index))
        {
            if start.elapsed() > DELIVERY_TIMEOUT {
                return false;
            }
            sleep(Duration::from_millis(5)).await;
        }
        true
    }

    fn next_numbers(&self) -> impl Iterator<Item = (usize, u64)> {
        self.members
            .iter()
            .flat_map(|subscriber| subscriber.next_numbers())
    }

    /// The faults of all subscribers, given the number of events in each stream, by its index.
    pub(crate) fn faults(&self, events: impl Fn(usize) -> u64) -> Faults {
        let mut total = Faults::default();
        for subscriber in &self.members {
            for (index, track) in (subscriber.first..).zip(subscriber.check().each()) {
                total += track.faults_of(events(index));
            }
        }
        total
    }
}

impl Drop for Subscribers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

//! Subscribers that disconnect and resume while events are published, as phones on a train do.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::common::Common;
use crate::{
    api::Api,
    clock,
    delivery_check::Faults,
    error::{Error, Outcome},
    publisher::{BatchPublisher, Stop, StopSignal},
    recorder::Recorder,
    result::{Interval, RunResult},
    stream::{Stream, Transport},
    subscriber_connection::{ConnectOptions, SubscriberConnection},
    subscribers::{DELIVERY_TIMEOUT, Subscriber},
    target::Target,
};

/// More than any run writes, so that no missed event has been trimmed.
const KEPT: u64 = 1_000_000;

pub(crate) const RESUMES: &str = "resumes/s";

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Churn {
    /// Subscribers that disconnect and resume
    #[arg(long, alias = "clients", default_value = "200")]
    pub(crate) subscribers: usize,
    /// Events a second
    #[arg(long, default_value = "100")]
    pub(crate) rate: f64,
}

impl Churn {
    /// Records the time from connecting to the first event as latency.
    pub(super) async fn run(&self, common: &Common, target: &Target) -> Outcome<RunResult> {
        if !target.api.protocol.resumes() {
            return Err(Error::Other(format!(
                "Subscribers of {} can't resume after an id",
                target.name
            )));
        }
        let (api, resumes) = (&target.api, Arc::new(Recorder::new()?));
        // The latencies of the events themselves would mix live events with stored ones.
        let events = Arc::new(Recorder::new()?);
        let stream = api.create(KEPT).await?;
        let stop = Stop::default();
        let publisher = tokio::spawn(
            BatchPublisher::open(api, &stream, 1, common.payload)
                .await?
                .paced(self.rate, 0.0, stop.watch()),
        );
        let churning: Vec<_> = (0..self.subscribers)
            .map(|number| {
                let transport = common.transport;
                let subscriber = ChurningSubscriber {
                    api: api.clone(),
                    stream: stream.clone(),
                    transport,
                    number,
                    subscriber: Subscriber::default(),
                };
                tokio::spawn(subscriber.run(
                    Arc::clone(&events),
                    Arc::clone(&resumes),
                    stop.watch(),
                ))
            })
            .collect();
        sleep(common.warm_up).await;
        let interval = Interval::measure(target, &resumes, common.seconds).await?;
        stop.now();
        let written = publisher.await??;
        // The end of the stream shows subscribers that they have received everything.
        api.end(&stream).await?;
        let mut faults = Faults::default();
        for subscriber in churning {
            faults += subscriber.await??.check().first().faults_of(written + 1);
        }
        let title = format!(
            "{}: churn, {} subscribers, {} events/s",
            target.name, self.subscribers, self.rate
        );
        let mut result = RunResult::new(title);
        result.put_interval(RESUMES, &interval);
        result.put_faults(faults);
        Ok(result)
    }
}

struct ChurningSubscriber {
    api: Api,
    stream: Stream,
    transport: Transport,
    number: usize,
    subscriber: Subscriber,
}

impl ChurningSubscriber {
    /// Disconnects and resumes until it is stopped, and then resumes once more for the rest.
    async fn run(
        self,
        events: Arc<Recorder>,
        resumes: Arc<Recorder>,
        stop: StopSignal,
    ) -> Outcome<Subscriber> {
        // Starting all at once would overflow the server's queue of new connections. The run would
        // then measure the system's retries.
        sleep(random(0, 400)).await;
        while !stop.is_set() {
            let sent = clock::now();
            let Some(mut connection) = self.open().await? else {
                break;
            };
            let leave = Instant::now() + random(50, 500);
            let mut first = true;
            while let Ok(read) = timeout_at(
                leave,
                self.subscriber.read(&mut connection, self.number, &events),
            )
            .await
            {
                if !read? {
                    break;
                }
                if std::mem::take(&mut first) {
                    resumes.recording(self.number).record(sent, clock::now());
                }
            }
            drop(connection);
            sleep(random(0, 200)).await;
        }
        let rest = async {
            while let Some(mut connection) = self.open().await? {
                while self
                    .subscriber
                    .read(&mut connection, self.number, &events)
                    .await?
                {}
            }
            Ok::<_, Error>(())
        };
        if let Ok(read) = timeout(DELIVERY_TIMEOUT, rest).await {
            read?;
        }
        Ok(self.subscriber)
    }

    /// Connects, and resumes after the last event. Returns None when no event follows.
    async fn open(&self) -> Outcome<Option<SubscriberConnection>> {
        let after = self.subscriber.check().first().last;
        let path = self
            .api
            .protocol
            .follow(&self.stream, self.transport, after);
        SubscriberConnection::open(
            &self.api,
            &ConnectOptions {
                transport: self.transport,
                path,
                receive_buffer: None,
            },
        )
        .await
    }
}

fn random(from: u64, to: u64) -> Duration {
    Duration::from_millis(fastrand::u64(from..to))
}

//! Clients that leave and resume while the stream goes on, as phones in a train do.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Common;
use crate::{
    api::{Api, Stream, Transport},
    client::{Client, Opening},
    clock,
    fleet::{Member, PATIENCE},
    meter::Meter,
    problem::{Outcome, Problem},
    publisher::{Batches, Stop, Stopped},
    result::{Findings, Interval},
    target::Target,
    track::Faults,
};

/// More than any run writes: nobody may find that what it missed has been trimmed.
const KEPT: u64 = 1_000_000;

pub(crate) const RESUMES: &str = "resumes/s";

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Churn {
    /// Clients that come and go
    #[arg(long, default_value = "200")]
    pub(crate) clients: usize,
    /// Events a second
    #[arg(long, default_value = "100")]
    pub(crate) rate: f64,
}

impl Churn {
    /// Latency is from a client's beginning to connect to its first event.
    pub(super) async fn run(&self, common: &Common, target: &Target) -> Outcome<Findings> {
        if !target.api.dialect.resumes() {
            return Err(Problem::Other(format!(
                "Clients of {} can't go on behind an id",
                target.name
            )));
        }
        let (api, resumes) = (&target.api, Arc::new(Meter::new()?));
        // Latencies of events themselves would mix what is live with what is old.
        let events = Arc::new(Meter::new()?);
        let stream = api.create(KEPT).await?;
        let stop = Stop::default();
        let writer = tokio::spawn(Batches::open(api, &stream, 1, common.payload).await?.paced(
            self.rate,
            0.0,
            stop.watch(),
        ));
        let wanderers: Vec<_> = (0..self.clients)
            .map(|number| {
                let transport = common.transport;
                let wanderer = Wanderer {
                    api: api.clone(),
                    stream: stream.clone(),
                    transport,
                    number,
                    member: Member::default(),
                };
                tokio::spawn(wanderer.wander(
                    Arc::clone(&events),
                    Arc::clone(&resumes),
                    stop.watch(),
                ))
            })
            .collect();
        sleep(common.warm_up).await;
        let interval = Interval::measure(target, &resumes, common.seconds).await?;
        stop.now();
        let held = writer.await??;
        // Clients wait for the end to know that they have all.
        api.end(&stream).await?;
        let mut faults = Faults::default();
        for wanderer in wanderers {
            faults += wanderer.await??.tracks().first().faults_of(held + 1);
        }
        let title = format!(
            "{}: churn, {} clients, {} events/s",
            target.name, self.clients, self.rate
        );
        let mut found = Findings::new(title);
        found.put_interval(RESUMES, &interval);
        found.put_faults(faults);
        Ok(found)
    }
}

struct Wanderer {
    api: Api,
    stream: Stream,
    transport: Transport,
    number: usize,
    member: Member,
}

impl Wanderer {
    /// Comes and goes until it is stopped, then comes once more for the rest.
    async fn wander(
        self,
        events: Arc<Meter>,
        resumes: Arc<Meter>,
        stop: Stopped,
    ) -> Outcome<Member> {
        // All at once would overflow the server's queue of newcomers, and its time-outs would be
        // measured.
        sleep(random(0, 400)).await;
        while !stop.is_set() {
            let sent = clock::now();
            let Some(mut client) = self.open().await? else {
                break;
            };
            let leave = Instant::now() + random(50, 500);
            let mut first = true;
            while let Ok(read) =
                timeout_at(leave, self.member.read(&mut client, self.number, &events)).await
            {
                if !read? {
                    break;
                }
                if std::mem::take(&mut first) {
                    resumes.counter(self.number).record(sent, clock::now());
                }
            }
            drop(client);
            sleep(random(0, 200)).await;
        }
        let rest = async {
            while let Some(mut client) = self.open().await? {
                while self.member.read(&mut client, self.number, &events).await? {}
            }
            Ok::<_, Problem>(())
        };
        if let Ok(read) = timeout(PATIENCE, rest).await {
            read?;
        }
        Ok(self.member)
    }

    /// Goes on where it was. No client means that it has all.
    async fn open(&self) -> Outcome<Option<Client>> {
        let after = self.member.tracks().first().last;
        let path = self.api.dialect.follow(&self.stream, self.transport, after);
        Client::open(
            &self.api,
            &Opening {
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

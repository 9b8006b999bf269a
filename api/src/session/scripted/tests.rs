use std::{future::pending, task::Poll};

use futures::poll;
use rocket::async_trait;
use tokio::{sync::Notify, time::timeout};

use super::*;
use crate::{
    session::stream::{Phase, PositionReport},
    store::Page,
    stream::{EventId, Position, SharedPosition},
};

/// Returns this batch once.
struct Once(Option<Batch>);

#[async_trait]
impl TailSet for Once {
    fn add(&mut self, _: Page, _: SharedPosition) -> usize {
        0
    }

    fn remove(&mut self, _: usize) {}

    fn is_failing(&self) -> bool {
        false
    }

    async fn next(&mut self) -> Result<(usize, StreamUpdate), StoreError> {
        match self.0.take() {
            Some(batch) => Ok((0, StreamUpdate::Events(batch))),
            None => pending().await,
        }
    }
}

/// Answers after a notification, and drops each event with the data `drop`.
struct Slow(Arc<Notify>);

#[async_trait]
impl ScriptedSubscriber for Slow {
    fn has_message_hook(&self) -> bool {
        true
    }

    async fn catchup(&self, _: &str) -> Result<Vec<Value>, HookError> {
        Ok(Vec::new())
    }

    async fn message(&self, publication: Value) -> Result<Option<Value>, HookError> {
        self.0.notified().await;
        Ok((publication["msg"]["data"] != "drop").then_some(publication))
    }

    async fn timeout(&self, _: Duration) -> Result<Option<Duration>, HookError> {
        Ok(None)
    }
}

fn entry(n: u64, data: &str) -> Entry {
    Entry {
        id: EventId { ms: 1, n },
        name: "n".into(),
        data: Some(data.into()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_stays_while_the_script_is_asked_about_it() {
    let answers = Arc::new(Notify::new());
    let mut scripted = Scripted::new(Arc::new(Slow(Arc::clone(&answers))), 100);
    let segment = Segment::new(vec![entry(1, "a"), entry(2, "drop"), entry(3, "b")]);
    let mut tails = Once(Some(Batch {
        parts: vec![Part::new(Arc::new(segment), 0)],
        ..Batch::default()
    }));
    let (tail, newest) = (0, EventId { ms: 1, n: 0 });
    let stream = SubscribedStream::new(
        "chat".parse().unwrap(),
        SharedPosition::new(Position::At(newest)),
        Phase::Open { tail, newest },
        PositionReport::None,
    );
    let streams = [stream];
    for _ in 0..3 {
        // A heartbeat drops the future again and again.
        let next = std::pin::pin!(scripted.next(&mut tails, &streams, None));
        assert!(matches!(poll!(next), Poll::Pending));
        answers.notify_one();
    }
    let next = scripted.next(&mut tails, &streams, None);
    let (_, update) = timeout(Duration::from_secs(9), next)
        .await
        .unwrap()
        .unwrap();
    let StreamUpdate::Events(batch) = update else {
        panic!("events, not {update:?}");
    };
    let seen: Vec<_> = batch
        .entries()
        .map(|entry| (entry.id.n, &*entry.name))
        .collect();
    // All ids are there. The event that was dropped has no name, and passes no filter.
    assert_eq!(seen, [(1, "n"), (2, DROPPED), (3, "n")]);
    assert!(!EventFilter::all().passes(DROPPED));
}

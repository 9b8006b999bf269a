use async_trait::async_trait;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::sleep;

use super::*;
use crate::{
    lifecycle::Lifecycle,
    presence::SubscriberCounts,
    session::{AdmissionRequest, ClientMetadata, Limits, Registry, Timeouts},
    store::{StoreError, StreamInfo, TailSet},
    stream::{Deadlines, EventId, Generation, Status},
    telemetry::metrics::{Metrics, Transport},
};

/// The first call of `next` never answers. The second answers, a little later, that the second
/// stream was deleted.
struct DeletedLate {
    tails: usize,
    was_called: bool,
}

#[async_trait]
impl TailSet for DeletedLate {
    fn add(&mut self, _: Page, _: SharedPosition) -> usize {
        self.tails += 1;
        self.tails - 1
    }

    fn remove(&mut self, _: usize) {}

    fn is_failing(&self) -> bool {
        false
    }

    async fn next(&mut self) -> Result<(usize, StreamUpdate), StoreError> {
        if !std::mem::replace(&mut self.was_called, true) {
            return pending().await;
        }
        sleep(LAST_EVENTS_TIMEOUT / 2).await;
        Ok((1, StreamUpdate::Deleted))
    }
}

fn page(key: &str) -> Page {
    let id = EventId { ms: 1, n: 0 };
    let info = StreamInfo {
        generation: Generation([0; 16]),
        status: Status::Active,
        length: 1,
        ttl: Duration::from_secs(9),
        first: id,
        last: id,
        created_ms: 1,
        stop_requested_ms: None,
        deadlines: Deadlines::default(),
    };
    Page::unread(key.parse().unwrap(), info, Some(id))
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_reported_also_during_a_shutdown() {
    let lifecycle = Lifecycle::default();
    let limits = Limits {
        node: 1,
        per_stream: 0,
        per_address: 0,
    };
    let registry = Registry::new(
        limits,
        SubscriberCounts::shared(Gauge::default()),
        lifecycle.clone(),
    );
    let tails = DeletedLate {
        tails: 0,
        was_called: false,
    };
    let mut subscription = Subscription::new(Box::new(tails), None, true);
    let position = || SharedPosition::new(Position::At(EventId { ms: 1, n: 0 }));
    for key in ["a", "b"] {
        subscription.add(page(key), position(), false);
    }
    let request = AdmissionRequest {
        streams: subscription
            .streams()
            .iter()
            .map(|stream| (stream.key.clone(), stream.shared_position().clone()))
            .collect(),
        address: None,
        metadata: ClientMetadata {
            transport: Transport::Sse,
            name: None,
            tags: Box::default(),
            filter: None,
        },
    };
    let timeouts = Timeouts {
        heartbeat: Duration::from_secs(60),
        idle: Duration::from_secs(60),
    };
    let metrics = Metrics::new(None, 1);
    let admission = registry
        .admit(request, timeouts, metrics.clients(Transport::Sse))
        .await
        .unwrap();
    let mut session = Session::new(subscription, admission, Duration::from_secs(1));
    let _request = lifecycle.request();
    let close = async { lifecycle.close(Duration::from_secs(5)) };
    let (output, ()) = tokio::join!(session.next(), close);
    let is_deletion = matches!(output, Output::Update(1, StreamUpdate::Deleted));
    assert!(is_deletion, "{output:?}");
    assert!(matches!(
        session.next().await,
        Output::Close(CloseReason::Shutdown)
    ));
}

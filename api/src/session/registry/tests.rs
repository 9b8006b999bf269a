use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::{join_all, try_join_all};
use prometheus_client::metrics::gauge::Gauge;

use super::*;
use crate::{
    session::liveness::Instruction,
    stream::{EventId, Position},
    telemetry::metrics::{Metrics, Transport},
};

const TIMEOUTS: Timeouts = Timeouts {
    heartbeat: Duration::from_secs(5),
    idle: Duration::from_secs(12),
};

fn limited(node: usize, per_stream: usize, per_address: usize) -> Registry {
    let limits = Limits {
        node,
        per_stream,
        per_address,
    };
    Registry::new(
        limits,
        SubscriberCounts::shared(Gauge::default()),
        Lifecycle::default(),
    )
}

fn key(key: &str) -> StreamKey {
    key.parse().unwrap()
}

fn position() -> SharedPosition {
    SharedPosition::new(Position::Start)
}

/// A subscriber that asks to be admitted: its streams, its address, its tags.
struct Subscriber<'a> {
    streams: &'a [&'a str],
    address: Option<&'a str>,
    tags: &'a [&'a str],
}

async fn admit(registry: &Registry, subscriber: Subscriber<'_>) -> Result<Admission, LimitReached> {
    let streams = subscriber.streams.iter();
    let request = AdmissionRequest {
        streams: streams.map(|name| (key(name), position())).collect(),
        address: subscriber.address.map(|address| address.parse().unwrap()),
        metadata: ClientMetadata {
            transport: Transport::Sse,
            name: None,
            tags: subscriber.tags.iter().map(|&tag| tag.into()).collect(),
            filter: None,
        },
    };
    let metrics = Metrics::new(None, 1);
    let metrics = metrics.clients(Transport::Sse);
    registry.admit(request, TIMEOUTS, metrics).await
}

async fn admit_one(registry: &Registry) -> Result<Admission, LimitReached> {
    admit_from(registry, "chat", "192.0.2.1").await
}

async fn admit_from(
    registry: &Registry,
    stream: &str,
    address: &str,
) -> Result<Admission, LimitReached> {
    let subscriber = Subscriber {
        streams: &[stream],
        address: Some(address),
        tags: &[],
    };
    admit(registry, subscriber).await
}

async fn admit_to(registry: &Registry, streams: &[&str]) -> Result<Admission, LimitReached> {
    let subscriber = Subscriber {
        streams,
        address: None,
        tags: &[],
    };
    admit(registry, subscriber).await
}

/// The subscribers of the streams a, b and c.
fn subscribers(registry: &Registry) -> [u32; 3] {
    ["a", "b", "c"].map(|name| registry.subscribers(&key(name)))
}

#[tokio::test(start_paused = true)]
async fn a_new_subscriber_waits_a_second_and_is_then_refused() {
    let registry = limited(1, 0, 0);
    let _taken = admit_one(&registry).await.unwrap();
    let begun = Instant::now();
    assert!(admit_one(&registry).await.is_err());
    assert_eq!(begun.elapsed().as_secs(), 1);
    assert_eq!(registry.in_use(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_subscriber_gets_the_permit_of_one_that_a_probe_showed_to_have_left() {
    let registry = limited(1, 0, 0);
    let taken = admit_one(&registry).await.unwrap();
    let leave = async move {
        assert_eq!(taken.instruction().await, Instruction::Heartbeat);
        drop(taken);
    };
    let ((), admission) = tokio::join!(leave, admit_one(&registry));
    assert!(admission.is_ok());
    drop(admission);
    assert_eq!(registry.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn silence_brings_heartbeats_and_the_lack_of_events_brings_the_end() {
    let registry = limited(1, 0, 0);
    let admission = admit_one(&registry).await.unwrap();
    let begun = Instant::now();
    for beat in 1..=2 {
        assert_eq!(admission.instruction().await, Instruction::Heartbeat);
        admission.record_output(false);
        assert_eq!(begun.elapsed().as_secs(), 5 * beat);
    }
    assert_eq!(admission.instruction().await, Instruction::Idle);
    assert_eq!(begun.elapsed().as_secs(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_takes_nothing_loses_its_admission() {
    let registry = limited(1, 0, 0);
    let admission = admit_one(&registry).await.unwrap();
    admission.record_handed_over();
    sleep(Duration::from_secs(11)).await;
    assert_eq!(registry.in_use(), 1);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(registry.in_use(), 0);
    drop(admission);
    assert_eq!(registry.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_closes_the_sessions_one_after_the_other() {
    let lifecycle = Lifecycle::default();
    let limits = Limits {
        node: 200,
        per_stream: 0,
        per_address: 0,
    };
    let registry = Registry::new(
        limits,
        SubscriberCounts::shared(Gauge::default()),
        lifecycle.clone(),
    );
    let _requests: Vec<_> = (0..200).map(|_| lifecycle.request()).collect();
    let begun = Instant::now();
    let sessions = (0..200).map(|_| async {
        let admission = admit_one(&registry).await.unwrap();
        while admission.instruction().await != Instruction::Shutdown {}
        begun.elapsed()
    });
    let close = async { lifecycle.close(Duration::from_secs(5)) };
    let (times, ()) = tokio::join!(join_all(sessions), close);
    let is_late = |time: &&Duration| time.as_secs_f64() > 1.75;
    let late = times.iter().filter(is_late).count();
    assert!((50..150).contains(&late), "not all at once: {late}");
    assert!(times.iter().all(|time| time.as_secs_f64() <= 3.6));
}

#[tokio::test(start_paused = true)]
async fn the_error_names_the_limit_and_permits_of_other_limits_are_given_back() {
    let registry = limited(3, 2, 2);
    let first = [
        admit_from(&registry, "a", "192.0.2.1").await.unwrap(),
        admit_from(&registry, "a", "192.0.2.2").await.unwrap(),
    ];
    let refusal = async |stream, address| {
        let refused = admit_from(&registry, stream, address).await;
        refused.unwrap_err()
    };
    assert_eq!(refusal("a", "192.0.2.1").await, LimitReached::Stream(2));
    // The subscriber that was refused does not count for its address.
    let second = admit_from(&registry, "b", "192.0.2.1").await.unwrap();
    assert_eq!(refusal("c", "192.0.2.1").await, LimitReached::Address(2));
    assert_eq!(refusal("c", "192.0.2.3").await, LimitReached::Node(3));
    drop((first, second));
    let _again = [
        admit_from(&registry, "c", "192.0.2.3").await.unwrap(),
        admit_from(&registry, "c", "192.0.2.3").await.unwrap(),
    ];
    assert_eq!(refusal("c", "192.0.2.3").await, LimitReached::Address(2));
}

#[tokio::test(start_paused = true)]
async fn only_subscribers_of_the_same_stream_are_probed_for_a_permit_of_it() {
    let registry = limited(10, 1, 0);
    let taken = admit_from(&registry, "a", "::1").await.unwrap();
    let other = admit_from(&registry, "b", "::1").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let leave = async move {
        assert_eq!(taken.instruction().await, Instruction::Heartbeat);
        drop(taken);
    };
    let ((), admission) = tokio::join!(leave, admit_from(&registry, "a", "::1"));
    assert!(admission.is_ok());
    let probe = futures::poll!(Box::pin(other.instruction()));
    assert!(probe.is_pending(), "nobody waited for its permit");
}

#[tokio::test]
async fn sessions_that_come_and_go_are_not_remembered_for_long() {
    let registry = limited(10, 5, 0);
    let stays = admit_one(&registry).await.unwrap();
    let permit = registry.0.node.try_stream_permit(&key("chat"));
    let limit = permit.unwrap().unwrap().limit();
    for _ in 0..1000 {
        drop(admit_one(&registry).await.unwrap());
        assert!(limit.remembered() < 20, "{}", limit.remembered());
    }
    drop(stays);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_that_come_and_go_at_once_do_not_exceed_a_limit() {
    let registry = limited(100, 3, 0);
    let inside = Arc::new(AtomicUsize::new(0));
    let sessions = (0..200).map(|_| {
        let (registry, inside) = (registry.clone(), Arc::clone(&inside));
        tokio::spawn(async move {
            for _ in 0..20 {
                let Ok(admission) = admit_one(&registry).await else {
                    continue;
                };
                assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                drop(admission);
            }
        })
    });
    try_join_all(sessions).await.unwrap();
    assert_eq!(registry.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_of_several_streams_has_a_permit_of_each() {
    let registry = limited(10, 1, 0);
    let both = admit_to(&registry, &["b", "a"]).await.unwrap();
    assert_eq!((registry.in_use(), subscribers(&registry)), (1, [1, 1, 0]));
    let is_full = Some(LimitReached::Stream(1));
    for taken in ["a", "b"] {
        assert_eq!(admit_to(&registry, &[taken]).await.err(), is_full);
    }
    // The permit that it had of one stream is free again when the limit of the other is reached.
    assert_eq!(admit_to(&registry, &["c", "a"]).await.err(), is_full);
    assert_eq!((registry.in_use(), subscribers(&registry)), (1, [1, 1, 0]));
    drop(admit_to(&registry, &["c"]).await.unwrap());
    drop(both);
    assert_eq!((registry.in_use(), subscribers(&registry)), (0, [0, 0, 0]));
    admit_to(&registry, &["a", "b", "c"]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn new_subscribers_do_not_wait_for_each_others_permits() {
    let registry = limited(10, 1, 0);
    let taken = admit_to(&registry, &["a"]).await.unwrap();
    let leave = async {
        sleep(Duration::from_millis(500)).await;
        drop(taken);
    };
    let stay = async |streams: [&str; 2]| {
        let admission = admit_to(&registry, &streams).await;
        sleep(Duration::from_millis(100)).await;
        admission.map(drop)
    };
    let ((), one, two) = tokio::join!(leave, stay(["a", "b"]), stay(["b", "a"]));
    assert_eq!((one, two), (Ok(()), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn one_more_stream_takes_a_permit_at_once_or_fails() {
    let registry = limited(10, 1, 0);
    let one = admit_to(&registry, &[]).await.unwrap();
    let other = admit_to(&registry, &["b"]).await.unwrap();
    let add = |admission: &Admission, name| admission.add_stream(&key(name), &position());
    let begun = Instant::now();
    assert_eq!(add(&one, "a"), Ok(()));
    assert_eq!(add(&one, "a"), Ok(()), "it has it already");
    assert_eq!(add(&one, "b"), Err(LimitReached::Stream(1)));
    assert_eq!(add(&other, "a"), Err(LimitReached::Stream(1)));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(subscribers(&registry), [1, 1, 0]);
    one.remove_stream(&key("a"));
    one.remove_stream(&key("c"));
    assert_eq!(add(&other, "a"), Ok(()));
    assert_eq!(subscribers(&registry), [1, 1, 0]);
    drop(other);
    assert_eq!(add(&one, "b"), Ok(()));
    drop(one);
    assert_eq!((registry.in_use(), subscribers(&registry)), (0, [0, 0, 0]));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_adds_and_removes_a_stream_is_not_remembered_there() {
    let registry = limited(10, 2, 0);
    let one = admit_to(&registry, &[]).await.unwrap();
    let _stays = admit_to(&registry, &["a"]).await.unwrap();
    let permit = registry.0.node.try_stream_permit(&key("a"));
    let limit = permit.unwrap().unwrap().limit();
    for _ in 0..100 {
        one.add_stream(&key("a"), &position()).unwrap();
        assert_eq!(limit.remembered(), 2);
        one.remove_stream(&key("a"));
    }
    assert_eq!(limit.remembered(), 1);
}

#[tokio::test(start_paused = true)]
async fn sessions_are_listed_in_the_order_of_admission_with_their_positions() {
    let registry = limited(10, 0, 0);
    let tagged = |streams, tags| Subscriber {
        streams,
        address: None,
        tags,
    };
    let one = admit(&registry, tagged(&["a"], &["x", "y"])).await.unwrap();
    let at_b = position();
    one.add_stream(&key("b"), &at_b).unwrap();
    let _two = admit(&registry, tagged(&["b"], &["y"])).await.unwrap();
    one.count_delivery(5, 100);
    one.count_delivery(2, 50);
    at_b.set(Position::At(EventId { ms: 7, n: 6 }));
    let listed = |name: Option<&str>, tag| registry.sessions(name.map(key).as_ref(), tag);
    let [first, second] = &listed(None, None)[..] else {
        panic!("two")
    };
    assert_eq!(first.streams, [(key("a"), 0), (key("b"), 7)]);
    assert_eq!((first.events, first.bytes), (7, 150));
    assert_eq!(
        (second.events, &*second.metadata.tags),
        (0, &["y".into()][..])
    );
    let count = |name, tag| listed(name, tag).len();
    for (name, tag, sessions) in [
        (Some("a"), None, 1),
        (Some("b"), None, 2),
        (Some("c"), None, 0),
        (None, Some("y"), 2),
        (Some("a"), Some("y"), 1),
        (Some("b"), Some("x"), 1),
        (None, Some("z"), 0),
        (Some("a"), Some(""), 0),
    ] {
        assert_eq!(count(name, tag), sessions, "{name:?} {tag:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_subscriber_holds_no_permit_from_that_moment_on() {
    let registry = limited(10, 1, 0);
    let one = admit_to(&registry, &["a"]).await.unwrap();
    let other = admit_to(&registry, &["b"]).await.unwrap();
    // It takes nothing, and would receive the instruction much later.
    one.record_handed_over();
    let id = registry.sessions(Some(&key("a")), None)[0].id;
    assert!(registry.disconnect(id));
    assert_eq!((registry.in_use(), subscribers(&registry)), (1, [0, 1, 0]));
    assert!(!registry.disconnect(id), "it is disconnected already");
    assert_eq!(one.instruction().await, Instruction::Disconnect);
    assert_eq!(
        one.add_stream(&key("c"), &position()),
        Ok(()),
        "without effect"
    );
    assert_eq!(subscribers(&registry), [0, 1, 0]);
    drop((one, other));
    assert_eq!(registry.in_use(), 0);
}

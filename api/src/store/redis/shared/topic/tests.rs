use super::*;
use crate::{store::StreamInfo, stream::Missed};

const GENERATION: Generation = Generation([1; 16]);

fn id(n: u64) -> EventId {
    EventId { ms: 100, n }
}

/// The stream as it was when its newest event was `last`, read from there.
fn page(last: u64, missed: Option<Missed>) -> Page {
    let ttl = Duration::from_secs(60);
    let info = StreamInfo {
        generation: GENERATION,
        status: Status::Active,
        length: last + 1,
        ttl,
        first: id(0),
        last: id(last),
        created_ms: 100,
        stop_requested_ms: None,
        deadlines: crate::stream::Deadlines::default(),
    };
    Page {
        key: "chat".parse().unwrap(),
        info,
        missed,
        parts: Vec::new(),
        cursor: Some(id(last)),
        is_read: true,
    }
}

fn message(n: u64, status: Status) -> Published {
    Published {
        generation: GENERATION,
        status,
        entries: vec![Entry {
            id: id(n),
            name: "x".into(),
            data: None,
        }],
    }
}

#[tokio::test]
async fn a_page_that_is_older_than_the_end_does_not_undo_it() {
    let topic = Topic::new(&page(1, None), Health::Live);
    let before = page(1, None);
    assert!(topic.publish(message(2, Status::Ended), 1));
    topic.repair(before, 1);
    assert!(matches!(
        topic.lookup(Some(id(1)), 0),
        Lookup::Update(StreamUpdate::Events(Batch {
            finished: Some(Status::Ended),
            ..
        }))
    ));
    assert!(matches!(
        topic.lookup(Some(id(2)), 0),
        Lookup::Update(StreamUpdate::Events(Batch {
            finished: Some(Status::Ended),
            ..
        }))
    ));
}

#[tokio::test]
async fn a_message_that_does_not_follow_sends_tails_to_the_store() {
    let topic = Topic::new(&page(1, None), Health::Live);
    assert!(topic.publish(message(2, Status::Active), 1));
    assert!(
        topic.publish(message(2, Status::Active), 1),
        "known already"
    );
    assert!(
        !topic.publish(message(4, Status::Active), 1),
        "3 is missing"
    );
    assert_eq!(topic.newest(), id(2));
    assert!(matches!(
        topic.lookup(Some(id(1)), 0),
        Lookup::Update(StreamUpdate::Events(Batch { finished: None, .. }))
    ));
    assert!(matches!(topic.lookup(Some(id(2)), 0), Lookup::NothingNew));
    assert!(
        matches!(topic.lookup(Some(id(0)), 0), Lookup::ReadStore),
        "before the ring"
    );
}

#[tokio::test]
async fn a_loss_in_the_store_makes_earlier_cursors_meaningless() {
    let topic = Topic::new(&page(9, None), Health::Live);
    topic.repair(
        page(
            4,
            Some(Missed {
                after: Some(id(9)),
                first: id(0),
                missed: None,
            }),
        ),
        1,
    );
    assert!(matches!(topic.lookup(Some(id(9)), 0), Lookup::ReadStore));
    assert!(matches!(
        topic.lookup(Some(id(4)), topic.epoch()),
        Lookup::NothingNew
    ));
}

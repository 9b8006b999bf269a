//! The forms of a cursor, and where it is valid.

use serde_json::json;

use super::{ids, last_id, take};
use crate::common::{
    Kind, broker,
    subscriber::{Outcome, Subscriber, Transport, token},
};

async fn a_cursor_of_one_node_is_valid_on_another(kind: Kind) {
    let one = broker(kind).start().await;
    let two = one.another_node().await;
    for key in ["a", "b", "c"] {
        one.create(key).await;
        one.add_events(key, 0, 3).await;
    }
    let token = token(&one, json!({"keys": ["a", "b", "c"]})).await;
    for (transport, stored) in [(Transport::Sse, 12), (Transport::Poll, 15)] {
        let mut subscriber = Subscriber::new(&one, transport, ["a", "b", "c"], &token);
        let mut received = 0;
        while received < stored {
            received += usize::from(matches!(subscriber.next().await, Outcome::Update(_)));
        }
        assert!(subscriber.cursor.contains('~'), "{}", subscriber.cursor);
        subscriber.cut();
        subscriber.url.clone_from(&two.url);
        for key in ["a", "b", "c"] {
            let fresh = one.add_events(key, 3, 1).await;
            assert!(
                ids(&take(&mut subscriber, key, 1).await).eq(&fresh),
                "{transport:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_cursor_of_one_node_is_valid_on_another_in_exclusive() {
    a_cursor_of_one_node_is_valid_on_another(Kind::Exclusive).await;
}

#[tokio::test]
async fn a_cursor_of_one_node_is_valid_on_another_in_shared() {
    a_cursor_of_one_node_is_valid_on_another(Kind::Shared).await;
}

#[tokio::test]
async fn one_cursor_combines_ids_of_a_program_with_the_brokers_compact_form() {
    let broker = broker(Kind::Memory).start().await;
    let mut written = Vec::new();
    for key in ["a", "b", "c"] {
        broker.create(key).await;
        written.push(broker.add_events(key, 0, 5).await);
        broker.end(key).await;
    }
    let token = token(&broker, json!({"keys": ["a", "b", "c"]})).await;
    let mut polling = Subscriber::new(&broker, Transport::Poll, ["b", "c"], &token);
    polling.rest().await;
    assert!(
        polling.cursor.starts_with('~') && !polling.cursor.contains(','),
        "{}",
        polling.cursor
    );
    // An id by key takes precedence over the same stream's position in the compact form.
    for (cursor, wanted) in [
        (
            format!("a:{},{}", written[0][4], polling.cursor),
            ["a"].as_slice(),
        ),
        (
            format!("{},b:{},a:{}", polling.cursor, written[1][4], written[0][4]),
            &["a", "b"],
        ),
        (polling.cursor.clone(), &["a", "a", "a", "a", "a", "a", "a"]),
        (
            format!("a:{},b:,{}", written[0][3], polling.cursor),
            &["a", "a", "b", "b", "b", "b", "b", "b", "b"],
        ),
    ] {
        for transport in Transport::ALL {
            let mut updates = Subscriber::new(&broker, transport, ["a", "b", "c"], &token)
                .after(&cursor)
                .rest()
                .await;
            updates.sort_by(|one, other| one.key.cmp(&other.key));
            assert_eq!(
                updates
                    .iter()
                    .map(|update| update.key.as_str())
                    .collect::<Vec<_>>(),
                wanted,
                "{transport:?}: {cursor}"
            );
        }
    }
}

#[tokio::test]
async fn invalid_cursors_and_too_many_keys_are_refused() {
    let broker = broker(Kind::Memory).start().await;
    for key in ["a", "b"] {
        broker.create(key).await;
    }
    let all = token(&broker, json!({"prefix": "x"})).await;
    let both = token(&broker, json!({"keys": ["a", "b"]})).await;
    for transport in Transport::ALL {
        let bare = last_id(&broker, "a").await;
        for cursor in [
            bare.as_str(),
            "a",
            "a:1",
            "a:1-2,",
            "~",
            "~AA",
            "~AQBz",
            "a:1-2,~%",
            "%ff:1-2",
            ":1-2!!",
            "5-6,7-8",
        ] {
            let refused = Subscriber::new(&broker, transport, ["a", "b"], &both)
                .after(cursor)
                .refused()
                .await;
            assert_eq!(
                refused,
                (400, "invalid-event-id".to_owned()),
                "{transport:?}: {cursor}"
            );
        }
        let keys = |count: usize| (0..count).map(|n| format!("x{n}")).collect::<Vec<_>>();
        assert_eq!(
            Subscriber::new(&broker, transport, keys(33), &all)
                .refused()
                .await,
            (400, "too-many-keys".to_owned())
        );
        let enough = [keys(32), keys(32)].concat();
        assert_eq!(
            Subscriber::new(&broker, transport, enough, &all)
                .refused()
                .await,
            (404, "stream-not-found".to_owned())
        );
        // A key that is given twice counts as one key: its ids are those of a connection with one
        // key.
        let keyed = transport != Transport::Ws;
        let url = format!(
            "{}/api/client/{}?key=a&key=a&token={both}&wait=0",
            broker.url,
            transport.name()
        );
        if keyed {
            let url = if transport == Transport::Poll {
                url
            } else {
                url.replace("&wait=0", "")
            };
            let first = broker
                .http
                .get(url)
                .send()
                .await
                .unwrap()
                .chunk()
                .await
                .unwrap()
                .unwrap();
            assert!(
                String::from_utf8_lossy(&first).contains(&bare)
                    && !String::from_utf8_lossy(&first).contains("a:1"),
                "{first:?}"
            );
        }
    }
    let mut socket = crate::common::ws::Ws::connect(
        &format!("{}&key=a", broker.subscribe_url("ws", "a", &both, None)),
        &[],
    )
    .await
    .unwrap();
    assert_eq!(socket.next().await.unwrap()[0].get("key"), None);
}

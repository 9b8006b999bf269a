//! The versions exchange subscriber counts and messages.

use serde_json::json;

use super::{keys, subscribers};
use crate::{
    common::{
        subscriber::{Subscriber, Transport},
        until,
    },
    pair::Pair,
};

async fn both_versions_count_the_subscribers_of_both(pair: Pair) {
    let [key] = keys(["chat"]);
    let token = pair.first.create(&key).await;
    let mut subscribers = subscribers(&pair, std::slice::from_ref(&key), &token, "");
    subscribers.retain(|subscriber| subscriber.transport != Transport::Poll);
    for subscriber in &mut subscribers {
        assert!(subscriber.update().await.is("start"));
    }
    let counted = async |subscribers: [u64; 2], total: u64| {
        for (node, subscribers) in pair.nodes().into_iter().zip(subscribers) {
            let url = format!("/api/stream/info?key={key}");
            until("they are counted", || async {
                let (_, info) = node.get(&url).await;
                (&info["clients"], &info["clients_total"]) == (&json!(subscribers), &json!(total))
            })
            .await;
        }
    };
    counted([3, 3], 6).await;
    subscribers.truncate(4);
    counted([3, 1], 4).await;
}

/// A node in shared delivery reads from Redis what it does not receive by message, so subscribers
/// miss nothing when the node cannot read the messages. Events would only come late and cost more.
/// So this test counts the reads that were needed.
async fn each_version_understands_the_messages_of_the_other(pair: Pair) {
    const EVENTS: u64 = 40;
    let [key] = keys(["chat"]);
    let token = pair.first.create(&key).await;
    for (writer, reader) in [(&pair.first, &pair.second), (&pair.second, &pair.first)] {
        let mut subscriber =
            Subscriber::new(reader, Transport::Sse, [&key], &token).with("&from=now");
        let position = subscriber.update().await;
        assert_eq!(position.event, None, "the start position");
        for n in 0..EVENTS {
            let ids = writer.add_events(&key, n, 1).await;
            assert_eq!(subscriber.update().await.id.as_ref(), Some(&ids[0]));
        }
        let measured = reader.metrics().await;
        let caught_up = ["gap", "silence"].map(|cause| {
            measured.get(&format!(
                r#"redis_catch_up_events_total{{cause="{cause}"}}"#
            ))
        });
        assert!(
            caught_up.iter().sum::<u64>() < EVENTS / 2,
            "events without a message, by a gap and by silence: {caught_up:?}"
        );
    }
}

between_versions!(both_versions_count_the_subscribers_of_both);
between_versions!(
    cluster: Cluster, ExclusiveCluster;
    both_versions_count_the_subscribers_of_both
);

between_versions!(messages: Shared, Shared; each_version_understands_the_messages_of_the_other);
between_versions!(
    messages_on_a_cluster: Cluster, Cluster;
    each_version_understands_the_messages_of_the_other
);

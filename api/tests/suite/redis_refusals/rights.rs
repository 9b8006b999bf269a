//! A Redis user that lacks rights.

use serde_json::{Value, json};

use super::{USER, add, as_user, check, rights, until_ready, until_refused, url_of_user};
use crate::common::{Broker, Kind, assert_contiguous, broker, redis::Redis, sse::ids, until};

async fn length(broker: &Broker, key: &str) -> Value {
    broker.get(&format!("/api/stream/info?key={key}")).await.1["length"].clone()
}

async fn a_write_without_a_required_right_stores_all_or_nothing(kind: Kind) {
    let redis = Redis::start(&[]);
    let broker = as_user(kind, &redis).await;
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 4}))
        .await;
    let meta = redis.cli(&["keys", "*:meta:chat"]);
    let mut written = 1;
    for right in ["hset", "xadd", "pexpire", "pttl", "hmget"] {
        // A write renews the expiry only where that is due.
        redis.cli(&["pexpire", &meta, "100000"]);
        rights(&redis, &[&format!("-{right}")]);
        let (status, answer) = add(&broker, "chat").await;
        assert_eq!(
            (status, &answer["code"]),
            (503, &json!("store-unavailable")),
            "{right}"
        );
        let sequenced =
            json!({"key": "chat", "events": [{"event": "n"}], "producer": "p", "sequence": 0});
        assert_eq!(
            broker.post("/api/event/add", sequenced).await.0,
            503,
            "{right}"
        );
        // The end of a stream does not look at what is left of its life.
        if right != "pttl" {
            let end = broker.post("/api/stream/end", json!({"key": "chat"}));
            assert_eq!(end.await.0, 503, "{right}");
        }
        rights(&redis, &[&format!("+{right}")]);
        assert_eq!(length(&broker, "chat").await, written, "{right}");
        assert_eq!(add(&broker, "chat").await.0, 200, "{right}");
        written += 2;
    }
    for right in ["publish", "zadd"] {
        rights(&redis, &[&format!("-{right}")]);
        assert_eq!(add(&broker, "chat").await.0, 200, "{right}");
        rights(&redis, &[&format!("+{right}")]);
        written += 2;
    }
    rights(&redis, &["-zrem", "-publish"]);
    broker.end("chat").await;
    assert_eq!(
        broker.get("/api/stream").await.1,
        json!([]),
        "it is no longer active, whatever the index holds"
    );
    rights(&redis, &["+zrem", "+publish"]);
    let events = broker.sse("chat", &token, None).await.rest().await;
    let seen: Vec<_> = events
        .iter()
        .filter(|event| event.event != "missedevents")
        .cloned()
        .collect();
    assert_eq!(
        crate::common::number(&seen.last().unwrap().id),
        written,
        "nothing twice, and no hole"
    );
}

async fn a_create_without_a_required_right_leaves_no_partial_stream(kind: Kind) {
    let redis = Redis::start(&[]);
    let broker = as_user(kind, &redis).await;
    broker.create("old").await;
    broker.end("old").await;
    for right in ["zadd", "hset", "xadd", "pexpire", "del"] {
        rights(&redis, &[&format!("-{right}")]);
        for key in ["new", "old"] {
            let (status, answer) = broker.post("/api/stream", json!({ "key": key })).await;
            assert_eq!(
                (status.as_u16(), &answer["code"]),
                (503, &json!("store-unavailable")),
                "{right}"
            );
        }
        rights(&redis, &[&format!("+{right}")]);
        assert_eq!(
            broker.get("/api/stream/info?key=new").await.0,
            404,
            "{right}"
        );
        assert_eq!(broker.get("/api/stream").await.1, json!([]), "{right}");
        if ["zadd", "hset", "xadd"].contains(&right) {
            assert_eq!(
                length(&broker, "old").await,
                2,
                "{right}: the existing events are kept"
            );
        }
    }
    broker.create("new").await;
    broker.create("old").await;
}

/// The rights that `docs/operations/redis.md` lists for a user.
fn least_rights(redis: &Redis) {
    let page = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/operations/redis.md"
    ))
    .unwrap();
    let lines: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("ACL SETUSER tinistreamer "))
        .collect();
    assert!(lines.len() > 2, "{lines:?}");
    for line in lines {
        assert_eq!(
            redis.cli(&line.split_whitespace().collect::<Vec<_>>()),
            "OK",
            "{line}"
        );
    }
}

async fn the_documented_rights_are_sufficient_and_each_is_necessary(kind: Kind) {
    let redis = Redis::start(&[]);
    least_rights(&redis);
    let url = format!("{}?user=tinistreamer&pass=a-long-password", redis.url());
    let broker = broker(kind)
        .set("REDIS_URL", &url)
        .set("KEY_PREFIX", "tinistreamer:")
        .start()
        .await;
    until("it is ready without a warning", async || {
        broker.ready().await == (200, "OK".to_owned())
    })
    .await;
    let token = broker.create("chat").await;
    let mut subscriber = broker.sse("chat", &token, None).await;
    let mut socket = broker.ws("chat", &token, None).await;
    for n in 0..5 {
        broker.add_events("chat", n, 300).await;
        assert_contiguous(
            ids(&subscriber.take(if n == 0 { 301 } else { 300 }).await),
            if n == 0 { 0 } else { 300 * n + 1 },
        );
    }
    assert!(socket.next().await.is_ok());
    let sequenced =
        json!({"key": "chat", "events": [{"event": "n"}], "producer": "p", "sequence": 0});
    assert_eq!(broker.post("/api/event/add", sequenced).await.0, 200);
    assert_eq!(
        broker.get("/api/stream").await.1.as_array().unwrap().len(),
        1
    );
    until("its subscribers are counted", async || {
        redis
            .cli(&["keys", "tinistreamer:clients:*"])
            .lines()
            .count()
            == 1
    })
    .await;
    assert_eq!(
        broker.get("/api/stream/info?key=chat").await.1["clients_total"],
        2
    );
    broker.end("chat").await;
    assert_eq!(subscriber.rest().await.len(), 2);
    broker.create("chat").await;
    let denied = redis.cli(&["acl", "log"]);
    assert_eq!(denied, "", "nothing was denied");

    let mut rights = vec![
        ("-evalsha", "EVALSHA"),
        ("-xadd", "XADD"),
        ("-hset", "HSET"),
        ("-pexpire", "PEXPIRE"),
        ("-zrangebyscore", "ZRANGEBYSCORE"),
    ];
    rights.extend([
        ("-xread", "XREAD"),
        ("-exists", "EXISTS"),
        ("-ping", "PING"),
    ]);
    rights.extend(if kind == Kind::Shared {
        [("-publish", "PUBLISH"), ("-subscribe", "SUBSCRIBE")]
    } else {
        [("-publish", "publish"), ("-hdel", "HDEL")]
    });
    for (right, named) in rights {
        redis.cli(&["acl", "setuser", "tinistreamer", right]);
        let (_, text) = check(kind, &url, "tinistreamer:").await;
        assert!(text.contains(named), "{right}: {text}");
        least_rights(&redis);
    }
}

async fn nodes_share_subscriber_counts_without_the_right_to_transactions(kind: Kind) {
    let redis = Redis::start(&[]);
    let broker = as_user(kind, &redis).await;
    rights(&redis, &["-multi", "-exec"]);
    let other = broker.another_node().await;
    let token = broker.create("chat").await;
    let total = async || broker.get("/api/stream/info?key=chat").await.1["clients_total"].clone();
    let mut subscriber = other.sse("chat", &token, None).await;
    subscriber.take(1).await;
    until("the subscriber is counted", async || total().await == 1).await;
    drop(subscriber);
    until("it is no longer counted", async || {
        // Only a failed write shows that it left.
        broker.add_events("chat", 0, 1).await;
        total().await == 0
    })
    .await;
    assert_eq!(redis.cli(&["acl", "log"]), "", "nothing was denied");
}

over_each_delivery!(
    a_write_without_a_required_right_stores_all_or_nothing,
    a_create_without_a_required_right_leaves_no_partial_stream,
    the_documented_rights_are_sufficient_and_each_is_necessary,
    nodes_share_subscriber_counts_without_the_right_to_transactions,
);

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_to_channels_is_logged_once_and_what_is_stored_is_delivered() {
    let redis = Redis::start(&[]);
    redis.cli(&USER);
    rights(&redis, &["resetchannels"]);
    let broker = broker(Kind::Shared)
        .set("REDIS_URL", url_of_user(&redis))
        .set("STORE_PATIENCE", 60)
        .start()
        .await;
    until_refused(&broker, "channels under STREAMER_KEY_PREFIX").await;
    let connections = || -> u64 {
        let stats = redis.cli(&["info", "stats"]);
        stats
            .lines()
            .find_map(|line| line.strip_prefix("total_connections_received:"))
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    let token = broker.create("chat").await;
    // Each `redis-cli` opens a connection, too.
    let (before, begun) = (connections(), std::time::Instant::now());
    for _ in 0..20 {
        assert_eq!(add(&broker, "chat").await.0, 200, "stored is stored");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let made = connections() - before;
    // Retry delays grow to two seconds, and are at least half of that.
    assert!(made <= begun.elapsed().as_secs() + 12, "{made}");
    assert_eq!(length(&broker, "chat").await, 41);
    rights(&redis, &["allchannels"]);
    until_ready(&broker).await;
    broker.end("chat").await;
    assert_contiguous(ids(&broker.sse("chat", &token, None).await.rest().await), 0);
    let (_, log) = broker.stop("-TERM").await;
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(
        (
            lines("the subscription does not hold"),
            lines("are stored, but not published")
        ),
        (1, 1),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_writing_node_reads_events_that_it_cannot_publish() {
    let redis = Redis::start(&[]);
    let broker = as_user(Kind::Shared, &redis).await;
    until_ready(&broker).await;
    let token = broker.create("chat").await;
    let mut subscriber = broker.sse("chat", &token, None).await;
    subscriber.take(1).await;
    rights(&redis, &["-publish"]);
    until_refused(&broker, "PUBLISH").await;
    for round in 0..10 {
        assert_eq!(add(&broker, "chat").await.0, 200);
        assert_contiguous(ids(&subscriber.take(2).await), 1 + 2 * round);
    }
    rights(&redis, &["+publish"]);
    until_ready(&broker).await;
}

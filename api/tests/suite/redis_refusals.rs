//! Redis is reachable and refuses commands: the broker reports the cause, and reports correctly
//! what it stored.

use serde_json::{Value, json};

use crate::common::{
    Broker, Kind, assert_contiguous, broker,
    broker::{API_KEY, SECRET_KEY, program},
    redis::Redis,
    sse::ids,
    until, within,
};

/// A Redis user of the tests, with all rights.
const USER: [&str; 9] = [
    "acl", "setuser", "app", "reset", "on", ">hunter2", "~*", "&*", "+@all",
];

fn url_of_user(redis: &Redis) -> String {
    format!("{}?user=app&pass=hunter2", redis.url())
}

/// Changes the user's rights.
fn rights(redis: &Redis, changes: &[&str]) {
    redis.cli(&[&["acl", "setuser", "app"], changes].concat());
}

async fn as_user(kind: Kind, redis: &Redis) -> Broker {
    redis.cli(&USER);
    broker(kind)
        .set("REDIS_URL", url_of_user(redis))
        .start()
        .await
}

/// The status and text of `/api/ready`.
async fn ready(broker: &Broker) -> (u16, String) {
    let response = within(broker.http.get(format!("{}/api/ready", broker.url)).send())
        .await
        .unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn until_ready(broker: &Broker) {
    until("it is ready", async || ready(broker).await.0 == 200).await;
}

/// Waits until readiness answers 503 with this cause.
async fn until_refused(broker: &Broker, cause: &str) {
    until(cause, async || {
        let (status, text) = ready(broker).await;
        assert!(!text.contains("hunter2"), "{text}");
        status == 503 && text.contains(cause)
    })
    .await;
}

/// The exit code of `check`, and its output.
async fn check(kind: Kind, url: &str, prefix: &str) -> (Option<i32>, String) {
    let delivery = if kind == Kind::Shared {
        "shared"
    } else {
        "exclusive"
    };
    let mut command = program();
    command.arg("check").envs([
        ("STREAMER_API_KEY", API_KEY),
        ("STREAMER_SECRET_KEY", SECRET_KEY),
        ("STREAMER_REDIS_URL", url),
        ("STREAMER_DELIVERY", delivery),
        ("STREAMER_KEY_PREFIX", prefix),
    ]);
    let output = within(command.output()).await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

async fn add(broker: &Broker, key: &str) -> (u16, Value) {
    let (status, answer) = broker
        .post(
            "/api/event/add",
            json!({"key": key, "events": [{"event": "n"}, {"event": "n"}]}),
        )
        .await;
    (status.as_u16(), answer)
}

async fn length(broker: &Broker, key: &str) -> Value {
    broker.get(&format!("/api/stream/info?key={key}")).await.1["length"].clone()
}

async fn readiness_and_check_say_why_writes_are_refused(kind: Kind) {
    let redis = Redis::start(&["--save", "3600 1"]);
    let broker = as_user(kind, &redis).await;
    until_ready(&broker).await;
    let refused = async |cause: &str| {
        until_refused(&broker, cause).await;
        assert_eq!(
            broker.post("/api/stream", json!({"key": "chat"})).await.0,
            503,
            "{cause}"
        );
        let (code, text) = check(kind, &url_of_user(&redis), broker.prefix()).await;
        assert!(
            code == Some(1) && text.contains(cause) && !text.contains("hunter2"),
            "{text}"
        );
    };
    redis.cli(&["config", "set", "min-replicas-to-write", "1"]);
    refused("too few replicas").await;
    redis.cli(&["config", "set", "min-replicas-to-write", "0"]);
    until_ready(&broker).await;

    rights(&redis, &["-evalsha"]);
    refused("run EVALSHA").await;
    rights(&redis, &["+evalsha", "resetkeys", "~elsewhere:*"]);
    refused("keys under STREAMER_KEY_PREFIX").await;
    rights(&redis, &["allkeys"]);
    until_ready(&broker).await;

    // A folder stands where Redis would write its dump.
    let dump = redis.socket().parent().unwrap().join("dump.rdb");
    std::fs::create_dir_all(dump.join("inner")).unwrap();
    redis.cli(&["bgsave"]);
    until("saving fails", async || {
        redis
            .cli(&["info", "persistence"])
            .contains("rdb_last_bgsave_status:err")
    })
    .await;
    refused("can't save to its disk").await;
    std::fs::remove_dir_all(dump).unwrap();
    until("it is saved", async || {
        let _ = redis.try_cli(&["bgsave"]);
        redis
            .cli(&["info", "persistence"])
            .contains("rdb_last_bgsave_status:ok")
    })
    .await;
    until_ready(&broker).await;

    redis.cli(&["replicaof", "127.0.0.1", "1"]);
    refused("it is a replica").await;
    redis.cli(&["replicaof", "no", "one"]);
    until_ready(&broker).await;
    assert_eq!(
        redis.cli(&["keys", "*ready*"]),
        "",
        "the trials leave nothing behind"
    );
}

async fn readiness_names_the_cause_of_a_failed_connection(kind: Kind) {
    let redis = Redis::start(&[]);
    redis.cli(&["config", "set", "requirepass", "right-pass"]);
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = plain.local_addr().unwrap().port();
    // Like a server without TLS, it waits for the end of a line.
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((connection, _)) = plain.accept().await {
            open.push(connection);
        }
    });
    let cases = [
        (
            format!("{}?pass=hunter2", redis.url()),
            "refuses the user name or the password",
        ),
        (
            format!("{}?pass=right-pass&db=99", redis.url()),
            "does not have the database",
        ),
        ("redis://:hunter2@127.0.0.1:1".to_owned(), "Nothing listens"),
        (
            "redis://:hunter2@no-such-host.invalid".to_owned(),
            "can't be resolved",
        ),
        (format!("rediss://:hunter2@127.0.0.1:{port}"), "TLS"),
    ];
    for (url, cause) in cases {
        let (code, text) = check(kind, &url, "x:").await;
        assert!(code == Some(1) && text.contains(cause), "{url}: {text}");
        assert!(
            !text.contains("hunter2") && !text.contains("right-pass"),
            "{text}"
        );
        let broker = broker(kind).set("REDIS_URL", &url).start().await;
        until_refused(&broker, cause).await;
        let (_, log) = broker.stop("-TERM").await;
        assert!(
            log.contains(cause) && !log.contains("hunter2") && !log.contains("right-pass"),
            "{log}"
        );
    }
}

async fn a_password_that_becomes_correct_is_accepted(kind: Kind) {
    let redis = Redis::start(&[]);
    redis.cli(&["acl", "setuser", "app", "on", ">other", "~*", "&*", "+@all"]);
    let broker = broker(kind)
        .set("REDIS_URL", url_of_user(&redis))
        .start()
        .await;
    until_refused(&broker, "password").await;
    redis.cli(&USER);
    until_ready(&broker).await;
    broker.create("chat").await;
}

async fn concurrent_readiness_requests_share_one_trial_per_second(kind: Kind) {
    let redis = Redis::start(&[]);
    let broker = broker(kind).set("REDIS_URL", redis.url()).start().await;
    until_ready(&broker).await;
    let trials = || -> u64 {
        let stats = redis.cli(&["info", "commandstats"]);
        let calls = stats
            .lines()
            .find(|line| line.starts_with("cmdstat_zrem:"))
            .unwrap()
            .split(['=', ','])
            .nth(1)
            .unwrap();
        calls.parse().unwrap()
    };
    let (before, begun) = (trials(), std::time::Instant::now());
    for _ in 0..5 {
        let all = futures::future::join_all((0..40).map(|_| ready(&broker))).await;
        assert!(all.iter().all(|(status, _)| *status == 200), "{all:?}");
    }
    let made = trials() - before;
    assert!(made <= begun.elapsed().as_secs() + 2, "{made}");
}

async fn a_write_without_a_required_right_stores_all_or_nothing(kind: Kind) {
    let redis = Redis::start(&[]);
    let broker = as_user(kind, &redis).await;
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 4}))
        .await;
    let mut written = 1;
    for right in ["hset", "xadd", "pexpire", "hmget"] {
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
        assert_eq!(
            broker
                .post("/api/stream/end", json!({"key": "chat"}))
                .await
                .0,
            503,
            "{right}"
        );
        rights(&redis, &[&format!("+{right}")]);
        assert_eq!(length(&broker, "chat").await, written, "{right}");
        assert_eq!(add(&broker, "chat").await.0, 200, "{right}");
        written += 2;
    }
    for right in ["xtrim", "publish", "zadd"] {
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

/// The rights that `docs/deployment.md` lists for a user.
fn least_rights(redis: &Redis) {
    let page = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/deployment.md"
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
        ready(&broker).await == (200, "OK".to_owned())
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

over_each_delivery!(
    readiness_and_check_say_why_writes_are_refused,
    readiness_names_the_cause_of_a_failed_connection,
    a_password_that_becomes_correct_is_accepted,
    concurrent_readiness_requests_share_one_trial_per_second,
    a_write_without_a_required_right_stores_all_or_nothing,
    a_create_without_a_required_right_leaves_no_partial_stream,
    the_documented_rights_are_sufficient_and_each_is_necessary,
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

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_ready_as_long_as_one_shard_takes_writes() {
    let cluster = tokio::task::spawn_blocking(|| crate::common::cluster::Cluster::start(0))
        .await
        .unwrap();
    for kind in [Kind::Cluster, Kind::ExclusiveCluster] {
        let broker = broker(kind).set("REDIS_URL", cluster.url()).start().await;
        until_ready(&broker).await;
        let nodes: Vec<_> = cluster.nodes().collect();
        for redis in &nodes[1..] {
            redis.cli(&["config", "set", "min-replicas-to-write", "1"]);
        }
        // Longer than the result of a trial is cached.
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        assert_eq!(ready(&broker).await, (200, "OK".to_owned()));
        nodes[0].cli(&["config", "set", "min-replicas-to-write", "1"]);
        until_refused(&broker, "too few replicas").await;
        for redis in nodes {
            redis.cli(&["config", "set", "min-replicas-to-write", "0"]);
        }
        until_ready(&broker).await;
    }
}

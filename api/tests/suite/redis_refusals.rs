//! Redis is reachable and refuses commands: the broker reports the cause, and reports correctly
//! what it stored.

mod rights;

use serde_json::{Value, json};

use crate::common::{
    Broker, Kind, broker,
    broker::{API_KEY, SECRET_KEY, program},
    redis::Redis,
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

async fn until_ready(broker: &Broker) {
    until("it is ready", async || broker.ready().await.0 == 200).await;
}

/// Waits until readiness answers 503 with this cause.
async fn until_refused(broker: &Broker, cause: &str) {
    until(cause, async || {
        let (status, text) = broker.ready().await;
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
        let all = futures::future::join_all((0..40).map(|_| broker.ready())).await;
        assert!(all.iter().all(|(status, _)| *status == 200), "{all:?}");
    }
    let made = trials() - before;
    assert!(made <= begun.elapsed().as_secs() + 2, "{made}");
}

over_each_delivery!(
    readiness_and_check_say_why_writes_are_refused,
    readiness_names_the_cause_of_a_failed_connection,
    a_password_that_becomes_correct_is_accepted,
    concurrent_readiness_requests_share_one_trial_per_second,
);

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
        assert_eq!(broker.ready().await, (200, "OK".to_owned()));
        nodes[0].cli(&["config", "set", "min-replicas-to-write", "1"]);
        until_refused(&broker, "too few replicas").await;
        for redis in nodes {
            redis.cli(&["config", "set", "min-replicas-to-write", "0"]);
        }
        until_ready(&broker).await;
    }
}

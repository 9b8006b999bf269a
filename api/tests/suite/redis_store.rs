//! What the broker does in Redis, as `MONITOR` and `redis-cli` see it, and the supported forms of
//! Redis.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::json;

use crate::common::{Kind, TIMEOUT, broker, redis::Redis, sse::ids, until};

/// The commands that Redis receives from now on, without those inside scripts.
struct Monitor {
    process: std::process::Child,
    lines: mpsc::Receiver<String>,
}

impl Monitor {
    fn start(redis: &Redis) -> Self {
        let mut process = Command::new("redis-cli")
            .arg("-s")
            .arg(redis.socket())
            .arg("monitor")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        assert_eq!(lines.recv_timeout(TIMEOUT).unwrap(), "OK");
        Self { process, lines }
    }

    /// The commands until now.
    fn commands(&self, redis: &Redis) -> Vec<String> {
        redis.cli(&["echo", "that is all"]);
        let until_mark = std::iter::from_fn(|| self.lines.recv_timeout(TIMEOUT).ok())
            .take_while(|line| !line.contains("that is all"));
        let from_clients = |line: &String| {
            !line.contains(" lua]")
                && !line.contains("\"HELLO\"")
                && !line.contains("CLIENT")
                && !line.contains("COMMAND")
        };
        until_mark.filter(from_clients).collect()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_one_command() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    // Redis loads the scripts.
    broker.create("before").await;
    broker.add_events("before", 0, 1).await;
    broker.get("/api/stream/info?key=before").await;
    broker.end("before").await;
    broker.create("chat").await;
    let monitor = Monitor::start(&redis);
    for round in 0..5 {
        broker.add_events("chat", round, 100).await;
    }
    let commands = monitor.commands(&redis);
    assert_eq!(commands.len(), 5, "{commands:#?}");
    assert!(
        commands
            .iter()
            .all(|command| command.contains("\"EVALSHA\""))
    );
    broker.post("/api/stream/end", json!({"key": "chat"})).await;
    broker.post("/api/stream", json!({"key": "other"})).await;
    broker.get("/api/stream/info?key=other").await;
    assert_eq!(
        monitor
            .commands(&redis)
            .iter()
            .filter(|command| command.contains("\"EVALSHA\""))
            .count(),
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_read_returns_all_available_events() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    let token = broker.create("chat").await;
    let mut subscriber = broker.sse("chat", &token, None).await;
    subscriber.next().await.unwrap();
    until("it follows", || async { redis.blocked_connections() == 1 }).await;
    let monitor = Monitor::start(&redis);
    broker.add_events("chat", 0, 300).await;
    subscriber.take(300).await;
    let reads = monitor
        .commands(&redis)
        .iter()
        .filter(|command| command.to_lowercase().contains("\"xread\""))
        .count();
    assert!(reads <= 2, "{reads} reads for 300 events");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_traffic_costs_redis_nothing() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    for n in 0..50 {
        broker.create(&format!("chat-{n}")).await;
    }
    let monitor = Monitor::start(&redis);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(monitor.commands(&redis), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_writes_its_subscriber_counts_once_for_all_streams_and_no_zero() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    let mut subscribers = Vec::new();
    for n in 0..10 {
        let token = broker.create(&format!("chat-{n}")).await;
        let mut subscriber = broker.ws(&format!("chat-{n}"), &token, None).await;
        subscriber.next().await.unwrap();
        subscribers.push(subscriber);
    }
    let counts = || redis.cli(&["keys", "*clients:*"]);
    until("it has written the counts", || async {
        !counts().is_empty()
    })
    .await;
    assert_eq!(redis.cli(&["hlen", &counts()]), "10");
    let monitor = Monitor::start(&redis);
    tokio::time::sleep(Duration::from_secs(11)).await;
    let commands = monitor.commands(&redis);
    let writes = commands
        .iter()
        .filter(|command| command.contains("\"EXEC\""))
        .count();
    assert!(
        (1..=3).contains(&writes) && !commands.iter().any(|command| command.contains("\"HSET\"")),
        "{commands:#?}"
    );

    drop(subscribers);
    until("it has removed the counts", || async {
        counts().is_empty() && redis.cli(&["keys", "*nodes"]).is_empty()
    })
    .await;
    let monitor = Monitor::start(&redis);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(monitor.commands(&redis), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_outside_the_prefix_are_neither_touched_nor_listed() {
    let redis = Redis::start(&[]);
    for n in 0..100 {
        redis.cli(&["set", &format!("foreign-{n}"), "x"]);
        redis.cli(&["xadd", &format!("tinistreamer-{n}"), "*", "event", "x"]);
    }
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .set("KEY_PREFIX", "mine:")
        .start()
        .await;
    let monitor = Monitor::start(&redis);
    let token = broker.create("foreign-1").await;
    broker.add_events("foreign-1", 0, 3).await;
    assert_eq!(
        broker
            .get("/api/stream?pattern=*")
            .await
            .1
            .as_array()
            .unwrap()
            .len(),
        1
    );
    broker
        .sse("foreign-1", &token, None)
        .await
        .next()
        .await
        .unwrap();
    let commands = monitor.commands(&redis);
    let keyed = commands.iter().filter(|command| {
        !["PING", "UNWATCH", "SCRIPT", "CLIENT", "MULTI", "EXEC"]
            .iter()
            .any(|name| command.contains(name))
    });
    let stray: Vec<_> = keyed
        .filter(|command| {
            !["mine:{", "mine:clients:", "mine:nodes"]
                .iter()
                .any(|ours| command.contains(ours))
        })
        .collect();
    assert!(stray.is_empty(), "{stray:?}");
    assert!(
        commands
            .iter()
            .all(|command| !command.contains("\"KEYS\"") && !command.contains("\"SCAN\""))
    );
    broker.end("foreign-1").await;
    assert_eq!(redis.cli(&["keys", "mine:{*"]).lines().count(), 2);
    assert_eq!(redis.cli(&["keys", "[^m]*"]).lines().count(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_expires() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    for n in 0..20 {
        broker
            .create_with(json!({"key": format!("chat-{n}"), "ttl": 1}))
            .await;
        broker.add_events(&format!("chat-{n}"), 0, 3).await;
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(broker.get("/api/stream").await.1, json!([]));
    let left = redis.cli(&["keys", "*"]);
    assert!(left.lines().all(|key| key.ends_with(":index")), "{left}");
    // The rest of the index expires by itself, or is removed after its time when another stream of
    // the bucket is created.
    until("the index is empty too", || async {
        redis.cli(&["keys", "*"]).is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_redis_lost_are_loaded_again() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    let token = broker.create("chat").await;
    for n in 0..5 {
        redis.cli(&["script", "flush"]);
        broker.add_events("chat", n, 1).await;
        redis.cli(&["script", "flush"]);
        assert_eq!(broker.get("/api/stream/info?key=chat").await.0, 200);
    }
    redis.cli(&["script", "flush"]);
    broker.end("chat").await;
    let events = broker.sse("chat", &token, None).await.rest().await;
    assert_eq!(ids(&events).count(), 7, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_lost_one_of_its_keys_counts_as_deleted() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    for half in ["events", "meta"] {
        let token = broker.create("chat").await;
        broker.add_events("chat", 0, 3).await;
        let mut subscriber = broker.sse("chat", &token, None).await;
        subscriber.take(4).await;
        let key = redis.cli(&["keys", &format!("*:{half}:chat")]);
        redis.cli(&["del", &key]);
        let (status, error) = broker
            .post(
                "/api/event/add",
                json!({"key": "chat", "events": [{"event": "x"}]}),
            )
            .await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (404, &json!("no-active-stream")),
            "{half}"
        );
        assert_eq!(broker.get("/api/stream/info?key=chat").await.0, 404);
        assert_eq!(broker.get("/api/stream").await.1, json!([]));
        assert_eq!(subscriber.next().await, None);
        assert_eq!(
            broker
                .post("/api/stream/end", json!({"key": "chat"}))
                .await
                .0,
            404
        );
    }
    broker.create("chat").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_do_not_go_back_with_the_clock() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    broker.create("chat").await;
    // As if the last event had been written an hour from now.
    let meta = redis.cli(&["keys", "*:meta:chat"]);
    let later = chrono::Utc::now().timestamp_millis() + 3_600_000;
    redis.cli(&["hset", &meta, "last_ms", &later.to_string()]);
    let ids = broker.add_events("chat", 0, 3).await;
    assert_eq!(
        ids,
        (1..4).map(|n| format!("{later}-{n}")).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_url_sets_user_password_and_database() {
    let redis = Redis::start(&[
        "--port",
        "0",
        "--user",
        "app",
        "on",
        ">pass:word",
        "~only:*",
        "&*",
        "+@all",
        "-@admin",
    ]);
    let socket = redis.socket();
    let url = format!("unix://{}?db=3&user=app&pass=pass%3Aword", socket.display());
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", url)
        .set("KEY_PREFIX", "only:")
        .start()
        .await;
    let token = broker.create("chat").await;
    broker.end("chat").await;
    assert_eq!(broker.sse("chat", &token, None).await.rest().await.len(), 2);
    assert_eq!(
        redis.cli(&["-n", "3", "keys", "only:{*"]).lines().count(),
        2
    );
    assert_eq!(redis.cli(&["-n", "0", "dbsize"]), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_and_tls_connections_work() {
    let certificates = tempfile::tempdir().unwrap();
    let path = |name: &str| certificates.path().join(name).display().to_string();
    let openssl = |arguments: &[&str]| {
        assert!(
            Command::new("openssl")
                .args(arguments)
                .stderr(Stdio::null())
                .status()
                .unwrap()
                .success()
        );
    };
    // A certificate authority of this test, and a server certificate signed by it.
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        &path("ca.key"),
        "-out",
        &path("ca.pem"),
        "-days",
        "2",
        "-subj",
        "/CN=test ca",
    ]);
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        &path("key.pem"),
        "-out",
        &path("request.pem"),
        "-subj",
        "/CN=localhost",
    ]);
    std::fs::write(
        path("extensions"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1\n",
    )
    .unwrap();
    openssl(&[
        "x509",
        "-req",
        "-in",
        &path("request.pem"),
        "-CA",
        &path("ca.pem"),
        "-CAkey",
        &path("ca.key"),
        "-CAcreateserial",
        "-out",
        &path("cert.pem"),
        "-days",
        "2",
        "-extfile",
        &path("extensions"),
    ]);
    let free_port = || {
        std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port()
            .to_string()
    };
    let (tls, tcp) = (free_port(), free_port());
    let redis = Redis::start(&[
        "--port",
        &tcp,
        "--bind",
        "127.0.0.1",
        "--tls-port",
        &tls,
        "--tls-cert-file",
        &path("cert.pem"),
        "--tls-key-file",
        &path("key.pem"),
        "--tls-ca-cert-file",
        &path("ca.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    for url in [
        format!("redis://localhost:{tcp}/1"),
        format!("rediss://localhost:{tls}/1"),
    ] {
        let broker = broker(Kind::Exclusive)
            .set("REDIS_URL", &url)
            .trust(&path("ca.pem"))
            .start()
            .await;
        let token = broker.create("chat").await;
        let mut subscriber = broker.sse("chat", &token, None).await;
        subscriber.next().await.unwrap();
        broker.end("chat").await;
        assert_eq!(subscriber.rest().await.len(), 1, "{url}");
    }
    let strangers = broker(Kind::Exclusive)
        .set("REDIS_URL", format!("rediss://localhost:{tls}"))
        .start()
        .await;
    assert_eq!(
        strangers.get("/api/ready").await.0,
        503,
        "a certificate that nobody vouches for is not taken"
    );
    assert_eq!(redis.cli(&["-n", "0", "dbsize"]), "0");
}

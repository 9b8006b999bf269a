//! The commands that the broker sends to Redis, as `MONITOR` sees them.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::json;

use crate::common::{Kind, TIMEOUT, broker, redis::Redis, until};

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
        let from_clients = |line: &String| {
            // Each second the node asks for streams with deadlines, whether there are any or not.
            !line.contains(":sweeper\"")
                && !line.contains(" lua]")
                && !line.contains("\"HELLO\"")
                && !line.contains("CLIENT")
                && !line.contains("COMMAND")
        };
        let mut commands = self.all_commands(redis);
        commands.retain(from_clients);
        commands
    }

    /// The same, with those inside scripts, and those that set a connection up.
    fn all_commands(&self, redis: &Redis) -> Vec<String> {
        redis.cli(&["echo", "that is all"]);
        std::iter::from_fn(|| self.lines.recv_timeout(TIMEOUT).ok())
            .take_while(|line| !line.contains("that is all"))
            .collect()
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
async fn looking_for_deadlines_is_one_command_a_second_for_each_node() {
    let redis = Redis::start(&[]);
    let setup = broker(Kind::Exclusive).set("REDIS_URL", redis.url());
    let broker = setup.start().await;
    let _other = broker.another_node().await;
    for n in 0..50 {
        broker.create(&format!("chat-{n}")).await;
        let path = format!("/api/client/signal?key=chat-{n}");
        broker.post(&path, json!({"name": "stop"})).await;
    }
    let monitor = Monitor::start(&redis);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let all = monitor.all_commands(&redis);
    let sweeps = all
        .iter()
        .filter(|line| line.contains("EVALSHA") && line.contains(":sweeper\""))
        .count();
    assert!(
        sweeps <= 2 * 4,
        "{sweeps} commands of two nodes in three seconds"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_costs_an_append_one_more_command_and_other_streams_nothing() {
    let redis = Redis::start(&[]);
    let broker = broker(Kind::Exclusive)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    // A TTL that no append of this test renews again.
    for (key, lease) in [("plain", 0), ("leased", 3_600)] {
        let body = json!({"key": key, "ttl": 3_600, "lease": lease});
        broker.create_with(body).await;
        broker.add_events(key, 0, 1).await;
    }
    let monitor = Monitor::start(&redis);
    let commands = async |key: &str| {
        broker.add_events(key, 1, 1).await;
        // The node looks for deadlines at any time.
        let all = monitor.all_commands(&redis).into_iter();
        let of_stream = all.filter(|line| line.contains(key) && !line.contains("sweeper"));
        let name = |line: String| line.split('"').nth(1).map(str::to_owned);
        let mut names: Vec<_> = of_stream.filter_map(name).collect();
        names.sort();
        names
    };
    let plain = commands("plain").await;
    assert_eq!(
        plain,
        ["EVALSHA", "HMGET", "HSET", "PTTL", "PUBLISH", "XADD"]
    );
    let mut leased = commands("leased").await;
    let at = leased.iter().position(|name| name == "HMGET").unwrap();
    leased.remove(at);
    assert_eq!(leased, plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_writes_its_subscriber_counts_once_for_all_streams_and_stops_at_zero() {
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
    let updates = commands
        .iter()
        .filter(|command| command.contains("\"both\""))
        .count();
    let has_counts = |command: &String| command.contains("\"chat-");
    assert!(
        (1..=3).contains(&updates) && !commands.iter().any(has_counts),
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
        !["PING", "UNWATCH", "SCRIPT", "CLIENT"]
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

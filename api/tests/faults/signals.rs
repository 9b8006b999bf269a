//! Signals, and the ends of uploads, while Redis or the way to it fails.

use std::time::Duration;

use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    common::{
        Broker, Kind,
        broker::{API_KEY, answer},
        redis::{PERSISTENT, Redis, signal},
        sentinel::RedisWithSentinels,
        until, within,
        ws::Ws,
    },
    fleet::node,
    proxy::{Link, Proxy, Target},
};

type Lines = futures::channel::mpsc::UnboundedSender<Result<String, std::io::Error>>;

/// A producer that writes nothing more, and waits for signals.
struct IdleProducer {
    socket: Ws,
    /// Its upload stays open.
    _lines: Lines,
    upload: JoinHandle<(StatusCode, Value)>,
}

impl IdleProducer {
    async fn start(broker: &Broker) -> Self {
        let url = format!(
            "{}/api/event/add/ws-stream?key=chat&signals=0",
            broker.url.replacen("http", "ws", 1)
        );
        let (lines, receiver) = futures::channel::mpsc::unbounded();
        let upload = broker
            .request(Method::POST, "/api/event/add/json-stream?key=chat")
            .body(Body::wrap_stream(receiver));
        lines
            .unbounded_send(Ok("{\"event\":\"word\"}\n".to_owned()))
            .unwrap();
        let upload = tokio::spawn(answer(upload));
        until("the first line is written", || async {
            broker.get("/api/stream/info?key=chat").await.1["length"] == 2
        })
        .await;
        Self {
            socket: Ws::connect(&url, &[("X-API-KEY", API_KEY)]).await.unwrap(),
            _lines: lines,
            upload,
        }
    }

    /// Receives the signals with these numbers, each once.
    async fn receives(&mut self, numbers: std::ops::RangeInclusive<u64>) {
        for number in numbers {
            assert_eq!(self.socket.next().await.unwrap()["seq"], number);
        }
    }

    /// Learns on both of its connections that the stream failed.
    async fn learns_the_end(mut self) {
        assert_eq!(self.socket.ended().await, Some(1011));
        let (status, error) = within(self.upload).await.unwrap();
        assert_eq!(
            (status.as_u16(), &error["stream_status"]),
            (404, &json!("failed")),
            "{error}"
        );
    }
}

/// Sends a signal until the broker has confirmed it.
async fn send(broker: &Broker, id: u64) {
    until("the signal is stored", || async {
        let body = json!({"name": "steer", "id": id.to_string()});
        let (status, answer) = broker.post("/api/client/signal?key=chat", body).await;
        assert!(status == 200 || status == 503, "{status} {answer}");
        status == 200
    })
    .await;
}

async fn fail(broker: &Broker) {
    until("the stream has failed", || async {
        let (status, answer) = broker
            .post("/api/stream/fail", json!({"key": "chat"}))
            .await;
        // A request that was not confirmed may have failed the stream.
        status == 200 || answer["stream_status"] == "failed"
    })
    .await;
}

async fn signals_reach_a_node_whose_way_to_redis_was_a_black_hole(kind: Kind) {
    let redis = Redis::start(&[]);
    let link = Proxy::start(Target::Unix(redis.socket())).await;
    let setup = node(kind).set("REDIS_TIMEOUT", 1);
    let cut_off = setup.set("REDIS_URL", link.url("redis")).start().await;
    let other = cut_off.setup().set("REDIS_URL", redis.url()).start().await;
    cut_off.create("chat").await;
    let mut producer = IdleProducer::start(&cut_off).await;
    send(&other, 1).await;
    producer.receives(1..=1).await;

    link.set(Link::BLACK_HOLE);
    send(&other, 2).await;
    send(&other, 3).await;
    sleep(Duration::from_secs(5)).await;
    link.set(Link::OPEN);
    producer.receives(2..=3).await;
    // The open connections vanish for ever, and nobody is notified.
    link.set_existing(Link::BLACK_HOLE);
    send(&other, 4).await;
    producer.receives(4..=4).await;
    link.set(Link::NO_DOWN);
    fail(&other).await;
    sleep(Duration::from_secs(5)).await;
    link.set(Link::OPEN);
    producer.learns_the_end().await;
}

async fn signals_reach_producers_after_redis_was_frozen_and_killed(kind: Kind) {
    let mut redis = Redis::start(&PERSISTENT);
    let broker = node(kind)
        .set("REDIS_TIMEOUT", 1)
        .set("REDIS_URL", redis.url())
        .start()
        .await;
    let other = broker.another_node().await;
    broker.create("chat").await;
    let mut producer = IdleProducer::start(&broker).await;
    send(&other, 1).await;
    producer.receives(1..=1).await;

    let pid = redis.pid();
    signal(pid, "-STOP");
    let frozen = async {
        sleep(Duration::from_secs(4)).await;
        signal(pid, "-CONT");
    };
    tokio::join!(frozen, send(&other, 2));
    producer.receives(2..=2).await;

    redis.kill();
    sleep(Duration::from_secs(1)).await;
    redis.restart(&PERSISTENT);
    send(&other, 3).await;
    producer.receives(3..=3).await;
    redis.kill();
    redis.restart(&PERSISTENT);
    fail(&other).await;
    producer.learns_the_end().await;
}

over_each_delivery!(
    signals_reach_a_node_whose_way_to_redis_was_a_black_hole,
    signals_reach_producers_after_redis_was_frozen_and_killed,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_reach_producers_after_a_failover() {
    let mut servers = tokio::task::spawn_blocking(RedisWithSentinels::start)
        .await
        .unwrap();
    let broker = node(Kind::Shared)
        .set("REDIS_TIMEOUT", 1)
        .set("REDIS_URL", servers.url())
        .start()
        .await;
    let other = broker.another_node().await;
    broker.create("chat").await;
    let mut producer = IdleProducer::start(&broker).await;
    send(&other, 1).await;
    producer.receives(1..=1).await;
    tokio::task::block_in_place(|| servers.kill_primary());
    send(&other, 2).await;
    producer.receives(2..=2).await;
    fail(&other).await;
    producer.learns_the_end().await;
}

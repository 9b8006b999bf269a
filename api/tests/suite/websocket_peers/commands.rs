//! Peers whose commands wait, or run for long.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::OwnedReadHalf,
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::target;
use crate::common::{
    Broker, Kind, broker,
    broker::{NOISE_KB, Setup, answer},
    raw::{PING, Raw, TEXT, frame},
    redis::{Redis, signal},
    subscriber::token,
    until, within,
    ws::Ws,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_wait_for_the_first_array_take_bounded_memory_and_are_then_run() {
    let redis = Redis::start(&[]);
    let pid = redis.pid();
    let broker = broker(Kind::Shared)
        .set("REDIS_URL", redis.url())
        .set("REDIS_TIMEOUT", 60)
        .set("STORE_PATIENCE", 120)
        .start()
        .await;
    let token = broker
        .create_with(json!({"key": "chat", "max_events": 10_000}))
        .await;
    for _ in 0..40 {
        broker
            .add(
                "chat",
                json!([{"event": "big", "data": "x".repeat(1_000_000)}]),
            )
            .await;
    }
    let peer = Raw::web_socket(&broker, &target("subscriber", &token)).await;
    let Raw { mut from, mut to } = peer;
    // The array is in transit, and blocked.
    sleep(Duration::from_secs(1)).await;
    signal(pid, "-STOP");
    let mut array = Vec::new();
    while let Ok(read) = timeout(Duration::from_secs(2), from.read_buf(&mut array)).await {
        assert_ne!(read.unwrap(), 0);
    }
    let before = broker.resident_kb();
    // Many small values. A parsed tree takes a hundred times as much memory.
    let filling = vec![r#"{"":0}"#; 8_000].join(",");
    let commands = (0..200).flat_map(move |n| {
        frame(
            TEXT,
            format!(r#"{{"op": "unsubscribe", "key": "stream {n}", "unknown": [{filling}]}}"#)
                .as_bytes(),
        )
    });
    let commands: Vec<u8> = commands.collect();
    let sent = tokio::spawn(async move {
        to.write_all(&commands).await.unwrap();
        to
    });
    sleep(Duration::from_secs(2)).await;
    let grown = broker.resident_kb().saturating_sub(before);
    assert!(grown < NOISE_KB, "{grown} kB");
    signal(pid, "-CONT");
    let mut peer = Frames { bytes: array, from };
    while !peer.next().await.0 {}
    for n in 0..200 {
        let answer: Value = serde_json::from_slice(&peer.next().await.1).unwrap();
        assert_eq!(
            (&answer["key"], &answer["code"]),
            (&json!(format!("stream {n}")), &json!("not-subscribed"))
        );
    }
    within(sent).await.unwrap();
}

/// Frames behind bytes that were already read.
struct Frames {
    bytes: Vec<u8>,
    from: OwnedReadHalf,
}

impl Frames {
    async fn at_least(&mut self, count: usize) {
        while self.bytes.len() < count {
            assert_ne!(
                within(self.from.read_buf(&mut self.bytes)).await.unwrap(),
                0
            );
        }
    }

    /// Whether the frame is the last of its message, and the payload.
    async fn next(&mut self) -> (bool, Vec<u8>) {
        loop {
            self.at_least(2).await;
            let (head, (length, begin)) = (
                self.bytes[0],
                match self.bytes[1] {
                    126 => {
                        self.at_least(4).await;
                        (
                            usize::from(u16::from_be_bytes(self.bytes[2..4].try_into().unwrap())),
                            4,
                        )
                    }
                    127 => {
                        self.at_least(10).await;
                        (
                            usize::try_from(u64::from_be_bytes(
                                self.bytes[2..10].try_into().unwrap(),
                            ))
                            .unwrap(),
                            10,
                        )
                    }
                    length => (usize::from(length), 2),
                },
            );
            self.at_least(begin + length).await;
            let payload = self.bytes[begin..begin + length].to_vec();
            self.bytes.drain(..begin + length);
            if head != PING {
                return (head & 0x80 != 0, payload);
            }
        }
    }
}

/// A subscriber whose command waits for a store that does not answer.
async fn with_a_command_that_runs(setup: Setup, redis: &Redis) -> (Broker, Ws, String) {
    let broker = setup
        .set("REDIS_URL", redis.url())
        .set("REDIS_TIMEOUT", 60)
        .start()
        .await;
    for key in ["a", "b"] {
        broker.create(key).await;
    }
    let token = token(&broker, json!({"keys": ["a", "b"]})).await;
    let mut socket = broker.ws("a", &token, None).await;
    socket.next().await.unwrap();
    let (_, subscribers) = broker.get("/api/clients").await;
    signal(redis.pid(), "-STOP");
    socket
        .send(json!({"op": "subscribe", "key": "b"}).to_string())
        .await;
    (
        broker,
        socket,
        subscribers[0]["id"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_handles_everything_else_while_a_command_runs() {
    for kind in [Kind::Shared, Kind::Exclusive] {
        let redis = Redis::start(&[]);
        let pid = redis.pid();
        // The subscriber closes.
        let (mut node, mut socket, _) = with_a_command_that_runs(broker(kind), &redis).await;
        socket.0.send(Message::Ping("x".into())).await.unwrap();
        assert_eq!(
            within(socket.0.next()).await.unwrap().unwrap(),
            Message::Pong("x".into())
        );
        let frame = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        socket.0.send(Message::Close(Some(frame))).await.unwrap();
        assert_eq!(socket.close_code().await, Some(1000));
        signal(pid, "-CONT");
        until("its permit is free", || async {
            node.permits_in_use().await == 0
        })
        .await;

        // Its connection is lost.
        (node, socket, _) = with_a_command_that_runs(broker(kind), &redis).await;
        drop(socket);
        until("it has left", || async {
            node.metrics().await.get(r#"clients{transport="ws"}"#) == 0
        })
        .await;
        signal(pid, "-CONT");

        // An operator disconnects it.
        let id;
        (node, socket, id) = with_a_command_that_runs(broker(kind), &redis).await;
        assert_eq!(
            answer(node.request(Method::DELETE, &format!("/api/clients/{id}")))
                .await
                .0,
            200
        );
        assert_eq!(socket.close_code().await, Some(1008));
        signal(pid, "-CONT");

        // There was no event for too long.
        (node, socket, _) =
            with_a_command_that_runs(broker(kind).set("CLIENT_TIMEOUT", 2), &redis).await;
        assert_eq!(socket.close_code().await, Some(1001));
        signal(pid, "-CONT");
        drop(node);

        // The node stops.
        (node, socket, _) = with_a_command_that_runs(broker(kind), &redis).await;
        let (code, stopped) = tokio::join!(socket.close_code(), node.stop("-TERM"));
        assert_eq!((code, stopped.0), (Some(1012), Some(0)));
        signal(pid, "-CONT");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_error_message_of_a_command_is_shortened() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("chat").await;
    let mut socket = broker.ws("chat", &token, None).await;
    socket.next().await.unwrap();
    for command in [
        json!({"op": "subscribe", "key": "chat", "wait": "é".repeat(20_000)}),
        json!({"op": "subscribe", "key": "é".repeat(20_000)}),
    ] {
        socket.send(command.to_string()).await;
        let answer = socket.next().await.unwrap();
        assert_eq!(answer["op"], "error");
        assert!(answer.to_string().len() < 1000, "{answer}");
    }
}

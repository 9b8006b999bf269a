//! Subscribers that behave badly: they read nothing, or leave all at once.

use futures::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    common::{Broker, Kind, raw::UPGRADE, until, within},
    fleet::{eventually, fleet, node},
    servers::allow_open_files,
};

pub(crate) const TRANSPORTS: [&str; 2] = ["sse", "ws"];

/// Subscribes, and reads nothing of the response.
pub(crate) async fn read_nothing(
    broker: &Broker,
    transport: &str,
    key: &str,
    token: &str,
) -> TcpStream {
    let address = broker.url.trim_start_matches("http://");
    let mut socket = within(TcpStream::connect(address)).await.unwrap();
    let upgrade = if transport == "ws" { UPGRADE } else { "" };
    let request = format!(
        "GET /api/client/{transport}?key={key}&token={token} HTTP/1.1\r\n\
         Host: {address}\r\n{upgrade}\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// Subscribes, and reads only the head of the response.
async fn subscribe(broker: &Broker, transport: &str, key: &str, token: &str) -> TcpStream {
    let mut socket = read_nothing(broker, transport, key, token).await;
    let mut head = [0; 12];
    within(socket.read_exact(&mut head)).await.unwrap();
    let head = String::from_utf8_lossy(&head).into_owned();
    assert!(head == "HTTP/1.1 200" || head == "HTTP/1.1 101", "{head}");
    socket
}

const MIB: u64 = 1 << 20;

async fn subscribers_that_read_nothing_cost_one_batch_each(kind: Kind) {
    let broker = node(kind).start().await;
    let fleet = fleet(&[&broker.url])
        .subscribers(4)
        .event_bytes(40_000)
        .start()
        .await;
    let (_, access) = broker
        .post("/api/stream/token", json!({"key": "chat"}))
        .await;
    let before = broker.resident_bytes();
    let mut stalled = Vec::new();
    for turn in 0..24 {
        stalled.push(
            subscribe(
                &broker,
                TRANSPORTS[turn % 2],
                "chat",
                access["token"].as_str().unwrap(),
            )
            .await,
        );
    }
    // 24 MB. The buffers of the system hold less than half of this for each subscriber that reads
    // nothing.
    eventually("all is written", || fleet.confirmed() >= 600).await;
    fleet.flows().await;
    let more = broker.resident_bytes().saturating_sub(before) / MIB;
    // A batch is 1 MiB: once as it came from Redis, and once as it goes to the subscriber. The
    // limit leaves room for what the allocator keeps. All unread data would be some 300 MB.
    assert!(more < 24 * 3 + 64, "{more} MiB for 24 subscribers");
    drop(stalled);
    fleet.end_whole().await;
    until("their permits are free", || async {
        broker.permits_in_use().await == 0
    })
    .await;
}

over_each_delivery!(subscribers_that_read_nothing_cost_one_batch_each);

async fn two_thousand_subscribers_leave_at_once(kind: Kind) {
    const CROWD: usize = 2000;
    allow_open_files(8192);
    let broker = node(kind).set("MAX_CLIENTS", 2100).start().await;
    let fleet = fleet(&[&broker.url]).subscribers(4).start().await;
    let token = broker.create("crowd").await;
    let mut memory = Vec::new();
    for _ in 0..5 {
        let mut crowd = Vec::new();
        for _ in 0..CROWD / 100 {
            crowd.extend(
                join_all(
                    (0..100).map(|turn| subscribe(&broker, TRANSPORTS[turn % 2], "crowd", &token)),
                )
                .await,
            );
        }
        // The broker may have disconnected the first WebSocket subscribers meanwhile, because they
        // answer no ping.
        assert!(broker.permits_in_use().await > CROWD as u64 / 2);
        drop(crowd);
        until("their permits are free", || async {
            broker.permits_in_use().await <= 4
        })
        .await;
        fleet.flows().await;
        memory.push(broker.resident_bytes() / MIB);
    }
    // The first rounds fill what the allocator keeps. Two thousand sessions that were not freed
    // would be 78 MB in every round: 39 KB each.
    assert!(
        memory[4] < memory[1] + 40,
        "MiB after each round: {memory:?}"
    );
    fleet.end_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_subscribers_leave_at_once_in_shared() {
    two_thousand_subscribers_leave_at_once(Kind::Shared).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_subscribers_leave_at_once_in_memory() {
    two_thousand_subscribers_leave_at_once(Kind::Memory).await;
}

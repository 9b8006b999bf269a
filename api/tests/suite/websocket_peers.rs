//! Peers that break rules: they do not read, send arbitrary bytes, or leave in the middle. The
//! broker's memory stays bounded, and each peer receives the reason for which its connection ends.

mod commands;

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    time::{sleep, timeout},
};

use crate::common::{
    Kind, broker,
    broker::{NOISE_KB, answer},
    raw::{CLOSE, PING, PONG, Raw, TEXT, frame},
    until, within,
};

const ROLES: [&str; 2] = ["subscriber", "producer"];

fn target(role: &str, token: &str) -> String {
    match role {
        "subscriber" => format!("/api/client/ws?key=chat&token={token}"),
        _ => "/api/event/add/ws-stream?key=chat".to_owned(),
    }
}

/// Sends these bytes repeatedly, until the broker reads no more for a while.
async fn write_until_blocked(peer: &mut Raw, bytes: &[u8]) {
    let (mut written, mut rest) = (0, bytes);
    // Far more than sockets hold.
    while written < 300 << 20 {
        match timeout(Duration::from_secs(6), peer.to.write(rest)).await {
            Ok(Ok(count)) => {
                written += count;
                rest = if count < rest.len() {
                    &rest[count..]
                } else {
                    bytes
                };
            }
            Ok(Err(error)) => panic!("the connection is kept: {error}"),
            Err(_) => break,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_of_peers_that_do_not_read_take_no_memory() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("chat").await;
    let before = broker.resident_kb();
    let pings = frame(PING, &[7; 125]).repeat(500);
    let mut peers = Vec::new();
    for role in ROLES {
        let mut peer = Raw::web_socket(&broker, &target(role, &token)).await;
        write_until_blocked(&mut peer, &pings).await;
        peers.push(peer);
    }
    let grown = broker.resident_kb().saturating_sub(before);
    assert!(grown < NOISE_KB, "{grown} kB");
    // An operator still sees a peer that reads nothing, and shutdown still ends its session.
    let (_, subscribers) = broker.get("/api/clients").await;
    let id = subscribers[0]["id"].as_str().unwrap();
    assert_eq!(
        answer(broker.request(Method::DELETE, &format!("/api/clients/{id}")))
            .await
            .0,
        200
    );
    until("its permit is free", || async {
        broker.permits_in_use().await == 0
    })
    .await;
    assert_eq!(within(broker.stop("-TERM")).await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_reads_no_pong_in_time_is_disconnected() {
    let broker = broker(Kind::Memory).set("CLIENT_TIMEOUT", 2).start().await;
    let token = broker.create("chat").await;
    let mut peer = Raw::web_socket(&broker, &target("subscriber", &token)).await;
    let pings = frame(PING, &[7; 125]).repeat(500);
    let written = async { while peer.to.write_all(&pings).await.is_ok() {} };
    within(written).await;
    until("its permit is free", || async {
        broker.permits_in_use().await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_ping_is_answered_in_order_between_events() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("chat").await;
    for role in ROLES {
        let mut peer = Raw::web_socket(&broker, &target(role, &token)).await;
        let pings: Vec<u8> = (0..1000_u16)
            .flat_map(|n| frame(PING, &n.to_be_bytes()))
            .collect();
        peer.send(&pings).await;
        broker.add_events("chat", 0, 10).await;
        let mut pongs = Vec::new();
        while pongs.len() < 1000 {
            let (head, payload) = peer.next_frame().await.unwrap();
            if head == PONG {
                pongs.push(u16::from_be_bytes(payload.try_into().unwrap()));
            }
        }
        assert_eq!(pongs, (0..1000).collect::<Vec<_>>(), "{role}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_frame_is_answered_with_its_code() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("chat").await;
    for role in ROLES {
        for (payload, code) in [
            (&[3, 232][..], 1000),
            (&[15, 160, b'x'], 4000),
            (&[], 0),
            (&[3, 237], 1002),
        ] {
            let mut peer = Raw::web_socket(&broker, &target(role, &token)).await;
            peer.send(&frame(CLOSE, payload)).await;
            assert_eq!(peer.close_code().await, Some(code), "{role}: {payload:?}");
        }
    }
    until("no permit is taken", || async {
        broker.permits_in_use().await == 0
    })
    .await;
    // Behind events, and while events are in transit.
    let mut peer = Raw::web_socket(&broker, &target("producer", &token)).await;
    peer.send(&[frame(TEXT, br#"{"event": "x"}"#), frame(CLOSE, &[3, 232])].concat())
        .await;
    assert_eq!(peer.close_code().await, Some(1000));
    assert_eq!(broker.get("/api/stream/info?key=chat").await.1["length"], 2);
}

/// Faults, each with the close code for it.
fn faults() -> Vec<(&'static str, Vec<u8>, u16)> {
    let unmasked = vec![TEXT, 2, b'{', b'}'];
    vec![
        ("text that is not UTF-8", frame(TEXT, &[0xff, 0xfe]), 1007),
        (
            "half a character at the end",
            frame(TEXT, &[0xe2, 0x82]),
            1007,
        ),
        (
            "a reason that is not UTF-8",
            frame(CLOSE, &[3, 232, 0xff]),
            1007,
        ),
        ("no mask", unmasked, 1002),
        ("a reserved bit", frame(TEXT | 0x40, b"{}"), 1002),
        ("a reserved opcode", frame(0x83, b"{}"), 1002),
        ("a reserved control opcode", frame(0x8b, b""), 1002),
        ("a ping of 200 bytes", frame(PING, &[0; 200]), 1002),
        ("a ping in fragments", frame(PING & 0x7f, b""), 1002),
        ("the rest of no message", frame(0x80, b"{}"), 1002),
        (
            "a message within another",
            [frame(TEXT & 0x7f, b"{"), frame(TEXT, b"{}")].concat(),
            1002,
        ),
        ("a close frame of one byte", frame(CLOSE, &[3]), 1002),
        (
            "a message that is too long",
            frame(TEXT, &vec![b' '; 5 << 20]),
            1009,
        ),
        (
            "fragments that are too long",
            [
                frame(TEXT & 0x7f, &vec![b' '; 40_000]),
                frame(0x80, &vec![b' '; 5 << 20]),
            ]
            .concat(),
            1009,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_a_peer_receives_its_close_code_despite_further_data() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("chat").await;
    for role in ROLES {
        for (fault, mut bytes, code) in faults() {
            // Unread data turns a close into a reset, before which the close frame may be lost.
            bytes.extend(frame(TEXT, &vec![b' '; 60_000]).repeat(10));
            let Raw { from, mut to } = Raw::web_socket(&broker, &target(role, &token)).await;
            let written = tokio::spawn(async move {
                let _ = to.write_all(&bytes).await;
                to
            });
            // The peer reads only after it has sent everything.
            let to = within(written).await.unwrap();
            assert_eq!(
                Raw { from, to }.close_code().await,
                Some(code),
                "{role}: {fault}"
            );
        }
    }
    until("no permit is taken", || async {
        broker.permits_in_use().await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_behind_good_messages_of_a_producer_is_reported_after_their_answers() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("chat").await;
    let mut peer = Raw::web_socket(&broker, &target("producer", &token)).await;
    peer.send(&[frame(TEXT, br#"{"event": "x"}"#), frame(PING, &[0; 200])].concat())
        .await;
    let (head, text) = peer.next_frame().await.unwrap();
    assert_eq!(
        (
            head,
            serde_json::from_slice::<Value>(&text).unwrap()["type"].as_str()
        ),
        (TEXT, Some("success"))
    );
    assert_eq!(peer.close_code().await, Some(1002));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_ignores_a_close_holds_its_socket_only_briefly() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("chat").await;
    for role in ROLES {
        let mut peer = Raw::web_socket(&broker, &target(role, &token)).await;
        peer.send(&frame(PING, &[0; 200])).await;
        // The broker closes its side. It drops the socket although this side stays open, so that
        // later writes fail.
        let refused = async {
            while peer.to.write_all(b"x").await.is_ok() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        within(refused).await;
    }
}

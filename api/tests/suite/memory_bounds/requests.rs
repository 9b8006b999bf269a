//! Requests take bounded memory.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::growth;
use crate::common::{
    Kind, broker,
    broker::NOISE_KB,
    raw::{Raw, frame},
    within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_in_a_body_take_bounded_memory() {
    let broker = broker(Kind::Memory).start().await;
    broker.create("chat").await;
    let many = |value: &str, count| vec![value; count].join(",");
    let events = format!(
        r#"{{"key":"chat","events":[{}]}}"#,
        many(r#"{"event":"a"}"#, 1_000_000)
    );
    let keys = format!(r#"{{"keys":[{}]}}"#, many(r#""""#, 5_000_000));
    for (path, body, status) in [
        ("/api/event/add", events, 413),
        ("/api/stream/token", keys, 400),
    ] {
        let sent = async {
            within(broker.request(Method::POST, path).body(body).send())
                .await
                .unwrap()
                .status()
        };
        let (answered, grown) = growth(&broker, sent).await;
        assert_eq!(answered, status, "{path}");
        // The body itself is in memory up to twice, while its buffer grows.
        assert!(grown < 2 * 16_384 + NOISE_KB, "{path}: {grown} kB");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incomplete_bodies_hold_only_their_received_bytes_until_the_body_timeout() {
    let broker = broker(Kind::Memory).set("BODY_TIMEOUT", 2).start().await;
    broker.create("chat").await;
    let mut peers = Vec::new();
    for _ in 0..10 {
        let head = "Content-Length: 16000000\r\n\r\n";
        let mut peer = Raw::begin(&broker, "POST", "/api/event/add", head).await;
        peer.send(&vec![b' '; 4 << 20]).await;
        peers.push(peer);
    }
    for peer in &mut peers {
        let mut head = [0; 12];
        within(peer.from.read_exact(&mut head)).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 408");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_line_and_an_endless_message_take_bounded_memory() {
    let broker = broker(Kind::Memory).start().await;
    broker.create("chat").await;
    let mut upload = Raw::begin(
        &broker,
        "POST",
        "/api/event/add/json-stream?key=chat",
        "Transfer-Encoding: chunked\r\n\r\n",
    )
    .await;
    let piece = [b"10000\r\n".as_slice(), &*vec![b'x'; 0x10000], b"\r\n"].concat();
    let line = async {
        for _ in 0..3_000 {
            upload.send(&piece).await;
        }
        upload.send(b"1\r\n\n\r\n0\r\n\r\n").await;
        let mut text = Vec::new();
        while !text.ends_with(b"}") {
            assert_ne!(within(upload.from.read_buf(&mut text)).await.unwrap(), 0);
        }
        String::from_utf8(text).unwrap()
    };
    let (text, grown) = growth(&broker, line).await;
    assert!(
        text.contains("line 1: longer than") && text.contains(r#""num_errors":1"#),
        "{text}"
    );
    assert!(grown < NOISE_KB, "a line: {grown} kB");
    // Fragments of a message that never ends. The limit is 4 × MAX_LINE.
    let mut socket = Raw::web_socket(&broker, "/api/event/add/ws-stream?key=chat").await;
    let message = async {
        let _ = socket.to.write_all(&frame(0x01, &vec![b' '; 60_000])).await;
        for _ in 0..3_000 {
            if socket
                .to
                .write_all(&frame(0x00, &vec![b' '; 60_000]))
                .await
                .is_err()
            {
                break;
            }
        }
    };
    let ((), grown) = growth(&broker, async { within(message).await }).await;
    assert!(grown < NOISE_KB, "a message: {grown} kB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_request_head_takes_bounded_memory() {
    let broker = broker(Kind::Memory).start().await;
    let heads = join_all((0..10).map(async |_| {
        let mut peer = Raw::begin(&broker, "GET", "/api/health", "X-Long: ").await;
        // The peer ends the line of each header, or it does not.
        let _ = timeout(
            Duration::from_secs(2),
            peer.to.write_all(&vec![b'x'; 20 << 20]),
        )
        .await;
        peer
    }));
    let (_, grown) = growth(&broker, heads).await;
    assert!(grown < NOISE_KB, "{grown} kB");
}

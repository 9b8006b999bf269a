//! Spans of requests, as a collector receives them. This needs the feature `otlp`.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::common::{Kind, broker, within};

/// Reads one whole request, and answers with success.
async fn collect(listener: TcpListener) -> Vec<u8> {
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    loop {
        connection.read_buf(&mut request).await.unwrap();
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length: usize = head
            .split("content-length: ")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        if request.len() >= head.len() + 4 + length {
            connection
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await
                .unwrap();
            return request;
        }
    }
}

#[tokio::test]
async fn a_collector_receives_the_spans_of_requests_as_parts_of_their_traces() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let collected = tokio::spawn(collect(listener));
    let broker = broker(Kind::Memory)
        .environment("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .start()
        .await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let request = broker
        .http
        .get(format!("{}/api/nope?token=hush", broker.url))
        .header("traceparent", parent);
    assert_eq!(
        request
            .header("X-Request-Id", "of-this-test")
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    // The broker sends the last spans before its process ends.
    assert_eq!(broker.stop("-TERM").await.0, Some(0));
    let request = within(collected).await.unwrap();
    assert!(
        request.starts_with(b"POST /v1/traces "),
        "{}",
        String::from_utf8_lossy(&request)
    );
    let has = |bytes: &[u8]| request.windows(bytes.len()).any(|window| window == bytes);
    for text in [
        "tinistreamer",
        "request",
        "of-this-test",
        "/api/nope",
        "answered",
    ] {
        assert!(has(text.as_bytes()), "{text}");
    }
    assert!(
        has(&hex::decode(trace).unwrap()),
        "the trace that the request is of"
    );
    assert!(!has(b"hush"));
}

#[tokio::test]
async fn an_unreachable_collector_blocks_no_request() {
    let broker = broker(Kind::Memory)
        .environment("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .start()
        .await;
    broker.create("chat").await;
    assert_eq!(broker.stop("-TERM").await.0, Some(0));
}

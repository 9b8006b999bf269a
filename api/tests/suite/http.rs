//! The broker follows the rules of HTTP.

use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{Broker, Kind, broker, broker::answer, within};

async fn a_wrong_method_receives_the_allowed_ones(broker: Broker) {
    for (path, allow) in [
        ("/api/stream", "GET, HEAD, OPTIONS, POST"),
        ("/api/stream/", "GET, HEAD, OPTIONS, POST"),
        ("/api/event/add", "OPTIONS, POST"),
    ] {
        let response = broker.request(Method::PATCH, path).send().await.unwrap();
        assert_eq!(
            (
                response.status().as_u16(),
                response.headers()["allow"].to_str().unwrap()
            ),
            (405, allow)
        );
        let response = broker.request(Method::OPTIONS, path).send().await.unwrap();
        assert_eq!(
            (
                response.status().as_u16(),
                response.headers()["allow"].to_str().unwrap()
            ),
            (204, allow)
        );
    }
}

async fn broken_http_receives_json_or_nothing(broker: Broker) {
    for request in [
        "GET /api/health HTTP/1.1\r\nHost: x\r\nContent-Length: no\r\n\r\n",
        "GET /%%% HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let mut socket = tokio::net::TcpStream::connect(broker.url.trim_start_matches("http://"))
            .await
            .unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        within(socket.read_to_end(&mut bytes)).await.unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        assert!(head.is_empty() || head.starts_with("HTTP/1.1 4"), "{text}");
        assert!(
            body.is_empty() || serde_json::from_str::<serde_json::Value>(body.trim()).is_ok(),
            "{text}"
        );
    }
}

async fn an_unknown_method_receives_the_allowed_ones(broker: Broker) {
    for (path, allow) in [
        ("/api/stream", "GET, HEAD, OPTIONS, POST"),
        ("/api/stream/?a=b", "GET, HEAD, OPTIONS, POST"),
    ] {
        for method in ["PROPFIND", "QUERY", "FOO"] {
            let response = broker
                .request(Method::from_bytes(method.as_bytes()).unwrap(), path)
                .body("{}")
                .send()
                .await
                .unwrap();
            assert_eq!(
                (
                    response.status().as_u16(),
                    response.headers()["allow"].to_str().unwrap()
                ),
                (405, allow),
                "{method} {path}"
            );
            assert_eq!(
                response.json::<Value>().await.unwrap()["code"],
                "method-not-allowed"
            );
        }
    }
    let unknown = broker.request(Method::from_bytes(b"FOO").unwrap(), "/api/nope");
    assert_eq!(answer(unknown).await.0, 404);
}

/// Sends these bytes, and reads until the broker closes the connection.
async fn until_closed(broker: &Broker, bytes: &[u8]) -> Vec<u8> {
    let mut socket = tokio::net::TcpStream::connect(broker.url.trim_start_matches("http://"))
        .await
        .unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A reset also closes the connection, where bytes were left unread.
    let _ = within(socket.read_to_end(&mut answer)).await;
    answer
}

/// Rocket cannot limit the streams and the buffers of an HTTP/2 connection.
#[tokio::test]
async fn http_2_is_not_supported() {
    let broker = broker(Kind::Memory).start().await;
    // The preface of RFC 9113, section 3.4, and an empty SETTINGS frame. A server with HTTP/2 would
    // answer with its own frame and keep the connection open.
    let preface = until_closed(
        &broker,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    )
    .await;
    let text = String::from_utf8_lossy(&preface);
    assert!(
        text.is_empty() || text.starts_with("HTTP/1.1 400") || text.starts_with("HTTP/1.1 505"),
        "{text:?}"
    );
    // RFC 7540, section 3.2: an offer that a server may ignore.
    let offer = "GET /api/health HTTP/1.1\r\nHost: x\r\n\
         Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let text = String::from_utf8(until_closed(&broker, offer.as_bytes()).await).unwrap();
    assert!(
        text.starts_with("HTTP/1.1 200") && text.ends_with("OK"),
        "{text:?}"
    );
}

async fn a_request_keeps_its_request_id_or_receives_a_new_one(broker: Broker) {
    let id = async |given: Option<&str>| {
        let mut request = broker.http.get(format!("{}/api/health", broker.url));
        if let Some(given) = given {
            request = request.header("X-Request-Id", given);
        }
        request.send().await.unwrap().headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_ne!(id(None).await, id(None).await);
    assert_eq!(id(Some("from-the-proxy.1_2")).await, "from-the-proxy.1_2");
    assert_ne!(id(Some("harm ful")).await, "harm ful");
    let headers = broker
        .request(Method::GET, "/api/info")
        .send()
        .await
        .unwrap()
        .headers()
        .clone();
    assert_eq!(headers["x-content-type-options"], "nosniff");
}

on_every_store!(
    a_wrong_method_receives_the_allowed_ones,
    an_unknown_method_receives_the_allowed_ones,
    broken_http_receives_json_or_nothing,
    a_request_keeps_its_request_id_or_receives_a_new_one,
);

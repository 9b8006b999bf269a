//! The supported forms of a connection to Redis.

use std::process::{Command, Stdio};

use crate::common::{Kind, broker, redis::Redis};

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
        "an untrusted certificate is refused"
    );
    assert_eq!(redis.cli(&["-n", "0", "dbsize"]), "0");
}

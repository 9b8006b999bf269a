//! The options, as flags and as variables.

use serde_json::json;

use super::server::{Server, Subscriber, refused};
use crate::common::{broker::program, within};

/// Every option of tinysse: long, short, and its variable.
const OPTIONS: [(&str, Option<&str>, &str); 20] = [
    ("listen", Some("l"), "LISTEN"),
    ("log-level", Some("L"), "LOG_LEVEL"),
    ("keep-alive", Some("k"), "KEEP_ALIVE"),
    ("keep-alive-text", Some("K"), "KEEP_ALIVE_TEXT"),
    ("timeout", Some("t"), "TIMEOUT"),
    ("timeout-retry", Some("r"), "TIMEOUT_RETRY"),
    ("capacity", Some("c"), "CAPACITY"),
    ("script", Some("s"), "SCRIPT"),
    ("script-data", None, "SCRIPT_DATA"),
    ("script-tick", None, "SCRIPT_TICK"),
    ("unsafe-script", None, "UNSAFE_SCRIPT"),
    ("max-body-size", Some("m"), "MAX_BODY_SIZE"),
    ("pub-path", Some("P"), "PUB_PATH"),
    ("sub-path", Some("S"), "SUB_PATH"),
    ("serve-static-dir", Some("D"), "SERVE_STATIC_DIR"),
    ("serve-static-path", Some("U"), "SERVE_STATIC_PATH"),
    ("cors-allow-origin", None, "CORS_ALLOW_ORIGIN"),
    ("cors-allow-methods", None, "CORS_ALLOW_METHODS"),
    ("cors-allow-headers", None, "CORS_ALLOW_HEADERS"),
    ("cors-max-age", None, "CORS_MAX_AGE"),
];

#[tokio::test]
async fn the_help_has_every_option_and_its_variable() {
    let output = program().args(["tinysse", "--help"]).output();
    let help = String::from_utf8(within(output).await.unwrap().stdout).unwrap();
    let lines: Vec<&str> = help.lines().map(str::trim).collect();
    for (long, short, variable) in OPTIONS {
        let flag = short.map_or(String::new(), |short| format!("-{short}, "));
        let line = format!("{flag}--{long}");
        let is_here = |found: &&str| {
            let rest = found.strip_prefix(&*line);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        assert!(lines.iter().any(is_here), "{line}: {help}");
        let variable = format!("[env: TINYSSE_{variable}=]");
        assert!(help.contains(&variable), "{variable}");
    }
    assert!(help.contains("--cors-allow-credentials") && help.contains("--redis-url"));
}

#[tokio::test]
async fn variables_set_options_and_flags_win() {
    let environment = [
        ("TINYSSE_LISTEN", "127.0.0.1:0"),
        ("TINYSSE_KEEP_ALIVE", "1h"),
        ("TINYSSE_TIMEOUT", "300ms"),
        ("TINYSSE_TIMEOUT_RETRY", "7s"),
        ("TINYSSE_MAX_BODY_SIZE", "100"),
        ("TINYSSE_PUB_PATH", "/pub"),
        ("TINYSSE_SUB_PATH", "/sub"),
        ("TINYSSE_CORS_ALLOW_ORIGIN", "https://a.example"),
        ("TINYSSE_CORS_ALLOW_CREDENTIALS", "false"),
        ("TINYSSE_UNSAFE_SCRIPT", "0"),
    ];
    let server = Server::run(&["-r", "8s", "-m", "200"], &environment).await;
    let rest = Subscriber::new(server.get("/sub").await).rest().await;
    assert_eq!(rest, [": ok", ": timeout\nretry: 8000"]);
    assert_eq!(server.get("/sse").await.status(), 404);
    let post = |path: &str, bytes: usize| {
        let request = server.http.post(format!("{}{path}", server.url));
        let kind = "application/x-www-form-urlencoded";
        let body = format!("data={}", "x".repeat(bytes - 5));
        request.header("Content-Type", kind).body(body).send()
    };
    assert_eq!(within(post("/pub", 150)).await.unwrap().status(), 202);
    assert_eq!(within(post("/pub", 201)).await.unwrap().status(), 413);
    assert_eq!(within(post("/sub", 10)).await.unwrap().status(), 405);
}

#[tokio::test]
async fn the_log_has_the_level_of_the_option() {
    let server = Server::start(&["-L", "DEBUG"]).await;
    server.publish(&json!({"data": "x"})).await;
    let (_, log) = server.stop("-TERM").await;
    assert!(log.contains("DEBUG"), "{log}");
    let server = Server::start_in(&[], &[("TINYSSE_LOG_LEVEL", "error")]).await;
    let (_, log) = server.stop("-TERM").await;
    assert_eq!(log, "");
}

#[tokio::test]
async fn a_bad_value_stops_the_start_and_is_named() {
    for (arguments, named) in [
        (&["--listen", "nowhere"][..], "--listen"),
        (&["--keep-alive", "60"], "--keep-alive"),
        (&["--keep-alive-text", "a\nb"], "--keep-alive-text"),
        (&["--timeout", "5 weeks"], "--timeout"),
        (&["--capacity", "0"], "--capacity"),
        (&["--max-body-size", "big"], "--max-body-size"),
        (&["--pub-path", "sse"], "--pub-path"),
        (&["--sub-path", "/<key>"], "--sub-path"),
        (&["--log-level", "loud"], "--log-level"),
        (
            &["--serve-static-dir", "/no/such/folder"],
            "--serve-static-dir",
        ),
        (&["--cors-allow-credentials"], "--cors-allow-credentials"),
        (&["--cors-allow-methods", "G(T"], "--cors-allow-methods"),
        (&["--redis-url", "http://x"], "STREAMER_REDIS_URL"),
        (&["--unknown"], "--unknown"),
    ] {
        let arguments = [&["-l", "127.0.0.1:0"], arguments].concat();
        let arguments = if arguments.contains(&"--listen") {
            &arguments[2..]
        } else {
            &arguments
        };
        let (code, text) = refused(arguments, &[]).await;
        assert_eq!(code, 2, "{arguments:?}: {text}");
        assert!(text.contains(named), "{arguments:?}: {text}");
    }
    let (code, text) = refused(&[], &[("TINYSSE_TIMEOUT", "soon")]).await;
    assert_eq!(code, 2);
    assert!(text.contains("soon"), "{text}");
    let (code, text) = refused(&[], &[("STREAMER_MAX_CLIENTS", "0")]).await;
    assert_eq!(code, 2);
    assert!(text.contains("STREAMER_MAX_CLIENTS"), "{text}");
}

#[tokio::test]
async fn credentials_need_lists() {
    let listed = [
        "--cors-allow-origin",
        "https://a.example",
        "--cors-allow-credentials",
    ];
    let (code, text) = refused(&listed, &[]).await;
    assert_eq!(code, 2);
    assert!(text.contains("--cors-allow-headers"), "{text}");
    let all = [&listed[..], &["--cors-allow-headers", "Cookie,X-Name"]].concat();
    Server::start(&all).await;
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let server = Server::start(&[]).await;
    let address = server.url.strip_prefix("http://").unwrap();
    let (code, text) = refused(&["--listen", address], &[]).await;
    assert_eq!(code, 1);
    assert!(
        text.contains(address) && text.contains("--listen"),
        "{text}"
    );
}

//! The files of the console, as the broker serves them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use reqwest::{Response, StatusCode, header};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::common::{Broker, Kind, broker, within};

const WWW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/console/www");

async fn console(switch: &str) -> Broker {
    broker(Kind::Memory).set("CONSOLE", switch).start().await
}

async fn fetch(broker: &Broker, path: &str) -> Response {
    within(broker.http.get(format!("{}{path}", broker.url)).send())
        .await
        .expect("an answer")
}

fn field(response: &Response, name: &str) -> String {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().expect("text").to_owned())
        .unwrap_or_default()
}

/// The files below a folder, by their relative paths.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path);
        }
    }
    found
}

#[tokio::test]
async fn every_file_of_the_console_is_served_with_its_content_type() {
    let broker = console("on").await;
    let (served, kept): (BTreeSet<_>, BTreeSet<_>) = files(Path::new(WWW))
        .into_iter()
        .partition(|path| !path.to_string_lossy().ends_with(".d.ts"));
    assert!(served.len() > 30 && !kept.is_empty(), "{served:?} {kept:?}");
    for path in served {
        let name = path.strip_prefix(WWW).unwrap().to_str().unwrap();
        let response = fetch(&broker, &format!("/console/{name}")).await;
        assert_eq!(response.status(), 200, "{name}");
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript",
            Some("svg") => "image/svg+xml",
            Some("woff2") => "font/woff2",
            None => "text/plain; charset=utf-8",
            Some(other) => panic!("a file of a new kind: {other}"),
        };
        assert_eq!(field(&response, "content-type"), kind, "{name}");
        assert_eq!(
            field(&response, "x-content-type-options"),
            "nosniff",
            "{name}"
        );
        assert!(
            response.bytes().await.unwrap() == std::fs::read(&path).unwrap(),
            "{name} is served unchanged"
        );
    }
    for path in kept {
        let name = path.strip_prefix(WWW).unwrap().to_str().unwrap();
        assert_eq!(
            fetch(&broker, &format!("/console/{name}")).await.status(),
            404,
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_page_may_load_only_its_own_files_and_call_only_its_own_broker() {
    let broker = console("on").await;
    let page = fetch(&broker, "/").await;
    assert_eq!(page.status(), 200);
    assert_eq!(field(&page, "content-type"), "text/html; charset=utf-8");
    assert_eq!(
        field(&page, "content-security-policy"),
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types lit-html"
    );
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(field(&page, name), value, "{name}");
    }
    let html = page.text().await.unwrap();
    assert!(
        !html.contains("://") && !html.contains(" on") && !html.contains("style="),
        "{html}"
    );
}

#[tokio::test]
async fn a_file_is_revalidated_each_time_and_sent_only_after_a_change() {
    let broker = console("on").await;
    for path in ["/", "/console/js/app.js", "/api/docs/vendor/swagger-ui.css"] {
        let first = fetch(&broker, path).await;
        assert_eq!(field(&first, "cache-control"), "no-cache");
        let tag = field(&first, "etag");
        assert!(tag.starts_with('"') && tag.len() > 20, "{tag}");
        for (known, status) in [
            (tag.clone(), 304),
            (format!("\"x\", W/{tag}"), 304),
            ("\"x\"".to_owned(), 200),
        ] {
            let again = broker
                .http
                .get(format!("{}{path}", broker.url))
                .header(header::IF_NONE_MATCH, &known)
                .send()
                .await
                .unwrap();
            assert_eq!(again.status(), status, "{known}");
            assert_eq!(field(&again, "etag"), tag);
            assert_eq!(
                again.bytes().await.unwrap().is_empty(),
                status == 304,
                "{known}"
            );
        }
    }
}

#[tokio::test]
async fn only_the_files_of_the_console_are_served() {
    let broker = console("on").await;
    for path in [
        "/console",
        "/console/",
        "/console/js",
        "/console/js/",
        "/console/nothing.js",
        "/console/../Cargo.toml",
        "/console/../console.rs",
        "/console/%2e%2e/package.json",
        "/console/..%2fpackage.json",
        "/console/js/../../package.json",
        "/console/js/%2e%2e/%2e%2e/package.json",
        "/console/..%5cpackage.json",
        "/console//etc/passwd",
        "/console/%2fetc%2fpasswd",
        "/console/package.json",
        "/console/tsconfig.json",
        "/console/scripts/vendor.mjs",
        "/console/index.html%00.js",
    ] {
        let (status, body) = raw(&broker, path).await;
        assert!(
            status == 404 || status == 400 || status == 422,
            "{path}: {status}"
        );
        let error: Value = serde_json::from_str(&body)
            .unwrap_or_else(|_| panic!("{path} is answered with {body:?}"));
        assert!(
            error["code"].is_string() && error["message"].is_string(),
            "{path}: {body}"
        );
    }
}

#[tokio::test]
async fn a_disabled_console_is_not_found() {
    for broker in [console("off").await, broker(Kind::Memory).start().await] {
        for path in ["/", "/console/js/app.js", "/console/index.html"] {
            let response = fetch(&broker, path).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
            let error: Value = response.json().await.unwrap();
            assert_eq!(error["code"], "not-found", "{path}");
        }
    }
}

/// The status and the body for a path that a client library would normalize.
async fn raw(broker: &Broker, path: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(broker.url.trim_start_matches("http://"))
        .await
        .unwrap();
    connection
        .write_all(
            format!("GET {path} HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .await
        .unwrap();
    let mut answer = String::new();
    within(connection.read_to_string(&mut answer))
        .await
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (
        head.split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status"),
        body.to_owned(),
    )
}

//! Static files, and pages of other origins.

use reqwest::Method;

use super::server::Server;
use crate::common::within;

#[tokio::test]
async fn a_folder_is_served_without_what_is_hidden_or_outside() {
    let folder = tempfile::tempdir().unwrap();
    let public = folder.path().join("public");
    std::fs::create_dir_all(public.join("sub")).unwrap();
    for (name, text) in [
        ("index.html", "start"),
        ("sub/index.html", "sub"),
        ("a.js", "let a"),
        (".env", "hidden"),
        ("../outside.txt", "outside"),
    ] {
        std::fs::write(public.join(name), text).unwrap();
    }
    let path = public.to_str().unwrap();
    for (arguments, base) in [
        (&["--serve-static-dir", path][..], ""),
        (&["-D", path, "-U", "/files"], "/files"),
    ] {
        let server = Server::start(arguments).await;
        for (name, text) in [
            ("/", "start"),
            ("/index.html", "start"),
            ("/a.js", "let a"),
            ("/sub/", "sub"),
            ("/sub", "sub"),
        ] {
            let response = server.get(&format!("{base}{name}")).await;
            assert_eq!(response.status(), 200, "{name}");
            assert_eq!(response.text().await.unwrap(), text);
        }
        for name in [
            "/.env",
            "/none",
            "/%2e%2e/outside.txt",
            "/..%2foutside.txt",
            "/sub/..",
        ] {
            let response = server.get(&format!("{base}{name}")).await;
            let text = response.text().await.unwrap();
            assert!(
                !text.contains("hidden") && !text.contains("outside"),
                "{name}"
            );
        }
        let script = server.get(&format!("{base}/a.js")).await;
        let kind = script.headers()["content-type"].to_str().unwrap();
        assert!(kind.contains("javascript"), "{kind}");
        // The routes go before the files.
        server.subscribe().await;
    }
}

/// The headers of a response to a page of this origin, by their names without the prefix.
async fn allowed(server: &Server, method: Method, origin: Option<&str>) -> Vec<(String, String)> {
    let url = format!("{}/sse", server.url);
    let mut request = server.http.request(method, url);
    if let Some(origin) = origin {
        request = request
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST");
    }
    let response = within(request.send()).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut found: Vec<_> = response
        .headers()
        .iter()
        .filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix("access-control-")?;
            Some((name.to_owned(), value.to_str().unwrap().to_owned()))
        })
        .collect();
    found.sort_unstable();
    found
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    expected.iter().map(owned).collect()
}

#[tokio::test]
async fn pages_of_all_origins_may_read_by_default() {
    let server = Server::start(&[]).await;
    let origin = Some("https://a.example");
    let preflight = pairs(&[
        ("allow-headers", "*"),
        ("allow-methods", "GET,HEAD,POST"),
        ("allow-origin", "*"),
        ("max-age", "0"),
    ]);
    assert_eq!(allowed(&server, Method::OPTIONS, origin).await, preflight);
    let any = pairs(&[("allow-origin", "*")]);
    assert_eq!(allowed(&server, Method::HEAD, origin).await, any);
    assert_eq!(allowed(&server, Method::HEAD, None).await, any);
}

#[tokio::test]
async fn the_options_name_origins_methods_headers_and_an_age() {
    let server = Server::start(&[
        "--cors-allow-origin",
        "https://a.example,https://b.example",
        "--cors-allow-methods",
        "GET",
        "--cors-allow-headers",
        "Cookie,Authorization",
        "--cors-allow-credentials",
        "--cors-max-age",
        "1h",
    ])
    .await;
    let origin = Some("https://b.example");
    let preflight = pairs(&[
        ("allow-credentials", "true"),
        ("allow-headers", "Cookie,Authorization"),
        ("allow-methods", "GET"),
        ("allow-origin", "https://b.example"),
        ("max-age", "3600"),
    ]);
    assert_eq!(allowed(&server, Method::OPTIONS, origin).await, preflight);
    let simple = pairs(&[
        ("allow-credentials", "true"),
        ("allow-origin", "https://b.example"),
    ]);
    assert_eq!(allowed(&server, Method::HEAD, origin).await, simple);
    let other = Some("https://c.example");
    assert_eq!(allowed(&server, Method::HEAD, other).await, []);
    assert_eq!(allowed(&server, Method::HEAD, None).await, []);
}

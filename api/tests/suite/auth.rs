//! Authorization: which request a caller may make, and which secrets never appear.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::common::{
    Broker, Kind, broker,
    broker::{API_KEY, SECRET_KEY, answer},
    until,
};

const BACKEND_ROUTES: [(&str, &str); 11] = [
    ("GET", "/api/info"),
    ("GET", "/api/stream/"),
    ("POST", "/api/stream/"),
    ("POST", "/api/stream/token"),
    ("GET", "/api/stream/info?key=k"),
    ("GET", "/api/stream/events?key=k"),
    ("POST", "/api/stream/end"),
    ("POST", "/api/stream/cancel"),
    ("POST", "/api/event/add"),
    ("POST", "/api/event/add/json-stream?key=k"),
    ("GET", "/api/event/add/ws-stream?key=k"),
];

async fn code(request: RequestBuilder) -> (u16, String) {
    let (status, error) = answer(request).await;
    (
        status.as_u16(),
        error["code"].as_str().unwrap_or_default().to_owned(),
    )
}

async fn backend_routes_refuse_requests_without_the_api_key(broker: Broker) {
    for (method, path) in BACKEND_ROUTES {
        let request = || {
            broker
                .http
                .request(method.parse().unwrap(), format!("{}{path}", broker.url))
        };
        let refused = (401, "unauthorized".to_owned());
        assert_eq!(code(request()).await, refused, "{method} {path}");
        for wrong in [
            "",
            "wrong",
            &API_KEY[1..],
            &format!("{API_KEY}x"),
            SECRET_KEY,
        ] {
            assert_eq!(
                code(request().header("X-API-KEY", wrong)).await,
                refused,
                "{method} {path}"
            );
        }
    }
    assert_eq!(
        broker
            .http
            .get(format!("{}/api/health", broker.url))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "OK"
    );
    assert_eq!(
        broker
            .http
            .get(format!("{}/api/ready", broker.url))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}

async fn subscriber_routes_refuse_requests_without_a_valid_token(broker: Broker) {
    let token = broker.create("chat").await;
    let other = broker.create("other").await;
    for transport in ["sse", "ws"] {
        let url = |query: &str| {
            broker
                .http
                .get(format!("{}/api/client/{transport}{query}", broker.url))
        };
        let unauthorized = (401, "unauthorized".to_owned());
        for query in [
            "?key=chat",
            "?key=chat&token=",
            "?key=chat&token=zz",
            "?key=chat&token=00",
            "?key=chat&token=%00%ff",
            "?token=5",
        ] {
            assert_eq!(code(url(query)).await, unauthorized, "{query}");
        }
        assert_eq!(
            code(url("?key=chat").header("Authorization", "Bearer")).await,
            unauthorized
        );
        assert_eq!(
            code(url("?key=chat").header("X-API-KEY", API_KEY)).await,
            unauthorized,
            "the API key is no token"
        );
        let forged: String = token.chars().rev().collect();
        assert_eq!(
            code(url(&format!("?key=chat&token={forged}"))).await,
            unauthorized
        );
        assert_eq!(
            code(url(&format!("?key=chat&token={other}"))).await,
            (403, "forbidden".to_owned())
        );
        assert_eq!(
            code(url(&format!("?token={token}"))).await,
            (400, "missing-parameter".to_owned())
        );
        for bad in ["", "%ff", "%c3", "a%00b"] {
            assert_eq!(
                code(url(&format!("?key={bad}&token={token}"))).await,
                (400, "invalid-key".to_owned()),
                "{bad}"
            );
        }
    }
}

async fn a_token_is_accepted_in_the_header_or_the_query(broker: Broker) {
    let token = broker.create("chat").await;
    broker.end("chat").await;
    let url = format!("{}/api/client/sse?key=chat", broker.url);
    let header = |value: String| broker.http.get(&url).header("authorization", value);
    for request in [
        header(format!("Bearer {token}")),
        header(format!("bearer  {token} ")),
        header(format!("BEARER {token}")),
        broker.http.get(format!("{url}&token={token}")),
        // The broker ignores credentials that are meant for a proxy.
        broker
            .http
            .get(format!("{url}&token={token}"))
            .header("authorization", "Basic eDp5"),
    ] {
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    let bad = broker
        .http
        .get(format!("{url}&token={token}"))
        .header("authorization", "Bearer 00")
        .send()
        .await
        .unwrap();
    assert_eq!(bad.status(), 401, "the header takes precedence");
}

async fn a_connection_outlives_the_token_that_opened_it(broker: Broker) {
    broker.create("chat").await;
    let (_, access) = broker
        .post("/api/stream/token", json!({"key": "chat", "ttl": 1}))
        .await;
    let token = access["token"].as_str().unwrap();
    let mut subscriber = broker.sse("chat", token, None).await;
    subscriber.next().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    let late = broker
        .http
        .get(broker.subscribe_url("sse", "chat", token, None));
    assert_eq!(code(late).await, (401, "token-expired".to_owned()));
    broker.add_events("chat", 0, 1).await;
    assert_eq!(subscriber.next().await.unwrap().event, "n");
}

#[tokio::test]
async fn a_token_is_valid_for_its_whole_lifetime() {
    let broker = broker(Kind::Memory).start().await;
    broker.create("chat").await;
    // This runs late in a second of the clock, because tokens count whole seconds.
    until("late in a second", async || {
        chrono::Utc::now().timestamp_subsec_millis() > 900
    })
    .await;
    let (_, access) = broker
        .post("/api/stream/token", json!({"key": "chat", "ttl": 1}))
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    let mut subscriber = broker
        .sse("chat", access["token"].as_str().unwrap(), None)
        .await;
    assert_eq!(subscriber.next().await.unwrap().event, "start");
}

on_every_store!(
    backend_routes_refuse_requests_without_the_api_key,
    subscriber_routes_refuse_requests_without_a_valid_token,
    a_token_is_accepted_in_the_header_or_the_query,
    a_connection_outlives_the_token_that_opened_it,
);

#[tokio::test]
async fn keys_are_rotated_without_locking_anyone_out() {
    let old = broker(Kind::Exclusive).start().await;
    let token = old.create("chat").await;
    let environment = |name: &str, value: String| {
        let mut node = broker(Kind::Exclusive).set("KEY_PREFIX", old.prefix());
        node = node.set(name, value);
        node
    };
    let new_secret = "11".repeat(32);
    let both = environment("SECRET_KEY", format!("{new_secret}, {SECRET_KEY}"))
        .set("API_KEY", format!("a-new-api-key,{API_KEY}"))
        .start()
        .await;
    assert!(
        both.sse("chat", &token, None).await.next().await.is_some(),
        "an old token still opens"
    );
    let (_, access) = both.post("/api/stream/token", json!({"key": "chat"})).await;
    let new_token = access["token"].as_str().unwrap();
    let new_only = environment("SECRET_KEY", new_secret).start().await;
    assert!(
        new_only
            .sse("chat", new_token, None)
            .await
            .next()
            .await
            .is_some(),
        "the first key seals"
    );
    assert_eq!(
        new_only
            .http
            .get(new_only.subscribe_url("sse", "chat", &token, None))
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    let by_new_key = both
        .http
        .get(format!("{}/api/info", both.url))
        .header("X-API-KEY", "a-new-api-key")
        .send()
        .await
        .unwrap();
    assert_eq!(by_new_key.status(), 200);
}

#[tokio::test]
async fn the_log_contains_no_token_and_no_key() {
    let broker = broker(Kind::Memory).set("LOG", "trace").start().await;
    let token = broker.create("chat").await;
    broker.sse("chat", &token, None).await.next().await.unwrap();
    drop(broker.ws("chat", &token, None).await);
    for path in ["/api/client/typo", "/api/client/sse", "/api/nope"] {
        let _ = broker
            .http
            .get(format!("{}{path}?token={token}&key=chat", broker.url))
            .header("Authorization", format!("Bearer {token}"))
            .send()
            .await;
        let _ = broker
            .request(Method::DELETE, &format!("{path}?token={token}"))
            .send()
            .await;
    }
    let (code, log) = broker.stop("-TERM").await;
    assert_eq!(code, Some(0));
    assert!(
        log.contains("/api/client/typo"),
        "requests are logged: {log}"
    );
    for secret in [&token[..], API_KEY, SECRET_KEY, &token[30..60]] {
        assert!(!log.contains(secret), "a secret in the log");
    }
}

/// Proxies and log filters hide `token=`. They would show a token under a name that they do not
/// know.
#[tokio::test]
async fn the_query_accepts_a_token_under_one_name_only() {
    let broker = broker(Kind::Memory).start().await;
    let token = broker.create("chat").await;
    let poll = async |name: &str| {
        code(broker.http.get(format!(
            "{}/api/client/poll?key=chat&{name}={token}",
            broker.url
        )))
        .await
        .0
    };
    assert_eq!(poll("token").await, 200);
    for name in [
        "token[]",
        "token[0]",
        "token.x",
        "token.",
        "token%5B%5D",
        "token%2Ex",
        "%74oken",
        "Token",
    ] {
        assert_eq!(poll(name).await, 401, "{name}");
    }
    for name in ["producer", "sequence"] {
        let path = format!("/api/event/add/json-stream?key=chat&{name}[]=no+good");
        assert_eq!(
            broker
                .request(Method::POST, &path)
                .body("")
                .send()
                .await
                .unwrap()
                .status(),
            200,
            "{name} has only one name, too"
        );
    }
    let key = broker.http.get(format!(
        "{}/api/client/poll?key[]=chat&token={token}",
        broker.url
    ));
    assert_eq!(code(key).await, (400, "missing-parameter".to_owned()));
}

//! Tokens for several streams, for prefixes, and for streams that do not exist yet: what they open,
//! and what they do not.

use serde_json::{Value, json};

use crate::common::{
    Broker, Kind, broker,
    broker::{SECRET_KEY, answer},
};

/// Issues a token.
async fn issue(broker: &Broker, wanted: Value) -> Value {
    let (status, access) = broker.post("/api/stream/token", wanted).await;
    assert_eq!(status, 200, "{access}");
    access
}

fn token(access: &Value) -> &str {
    access["token"].as_str().unwrap()
}

/// Whether the token opens the stream at this key, over every transport.
async fn opens(broker: &Broker, token: &str, key: &str) -> bool {
    let sse = broker
        .http
        .get(broker.subscribe_url("sse", key, token, None))
        .send()
        .await
        .unwrap();
    let ws = broker.http.get(
        broker
            .subscribe_url("sse", key, token, None)
            .replace("/client/sse?", "/client/ws?"),
    );
    let (_, ws) = answer(ws).await;
    // Without a handshake the response only shows whether the broker would accept one.
    match (sse.status().as_u16(), ws["code"].as_str().unwrap()) {
        (200, "upgrade-required") => true,
        (403, "forbidden") => {
            let refusal: Value = serde_json::from_str(&sse.text().await.unwrap()).unwrap();
            assert!(
                refusal["message"]
                    .as_str()
                    .unwrap()
                    .contains(&format!("{key:?}")),
                "{refusal} names {key:?}"
            );
            false
        }
        other => panic!("{key:?}: {other:?}"),
    }
}

async fn replace(broker: &Broker, key: &str) {
    broker.end(key).await;
    broker.create(key).await;
}

async fn a_token_for_a_list_opens_only_its_streams(broker: Broker) {
    for key in ["a", "b/é&", "ab", "A", "c"] {
        broker.create(key).await;
    }
    let access = issue(&broker, json!({"keys": ["b/é&", "a", "b/é&"], "ttl": 60})).await;
    let query = "?key=b%2F%C3%A9%26&key=a";
    for (url, path) in [("sse_url", "/api/client/sse"), ("ws_url", "/api/client/ws")] {
        let url = access[url].as_str().unwrap();
        assert!(url.ends_with(&format!("{path}{query}")), "{url}");
    }
    for key in ["a", "b/é&"] {
        assert!(opens(&broker, token(&access), key).await, "{key}");
    }
    for key in ["ab", "A", "c"] {
        assert!(!opens(&broker, token(&access), key).await, "{key}");
    }
    replace(&broker, "a").await;
    assert!(
        !opens(&broker, token(&access), "a").await,
        "another stream replaced it"
    );
    assert!(opens(&broker, token(&access), "b/é&").await);
}

async fn a_token_for_a_prefix_opens_every_current_and_future_stream_with_it(broker: Broker) {
    for key in ["chat:1", "chat", "Chat:1", "xchat:1", "chat;1"] {
        broker.create(key).await;
    }
    let access = issue(&broker, json!({"prefix": "chat:"})).await;
    for (url, path) in [("sse_url", "/api/client/sse"), ("ws_url", "/api/client/ws")] {
        assert!(access[url].as_str().unwrap().ends_with(path), "{access}");
    }
    for key in ["chat:2", "chat:"] {
        broker.create(key).await;
    }
    for key in ["chat:1", "chat:2", "chat:"] {
        assert!(opens(&broker, token(&access), key).await, "{key}");
    }
    for key in ["chat", "Chat:1", "xchat:1", "chat;1"] {
        assert!(!opens(&broker, token(&access), key).await, "{key}");
    }
    replace(&broker, "chat:1").await;
    assert!(
        opens(&broker, token(&access), "chat:1").await,
        "any existing stream"
    );
}

async fn a_wait_token_opens_missing_streams_by_key_and_existing_ones_only_until_replaced(
    broker: Broker,
) {
    broker.create("there").await;
    let wanted = |wait: bool| json!({"keys": ["there", "later", "never"], "wait": wait});
    let (status, error) = broker.post("/api/stream/token", wanted(false)).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (404, &json!("no-active-stream"))
    );
    assert!(
        error["message"].as_str().unwrap().contains(r#""later""#),
        "{error} names the first"
    );
    let list = issue(&broker, wanted(true)).await;
    let one = issue(&broker, json!({"key": "later", "wait": true})).await;
    broker.create("later").await;
    for access in [&list, &one] {
        assert!(opens(&broker, token(access), "later").await);
    }
    assert!(!opens(&broker, token(&one), "there").await);
    replace(&broker, "later").await;
    assert!(
        opens(&broker, token(&list), "later").await,
        "any stream that is created later"
    );
    replace(&broker, "there").await;
    assert!(
        !opens(&broker, token(&list), "there").await,
        "the token is bound to the stream that existed"
    );
}

on_every_store!(
    a_token_for_a_list_opens_only_its_streams,
    a_token_for_a_prefix_opens_every_current_and_future_stream_with_it,
    a_wait_token_opens_missing_streams_by_key_and_existing_ones_only_until_replaced,
);

#[tokio::test]
async fn a_token_for_one_stream_is_readable_by_the_previous_version() {
    let broker = broker(Kind::Memory).start().await;
    let started = broker.create("a").await;
    broker.create("b").await;
    let version = async |wanted: Value| token(&issue(&broker, wanted).await)[..2].to_owned();
    assert_eq!(
        (&started[..2], version(json!({"key": "a"})).await.as_str()),
        ("01", "01")
    );
    assert_eq!(
        version(json!({"key": "a", "wait": true})).await,
        "01",
        "it exists"
    );
    for wanted in [
        json!({"keys": ["a", "b"]}),
        json!({"key": "c", "wait": true}),
        json!({"prefix": "a"}),
    ] {
        assert_eq!(version(wanted.clone()).await, "02", "{wanted}");
    }
}

#[tokio::test]
async fn an_impossible_token_request_is_refused_with_its_reason() {
    let broker = broker(Kind::Memory)
        .set("MAX_KEYS_PER_CLIENT", 20)
        .start()
        .await;
    broker.create("a").await;
    let long = |count: usize| (0..count).map(|n| format!("{n:0>256}")).collect::<Vec<_>>();
    let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    for (wanted, code, expected) in [
        (
            json!({}),
            "invalid-request",
            "exactly one of key, keys and prefix",
        ),
        (
            json!({"key": "a", "keys": ["a"]}),
            "invalid-request",
            "exactly one",
        ),
        (
            json!({"key": "a", "prefix": "a"}),
            "invalid-request",
            "exactly one",
        ),
        (
            json!({"keys": ["a"], "prefix": "a"}),
            "invalid-request",
            "exactly one",
        ),
        (json!({"keys": []}), "invalid-request", "keys"),
        (json!({"keys": "a"}), "invalid-request", "keys"),
        (json!({"keys": ["a", "\u{0}"]}), "invalid-key", "256 bytes"),
        (
            json!({"keys": many(21), "wait": true}),
            "invalid-request",
            "more than 20",
        ),
        (
            json!({"keys": long(12), "wait": true}),
            "invalid-request",
            "a prefix",
        ),
        (
            json!({"prefix": ""}),
            "invalid-request",
            "prefix is 1 to 256",
        ),
        (
            json!({"prefix": "x".repeat(257)}),
            "invalid-request",
            "prefix is 1 to 256",
        ),
        (
            json!({"prefix": "a\n"}),
            "invalid-request",
            "prefix is 1 to 256",
        ),
        (
            json!({"key": "a", "wait": "yes"}),
            "invalid-request",
            "wait",
        ),
        (json!({"prefix": "a", "ttl": 0}), "invalid-request", "ttl"),
    ] {
        let (status, error) = broker.post("/api/stream/token", wanted.clone()).await;
        assert_eq!(
            (status.as_u16(), error["code"].as_str().unwrap()),
            (400, code),
            "{wanted}"
        );
        assert!(
            error["message"].as_str().unwrap().contains(expected),
            "{error} contains {expected:?}"
        );
    }
    let twice = [many(20), many(20)].concat();
    let longest = "é".repeat(128);
    for wanted in [
        json!({"keys": twice, "wait": true}),
        json!({"keys": long(11), "wait": true}),
        json!({"prefix": longest}),
    ] {
        issue(&broker, wanted).await;
    }
}

#[tokio::test]
async fn key_rotation_works_for_every_kind_of_token() {
    let old = broker(Kind::Exclusive).start().await;
    let node = async |secrets: String| {
        broker(Kind::Exclusive)
            .set("KEY_PREFIX", old.prefix())
            .set("SECRET_KEY", secrets)
            .start()
            .await
    };
    old.create("a").await;
    old.create("b").await;
    let new_secret = "11".repeat(32);
    let (both, new_only) = (
        node(format!("{new_secret},{SECRET_KEY}")).await,
        node(new_secret).await,
    );
    for wanted in [
        json!({"key": "a"}),
        json!({"keys": ["a", "b"]}),
        json!({"prefix": "a"}),
    ] {
        let of_old = issue(&old, wanted.clone()).await;
        assert!(opens(&both, token(&of_old), "a").await, "{wanted}");
        let refused = new_only
            .http
            .get(new_only.subscribe_url("sse", "a", token(&of_old), None))
            .send()
            .await
            .unwrap();
        assert_eq!(refused.status(), 401, "{wanted}");
        let of_both = issue(&both, wanted.clone()).await;
        assert!(opens(&new_only, token(&of_both), "a").await, "{wanted}");
    }
}

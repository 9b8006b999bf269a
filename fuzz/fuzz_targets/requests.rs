//! Paths, queries, headers and bodies, on the whole broker with the embedded store: no request
//! makes it fail, and every refusal is a documented one.
//!
//! Input: a line with the path and the query, a line with `Last-Event-ID`, and the body. With a
//! body the request is a POST.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use rocket::{
    figment::Figment,
    http::{Header, Method, Status},
    local::asynchronous::Client,
};
use serde_json::{Value, json};
use tinistreamer::{
    config::Settings, http::error::ErrorCode, lifecycle::Lifecycle, server,
    store::memory::MemoryStore, telemetry::metrics::Metrics,
};
use tokio::runtime::Runtime;

const API_KEY: &str = "key-of-the-fuzzer";

struct Broker {
    runtime: Runtime,
    client: Client,
    token: String,
}

static BROKER: LazyLock<Broker> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let settings = [
        ("STREAMER_API_KEY", API_KEY.to_owned()),
        ("STREAMER_SECRET_KEY", "5a".repeat(32)),
    ];
    let settings = Settings::load(
        &Figment::new(),
        settings.map(|(name, value)| (name.to_owned(), value)),
    )
    .expect("good settings");
    let (client, token) = runtime.block_on(async {
        let metrics = Metrics::new(None, settings.max_clients);
        let store = Arc::new(MemoryStore::new(Arc::clone(&metrics)));
        let rocket = server(
            rocket::Config::figment(),
            settings,
            store,
            metrics,
            Lifecycle::default(),
        );
        let client = Client::untracked(rocket).await.expect("a broker");
        let create = client
            .post("/api/stream")
            .header(Header::new("X-API-KEY", API_KEY));
        let access: Value = create
            .body(json!({"key": "k", "ttl": 604_800}).to_string())
            .dispatch()
            .await
            .into_json()
            .await
            .expect("a stream");
        (
            client,
            access["token"].as_str().expect("a token").to_owned(),
        )
    });
    Broker {
        runtime,
        client,
        token,
    }
});

fuzz_target!(|input: &str| {
    let mut parts = input.splitn(3, '\n');
    let (Some(uri), Some(last_event_id), body) =
        (parts.next(), parts.next(), parts.next().unwrap_or_default())
    else {
        return;
    };
    // The stream must stay, and other streams must not fill the memory.
    if ["/stream?", "/stream/?", "/stream/end", "/stream/cancel"]
        .iter()
        .any(|path| format!("{uri}?").contains(path))
        && !body.is_empty()
    {
        return;
    }
    // A poll without events waits.
    if uri.contains("poll") && !uri.contains("wait=0") {
        return;
    }
    let Broker {
        runtime,
        client,
        token,
    } = &*BROKER;
    runtime.block_on(async {
        let request = client
            .req(
                if body.is_empty() {
                    Method::Get
                } else {
                    Method::Post
                },
                uri,
            )
            .body(body);
        let request = request
            .header(Header::new("X-API-KEY", API_KEY))
            .header(Header::new("Authorization", format!("Bearer {token}")));
        let response = request
            .header(Header::new("Last-Event-ID", last_event_id.to_owned()))
            .dispatch()
            .await;
        let status = response.status();
        assert_ne!(status, Status::InternalServerError);
        if status.code < 400 {
            return;
        }
        let error: Value = response.into_json().await.expect("an error in JSON");
        let is_known =
            |code: &&ErrorCode| code.as_str() == error["code"] && code.status() == status;
        assert!(
            ErrorCode::ALL.iter().find(is_known).is_some(),
            "{status}: {error}"
        );
    });
});

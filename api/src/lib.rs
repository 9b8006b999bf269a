//! A stateless HTTP streaming broker on Redis Streams.
//!
//! # Layout
//!
//! Dependencies run one way, from the top of this list to its end; nothing knows what is above it.
//!
//! - `main.rs`: command line, settings problems, runtime, exit code; `serve.rs`: signals, and the
//!   order in which things begin and end.
//! - [`server`], here: puts the rooms together.
//! - [`routes`]: the HTTP interface, one file per noun: `streams`, `ingest`, `subscribe`, `health`.
//! - [`auth`]: API keys, client tokens, and the guards that ask for them.
//! - [`census`]: nodes tell each other how many clients they have.
//! - [`feed`]: a tail on its way to one client; the slots, and who has them.
//! - [`wire`]: server-sent events, JSON, NDJSON: bytes only.
//! - [`store`]: where streams live: the contract, the embedded store that reads as the
//!   specification, and Redis.
//! - [`event`]: keys, ids, events, entries, filters of them: valid by construction.
//! - Leaves, which anybody may use: [`config`], [`error`], `methods.rs`, [`lifecycle`],
//!   [`metrics`].
//! - Around all requests: [`requests`] (whose spans `otlp.rs` exports, with the feature of that
//!   name), [`cors`], [`logging`], [`openapi`].
//! - For people: [`console`], which is served and uses the HTTP interface like anybody else.

use std::net::SocketAddr;

use rocket::{
    Build, Data, Request, Rocket, async_trait,
    config::{Config, LogLevel, Shutdown},
    fairing::{AdHoc, Fairing, Info, Kind},
    figment::{Figment, value::Value},
    http::uri::Origin,
};

use crate::{
    auth::{api_key::ApiKeys, client_token::TokenRing},
    config::{MetricsAt, Settings},
    lifecycle::Lifecycle,
    session::{Limits, Registry},
    store::SharedStore,
    telemetry::metrics::SharedMetrics,
};

pub mod auth;
mod bounded;
pub mod codec;
pub mod config;
pub mod http;
pub mod lifecycle;
pub mod presence;
pub mod session;
pub mod store;
pub mod stream;
pub mod telemetry;

/// The broker, ready to be launched. `base` is Rocket's own configuration, of which address, port,
/// log and shutdown are ours to set.
#[must_use]
pub fn server(
    base: Figment,
    settings: Settings,
    store: SharedStore,
    metrics: SharedMetrics,
    lifecycle: Lifecycle,
) -> Rocket<Build> {
    let grace = u32::try_from(settings.shutdown_grace.as_secs()).unwrap_or(u32::MAX);
    // Signals are handled by `main`, which knows the order in which things end.
    let shutdown = Shutdown {
        ctrlc: false,
        signals: std::collections::HashSet::new(),
        grace,
        mercy: 1,
        ..Shutdown::default()
    };
    let figment = base
        .merge(("address", settings.address))
        .merge(("port", settings.port))
        // Rocket logs queries, and with them tokens.
        .merge(("log_level", LogLevel::Off))
        // Rocket's default is to believe a header that anybody can send.
        .merge((
            "ip_header",
            settings
                .client_ip_header
                .clone()
                .map_or(Value::from(false), Value::from),
        ))
        .merge(("ident", "tinistreamer"))
        .merge(("shutdown", shutdown));
    let Settings {
        max_clients: node,
        max_clients_per_stream: per_stream,
        max_clients_per_address: per_address,
        ..
    } = settings;
    let limits = Limits {
        node,
        per_stream,
        per_address,
    };
    let registry = Registry::new(limits, metrics.streams.followed.clone(), lifecycle.clone());
    let presence = (
        registry.counts(),
        SharedStore::clone(&store),
        lifecycle.clone(),
    );
    let console = if settings.console {
        http::console::routes()
    } else {
        Vec::new()
    };
    rocket::custom(figment)
        .attach(OneSpelling)
        .attach(http::cors::Cors::new(settings.allowed_origins.clone()))
        .attach(AdHoc::on_liftoff("presence", |_| {
            let (counts, store, lifecycle) = presence;
            tokio::spawn(presence::run(counts, store, lifecycle));
            Box::pin(std::future::ready(()))
        }))
        .attach(http::request_log::RequestWatch)
        .register("/", rocket::catchers![http::error::catcher])
        .mount("/api", http::request_log::in_spans(http::routes::all()))
        .mount("/", http::openapi::routes())
        .mount("/", console)
        .mount(
            "/",
            if settings.metrics == MetricsAt::Broker {
                http::admin::metrics::routes()
            } else {
                Vec::new()
            },
        )
        .manage(ApiKeys::new(settings.api_keys.clone()))
        .manage(TokenRing::new(&settings.secret_keys))
        .manage(store::quota::Quotas::new(settings.max_streams_per_key))
        .manage(http::response::AnswerLimit::default())
        .manage(registry)
        .manage(lifecycle)
        .manage(metrics)
        .manage(store)
        .manage(settings)
}

/// A server of `/metrics` and of nothing else, at an address of its own.
#[must_use]
pub fn metrics_server(
    address: SocketAddr,
    store: SharedStore,
    metrics: SharedMetrics,
) -> Rocket<Build> {
    // It is there until the process ends, so that the end can be watched too.
    let shutdown = Shutdown {
        ctrlc: false,
        signals: std::collections::HashSet::new(),
        ..Shutdown::default()
    };
    let config = Config {
        address: address.ip(),
        port: address.port(),
        log_level: LogLevel::Off,
        shutdown,
        ..Config::release_default()
    };
    rocket::custom(config)
        .register("/", rocket::catchers![http::error::catcher])
        .mount("/", http::admin::metrics::routes())
        .manage(store)
        .manage(metrics)
}

/// Makes `/api/stream/` the same path as `/api/stream`.
struct OneSpelling;

#[async_trait]
impl Fairing for OneSpelling {
    fn info(&self) -> Info {
        Info {
            name: "one spelling of every path",
            kind: Kind::Request,
        }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        let uri = request.uri();
        let Some(path) = uri
            .path()
            .as_str()
            .strip_suffix('/')
            .filter(|path| path.starts_with("/api/") && *path != "/api/docs")
        else {
            return;
        };
        let respelled = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        if let Ok(uri) = Origin::parse_owned(respelled) {
            request.set_uri(uri);
        }
    }
}

//! The servers: Rocket, with the parts of the broker that its routes need.

use std::{net::SocketAddr, sync::Arc};

use rocket::{
    Build, Data, Request, Rocket, Route, async_trait,
    config::{Config, LogLevel, Shutdown},
    fairing::{AdHoc, Fairing, Info, Kind},
    figment::{Figment, value::Value},
    http::uri::Origin,
};

use super::{
    admin, console, cors::Cors, error_catcher::catcher, large_response::LargeResponseLimit,
    openapi, request_log, routes, signals::producer_limit::ProducerLimit,
};
use crate::{
    auth::{api_key::ApiKeys, client_token::TokenRing},
    config::{MetricsAt, Settings},
    hooks::SharedHooks,
    lifecycle::Lifecycle,
    presence::{self, SubscriberCounts},
    session::{Limits, Registry},
    store::{SharedStore, quota::Quotas},
    sweep,
    telemetry::metrics::SharedMetrics,
};

/// Builds the broker's server. The caller launches it.
///
/// `base` is Rocket's own configuration. This function sets its address, port, log and shutdown.
/// `counts` are the node's subscribers, which the server counts. `hooks` are those of a script, if
/// there is one.
#[must_use]
pub fn server(
    base: Figment,
    settings: Settings,
    store: SharedStore,
    metrics: SharedMetrics,
    lifecycle: Lifecycle,
    counts: Arc<SubscriberCounts>,
    hooks: Option<SharedHooks>,
) -> Rocket<Build> {
    let registry = Registry::new(limits(&settings), counts, lifecycle.clone());
    let presence = (
        registry.counts(),
        SharedStore::clone(&store),
        lifecycle.clone(),
    );
    let sweep = (
        SharedStore::clone(&store),
        SharedMetrics::clone(&metrics),
        lifecycle.clone(),
    );
    let rocket = rocket::custom(configure(base, &settings))
        .attach(TrailingSlash)
        .attach(Cors::new(settings.allowed_origins.clone()))
        .attach(AdHoc::on_liftoff("presence", |_| {
            let (counts, store, lifecycle) = presence;
            tokio::spawn(presence::run(counts, store, lifecycle));
            Box::pin(std::future::ready(()))
        }))
        .attach(AdHoc::on_liftoff("sweep", |_| {
            let (store, metrics, lifecycle) = sweep;
            tokio::spawn(sweep::run(store, metrics, lifecycle));
            Box::pin(std::future::ready(()))
        }))
        .attach(request_log::RequestLog)
        .register("/", rocket::catchers![catcher])
        .mount("/api", request_log::in_spans(routes::all()))
        .mount("/", other_routes(&settings))
        .manage(ApiKeys::new(settings.api_keys.clone()))
        .manage(TokenRing::new(&settings.secret_keys))
        .manage(Quotas::new(settings.max_streams_per_key))
        .manage(LargeResponseLimit::default())
        .manage(ProducerLimit::new(settings.max_producers, &metrics))
        .manage(registry)
        .manage(lifecycle)
        .manage(metrics)
        .manage(store)
        .manage(settings);
    match hooks {
        Some(hooks) => rocket.manage(hooks),
        None => rocket,
    }
}

/// Builds the server of `/metrics` alone, which listens at an address of its own.
#[must_use]
pub fn metrics_server(
    address: SocketAddr,
    store: SharedStore,
    metrics: SharedMetrics,
) -> Rocket<Build> {
    let config = Config {
        address: address.ip(),
        port: address.port(),
        log_level: LogLevel::Off,
        // It serves until the process exits, so that operators can watch the shutdown too.
        shutdown: without_signals(),
        ..Config::release_default()
    };
    rocket::custom(config)
        .register("/", rocket::catchers![catcher])
        .mount("/", admin::metrics::routes())
        .manage(store)
        .manage(metrics)
}

/// Rocket's configuration with the broker's settings.
pub(super) fn configure(base: Figment, settings: &Settings) -> Figment {
    let shutdown = Shutdown {
        grace: u32::try_from(settings.shutdown_grace.as_secs()).unwrap_or(u32::MAX),
        mercy: 1,
        ..without_signals()
    };
    let ip_header = settings
        .client_ip_header
        .clone()
        .map_or(Value::from(false), Value::from);
    base.merge(("address", settings.address))
        .merge(("port", settings.port))
        // Rocket logs queries, and queries hold tokens.
        .merge(("log_level", LogLevel::Off))
        // Rocket trusts the header X-Real-IP by default, which anybody can send.
        .merge(("ip_header", ip_header))
        .merge(("ident", "tinistreamer"))
        .merge(("shutdown", shutdown))
}

/// A shutdown that Rocket does not start by itself. `serve.rs` handles the signals: it knows in
/// which order the parts stop.
fn without_signals() -> Shutdown {
    Shutdown {
        ctrlc: false,
        #[cfg(unix)]
        signals: std::collections::HashSet::new(),
        ..Shutdown::default()
    }
}

/// The limits of a node's sessions.
pub(super) fn limits(settings: &Settings) -> Limits {
    Limits {
        node: settings.max_clients,
        per_stream: settings.max_clients_per_stream,
        per_address: settings.max_clients_per_address,
    }
}

/// The routes that are not in the OpenAPI document: its own routes, and optional ones.
fn other_routes(settings: &Settings) -> Vec<Route> {
    let mut routes = openapi::routes();
    if settings.console {
        routes.extend(console::routes());
    }
    if settings.metrics == MetricsAt::Broker {
        routes.extend(admin::metrics::routes());
    }
    routes
}

/// Makes `/api/stream/` the same path as `/api/stream`.
struct TrailingSlash;

#[async_trait]
impl Fairing for TrailingSlash {
    fn info(&self) -> Info {
        Info {
            name: "trailing slash",
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
        let without_slash = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        if let Ok(uri) = Origin::parse_owned(without_slash) {
            request.set_uri(uri);
        }
    }
}

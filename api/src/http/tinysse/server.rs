//! The server: Rocket, with the two routes and static files.

use std::sync::Arc;

use rocket::{
    Build, Rocket, Route,
    fairing::AdHoc,
    figment::Figment,
    fs::{FileServer, Options},
    http::Method,
};

use super::{
    cors::TinysseCors,
    error::catcher,
    node::Node,
    options::TinysseOptions,
    publish::Publish,
    stream::{KEY, MessageStream},
    subscribe::{Subscribe, SubscribeHead},
};
use crate::{
    config::{MetricsAt, Settings},
    hooks::SharedHooks,
    http::{admin, request_log, server},
    lifecycle::Lifecycle,
    presence::{self, SubscriberCounts},
    session::Registry,
    store::SharedStore,
    stream::InvalidKey,
    telemetry::metrics::SharedMetrics,
};

/// The parts of the process that a server uses.
pub struct Parts {
    /// The settings that are not tinysse's.
    pub settings: Settings,
    /// Where the messages are.
    pub store: SharedStore,
    /// The metrics of the process.
    pub metrics: SharedMetrics,
    /// The state of the process.
    pub lifecycle: Lifecycle,
    /// The subscribers of this node, which the server counts.
    pub counts: Arc<SubscriberCounts>,
    /// The hooks of the script, if there is one.
    pub hooks: Option<SharedHooks>,
}

/// Builds the server with tinysse's interface. The caller launches it.
///
/// `base` is Rocket's own configuration. This function sets its address, port, log and shutdown.
/// The folder of static files must exist.
pub fn tinysse_server(
    base: Figment,
    options: TinysseOptions,
    parts: Parts,
) -> Result<Rocket<Build>, InvalidKey> {
    let Parts {
        settings,
        store,
        metrics,
        lifecycle,
        counts,
        hooks,
    } = parts;
    let registry = Registry::new(server::limits(&settings), counts, lifecycle.clone());
    let stream = MessageStream::new(SharedStore::clone(&store), KEY.parse()?, options.capacity);
    let stream = Arc::new(stream);
    let (counts, shared_store) = (registry.counts(), SharedStore::clone(&store));
    let (kept, shared_lifecycle) = (Arc::clone(&stream), lifecycle.clone());
    let node = Arc::new(Node {
        options,
        settings: settings.clone(),
        stream,
        registry,
        hooks,
        lifecycle: lifecycle.clone(),
        metrics: SharedMetrics::clone(&metrics),
    });
    let mut rocket = rocket::custom(server::configure(base, &settings))
        .attach(TinysseCors(node.options.cors.clone()))
        .attach(AdHoc::on_liftoff("stream", move |_| {
            let lifecycle = shared_lifecycle;
            tokio::spawn(kept.keep(lifecycle.clone()));
            tokio::spawn(presence::run(counts, shared_store, lifecycle));
            Box::pin(std::future::ready(()))
        }))
        .attach(request_log::RequestLog)
        .register("/", rocket::catchers![catcher])
        .mount("/", request_log::in_spans(routes(&node)));
    if let Some(files) = &node.options.static_files {
        // No dotfiles: a folder that is served often has a `.git` or an `.env`.
        let server = FileServer::new(&files.folder, Options::Index | Options::NormalizeDirs);
        rocket = rocket.mount(files.path.as_str(), server);
    }
    if settings.metrics == MetricsAt::Broker {
        rocket = rocket.mount("/", admin::metrics::routes());
    }
    Ok(rocket
        .manage(lifecycle)
        .manage(metrics)
        .manage(store)
        .manage(settings))
}

fn routes(node: &Arc<Node>) -> Vec<Route> {
    let publish = Publish(Arc::clone(node));
    let subscribe = Subscribe(Arc::clone(node));
    let (pub_path, sub_path) = (&node.options.pub_path, &node.options.sub_path);
    vec![
        Route::new(Method::Post, pub_path.as_str(), publish),
        Route::new(Method::Get, sub_path.as_str(), subscribe),
        Route::new(Method::Head, sub_path.as_str(), SubscribeHead),
    ]
}

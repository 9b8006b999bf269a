//! Serving, from the first connection to the orderly end.

use std::{io, net::SocketAddr, time::Duration};

use rocket::fairing::AdHoc;
use tinistreamer::{
    config::MetricsAt,
    lifecycle::Lifecycle,
    metrics_server, server,
    store::SharedStore,
    telemetry::{
        log,
        metrics::{Metrics, SharedMetrics},
    },
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::{Failure, Setup, print, store};

/// Share of the grace period in which a node that stops still listens, unless it has nothing left
/// to do.
const LISTENING_SHARE: f64 = 0.1;

/// Serves until SIGTERM or SIGINT, then ends in order: it is not ready any more and takes no more
/// clients, long-lived connections are closed over the grace period, the listener closes, what runs
/// is finished. A second signal ends it at once.
pub(crate) async fn serve(setup: Setup) -> Result<(), Failure> {
    let Setup {
        rocket,
        settings,
        throw_away,
        warnings,
    } = setup;
    let log = log::init(&settings.log, settings.log_format)?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let metrics = Metrics::new(settings.redis_delivery(), settings.max_clients);
    let store = store(&settings, SharedMetrics::clone(&metrics))?;
    // The store logs what is wrong, now and whenever it changes.
    let _ = store.ready().await;
    let (lifecycle, grace) = (Lifecycle::default(), settings.shutdown_grace);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let metrics_address = match settings.metrics {
        MetricsAt::Address(address) => Some(
            serve_metrics(
                address,
                SharedStore::clone(&store),
                SharedMetrics::clone(&metrics),
            )
            .await?,
        ),
        MetricsAt::Broker | MetricsAt::Nowhere => None,
    };

    let (about, console) = (format!("{} store", store.name()), settings.console);
    let greeting = AdHoc::on_liftoff("greeting", move |rocket| {
        let address = SocketAddr::new(rocket.config().address, rocket.config().port);
        Box::pin(async move { greet(address, &about, console, metrics_address, &throw_away) })
    });
    let rocket = server(rocket, settings, store, metrics, lifecycle.clone())
        .attach(greeting)
        .ignite()
        .await;
    let rocket = rocket.map_err(|error| Failure::Launch(error.kind().to_string()))?;
    let shutdown = rocket.shutdown();
    let wanted = SocketAddr::new(rocket.config().address, rocket.config().port);
    let mut launch = tokio::spawn(rocket.launch());

    tokio::select! {
        ended = &mut launch => return match ended {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Failure::Launch(launch_problem(&error, wanted, "STREAMER_PORT or STREAMER_ADDRESS"))),
            Err(error) => Err(Failure::Launch(error.to_string())),
        },
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(
        grace_seconds = grace.as_secs(),
        "stopping; a second signal ends it at once"
    );
    lifecycle.close(grace);
    let in_order = async {
        // Whoever asks whether the node is ready is told that it is not, rather than that nobody
        // listens.
        let _ = tokio::time::timeout(grace.mul_f64(LISTENING_SHARE), lifecycle.idle()).await;
        shutdown.notify();
        lifecycle.idle().await;
        // The last bytes are with the connections' own tasks by now; this is for those to hand them
        // to the system.
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    tokio::select! {
        () = in_order => tracing::info!("stopped; nothing was left open"),
        () = tokio::time::sleep(grace) => tracing::warn!("stopped; some connections did not close in time"),
        _ = terminate.recv() => tracing::warn!("stopped at once"),
        _ = interrupt.recv() => tracing::warn!("stopped at once"),
    }
    log.flush();
    // What is left, stalled clients for the most part, ends with the process.
    std::process::exit(0)
}

/// Serves the metrics at an address of their own, from now on until the process ends; returns when
/// they can be read, and where.
async fn serve_metrics(
    address: SocketAddr,
    store: SharedStore,
    metrics: SharedMetrics,
) -> Result<SocketAddr, Failure> {
    let (bound, is_bound) = oneshot::channel();
    let tell = AdHoc::on_liftoff("metrics address", move |rocket| {
        let address = SocketAddr::new(rocket.config().address, rocket.config().port);
        // Nobody waits any more when the start has failed.
        let _ = bound.send(address);
        Box::pin(std::future::ready(()))
    });
    let launch = tokio::spawn(
        metrics_server(address, store, metrics)
            .attach(tell)
            .launch(),
    );
    if let Ok(address) = is_bound.await {
        return Ok(address);
    }
    let reason = match launch.await {
        Ok(Ok(_)) => "the server ended".to_owned(),
        Ok(Err(error)) => launch_problem(&error, address, "STREAMER_METRICS"),
        Err(error) => error.to_string(),
    };
    Err(Failure::Metrics(reason))
}

/// Why the server can't listen at this address, and which settings give it another. Rocket's error
/// panics when it is dropped unseen; its `Display` counts as seeing it.
fn launch_problem(error: &rocket::Error, address: SocketAddr, settings: &str) -> String {
    let error = match error.kind() {
        rocket::error::ErrorKind::Bind(error) | rocket::error::ErrorKind::Io(error) => error,
        kind => return kind.to_string(),
    };
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "this user may not listen there; ports below 1024 need a right of their own".to_owned()
        }
        _ => error.to_string(),
    };
    format!("the address {address} can't be used: {reason}. Choose another with {settings}")
}

fn greet(
    address: SocketAddr,
    about: &str,
    console: bool,
    metrics: Option<SocketAddr>,
    throw_away: &[(&str, String)],
) {
    let mut text = format!(
        "tinistreamer {} listens on http://{address} ({about})\n",
        env!("CARGO_PKG_VERSION")
    );
    if console {
        text.push_str("Open that address in a browser for the console; it asks for the API key\n");
    }
    text.extend(metrics.map(|address| format!("Metrics are at http://{address}/metrics\n")));
    if !throw_away.is_empty() {
        text.push_str("\nKeys for this run only, as none were set; `tinistreamer keygen` makes some to keep:\n\n");
        text.extend(
            throw_away
                .iter()
                .map(|(name, key)| format!("export {name}={key}\n")),
        );
        text.push('\n');
    }
    if let Err(failure) = print(&text) {
        tracing::debug!(%failure, "nobody reads standard output");
    }
}

//! What is logged, and how: one line per event on standard error. Every line about a request is in its span, which has the request's
//! id ([`crate::requests`]). Queries are never logged: they may hold tokens. Rocket's own log, which shows them, is off.

use std::{io::IsTerminal, panic};

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts logging.
pub fn init(filter: &str, format: LogFormat) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal).with_target(false);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Auto if terminal => lines.init(),
        // The span that a line is in says all: there are none within others.
        LogFormat::Auto | LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).init(),
    }
    // A panic ends a request, not the process; as a line of the log it has the request's id.
    panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let reason = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        tracing::error!(at = info.location().map(tracing::field::display), reason, "a panic");
    }));
}

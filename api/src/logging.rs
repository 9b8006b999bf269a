//! What is logged, and how: one line per event on standard error. Every line about a request is in its span, which has the request's
//! id ([`crate::requests`]). Queries are never logged: they may hold tokens. Rocket's own log, which shows them, is off.

use std::{io::IsTerminal, panic};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::LogFormat;
#[cfg(feature = "otlp")]
use crate::otlp::Exporter;

/// What is logged goes on its way while this is there.
#[must_use = "lines are written while this is there"]
#[derive(Debug)]
pub struct Log {
    writer: WorkerGuard,
    #[cfg(feature = "otlp")]
    exporter: Option<Exporter>,
}

/// Lines that may wait to be written: what a busy broker says in a moment, in a few megabytes.
const BUFFERED_LINES: usize = 10_000;

/// Why logging can't start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The environment names a collector, but not in a way that can be used.
    #[cfg(feature = "otlp")]
    #[error("The settings of OpenTelemetry (OTEL_*) can't be used: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Starts logging.
pub fn init(filter: &str, format: LogFormat) -> Result<Log, LogError> {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    // A pipe that nobody reads is full some day. Then lines are lost, rather than that requests wait.
    let (stderr, writer) = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(BUFFERED_LINES).finish(std::io::stderr());
    let lines = fmt::layer().with_writer(stderr).with_ansi(terminal).with_target(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Auto if terminal => lines.boxed(),
        // The span that a line is in says all: there are none within others.
        LogFormat::Auto | LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(lines);
    #[cfg(feature = "otlp")]
    let exporter = Exporter::from_environment()?;
    #[cfg(feature = "otlp")]
    let subscriber = subscriber.with(exporter.as_ref().map(Exporter::layer));
    subscriber.with(filter).init();
    // A panic ends a request, not the process; as a line of the log it has the request's id.
    panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let reason = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        tracing::error!(at = info.location().map(tracing::field::display), reason, "a panic");
    }));
    Ok(Log {
        writer,
        #[cfg(feature = "otlp")]
        exporter,
    })
}

impl Log {
    /// Writes and sends what has not been yet, for about a second at the most. To be called before the process ends.
    pub fn flush(self) {
        #[cfg(feature = "otlp")]
        if let Some(exporter) = &self.exporter {
            exporter.flush();
        }
        drop(self.writer);
    }
}

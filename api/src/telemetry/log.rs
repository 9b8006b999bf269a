//! What is logged, and how: one line per event on standard error. Every line about a request is in
//! its span, which has the request's id ([`crate::requests`]). Queries are never logged: they may
//! hold tokens. Rocket's own log, which shows them, is off.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    panic,
};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

#[cfg(feature = "otlp")]
use super::otlp::Exporter;
use crate::config::LogFormat;

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
    // A pipe that nobody reads is full some day. Then lines are lost, rather than that requests
    // wait.
    let (stderr, writer) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(BUFFERED_LINES)
        .finish(std::io::stderr());
    let stderr = OneLine {
        to: stderr,
        colours: terminal,
    };
    let lines = fmt::layer()
        .with_writer(stderr)
        .with_ansi(terminal)
        .with_target(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Auto if terminal => lines.boxed(),
        // The span that a line is in says all: there are none within others.
        LogFormat::Auto | LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
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
        let reason = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        tracing::error!(
            at = info.location().map(tracing::field::display),
            reason,
            "a panic"
        );
    }));
    Ok(Log {
        writer,
        #[cfg(feature = "otlp")]
        exporter,
    })
}

/// Keeps each event on one line that reads as it is written, whatever a request or a peer put into
/// its fields.
struct OneLine<W> {
    to: W,
    /// The formatter colours its lines, and escapes the ESC of all others.
    colours: bool,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for OneLine<W> {
    type Writer = OneLine<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine {
            to: self.to.make_writer(),
            colours: self.colours,
        }
    }
}

impl<W: Write> Write for OneLine<W> {
    /// Takes one event, as the formatter gives it: with the end of its line.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(event) {
            Ok(text) => self.to.write_all(one_line(text, self.colours).as_bytes())?,
            Err(_) => self.to.write_all(event)?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// An event with `\u….` in place of what would end the line, move the cursor, or turn the direction
/// of the text. JSON reads it back.
fn one_line(event: &str, colours: bool) -> Cow<'_, str> {
    let (line, end) = event
        .strip_suffix('\n')
        .map_or((event, ""), |line| (line, "\n"));
    let is_plain = |c: char| !is_misleading(c) || c == '\t' || colours && c == '\u{1b}';
    if line.chars().all(is_plain) {
        return Cow::Borrowed(event);
    }
    let mut escaped = String::with_capacity(event.len() + 16);
    for c in line.chars() {
        if is_plain(c) {
            escaped.push(c);
        } else {
            // A string always takes what is written.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        }
    }
    Cow::Owned(escaped + end)
}

/// Control characters, line and paragraph separators, and marks of the [bidirectional
/// algorithm](https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters).
fn is_misleading(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Log {
    /// Writes and sends what has not been yet, for about a second at the most. To be called before
    /// the process ends.
    pub fn flush(self) {
        #[cfg(feature = "otlp")]
        if let Some(exporter) = &self.exporter {
            exporter.flush();
        }
        drop(self.writer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_that_misleads_nobody() {
        assert!(matches!(
            one_line("path=/a\tü 😀\n", false),
            Cow::Borrowed("path=/a\tü 😀\n")
        ));
        for (c, escaped) in [
            ('\n', "000a"),
            ('\r', "000d"),
            ('\u{85}', "0085"),
            ('\u{9b}', "009b"),
            ('\u{2028}', "2028"),
            ('\u{202e}', "202e"),
        ] {
            assert_eq!(
                one_line(&format!("a{c}b\n"), false),
                format!("a\\u{escaped}b\n")
            );
            let json = serde_json::json!({ "path": format!("a{c}b") });
            let line = one_line(&json.to_string(), false).into_owned();
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&line).unwrap(),
                json,
                "{line}"
            );
        }
        assert_eq!(
            (one_line("\u{1b}[31m", true), one_line("\u{1b}[31m", false)),
            ("\u{1b}[31m".into(), "\\u001b[31m".into())
        );
    }
}

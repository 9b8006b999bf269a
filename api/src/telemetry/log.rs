//! The log: one line per event on standard error. Every line about a request is in the request's
//! span, which has its id ([`crate::http::request_log`]). The broker never logs queries: they may
//! hold tokens. Rocket's own log, which shows them, is off.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    panic,
};

use tracing::Level;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

#[cfg(feature = "otlp")]
use super::otlp::Exporter;
use crate::config::LogFormat;

/// The running log. It writes lines until it is dropped.
#[must_use = "the log stops when this is dropped"]
#[derive(Debug)]
pub struct Log {
    writer: WorkerGuard,
    #[cfg(feature = "otlp")]
    exporter: Option<Exporter>,
}

/// The most lines that wait to be written: what a busy broker logs in a moment, in a few megabytes.
const BUFFERED_LINES: usize = 10_000;

/// Why logging can't start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The environment names a collector, but its settings are not usable.
    #[cfg(feature = "otlp")]
    #[error("The settings of OpenTelemetry (OTEL_*) can't be used: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Starts the log.
///
/// Errors: the environment names a collector, but its settings are not usable.
pub fn init(filter: &str, format: LogFormat) -> Result<Log, LogError> {
    let filter = filter
        .parse()
        .unwrap_or_else(|_| Targets::new().with_default(Level::INFO));
    let terminal = std::io::stderr().is_terminal();
    // A pipe that nobody reads fills up. Then the log drops lines, so that requests do not wait.
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
        // A line needs only its own span: spans are not nested.
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
    // A panic ends a request, not the process. As a line of the log it has the request's id.
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

/// Keeps each event on one line that shows what it holds. A request or a peer may put any text into
/// its fields.
struct OneLine<W> {
    to: W,
    /// The formatter colours its lines. It escapes the ESC characters in the fields itself.
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
    /// Takes one event with its line end, as the formatter writes it.
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

/// The event with `\u…` in place of characters that end the line, move the cursor, or change the
/// direction of the text. A JSON parser reads them back.
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
            // To write into a string does not fail.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        }
    }
    Cow::Owned(escaped + end)
}

/// Control characters, line and paragraph separators, and marks of the [bidirectional
/// algorithm](https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters).
fn is_misleading(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
        )
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Log {
    /// Writes the remaining lines and sends the remaining spans. Blocks for about a second at most.
    /// Call it before the process ends.
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
    fn an_event_is_one_line_without_misleading_characters() {
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

//! What the process says of itself: log, metrics, traces.

pub mod log;
pub mod metrics;
#[cfg(feature = "otlp")]
pub mod otlp;

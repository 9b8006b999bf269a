//! What operators see of the process: log, metrics, traces.

pub mod log;
pub mod metrics;
#[cfg(feature = "otlp")]
pub mod otlp;

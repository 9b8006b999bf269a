//! Why the program ends, in one line per problem, and its exit code.

use std::{net::SocketAddr, process::ExitCode};

use tinistreamer::{config::Problem, store::StoreError, telemetry::log::LogError};

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{}", lines(.0))]
    Settings(Vec<Problem>),
    #[error("Failed: {0}")]
    Store(#[from] StoreError),
    #[error("The broker can't start: {0}")]
    Launch(String),
    #[error("The metrics can't be served: {0}")]
    Metrics(String),
    #[cfg(feature = "scripts")]
    #[error("{0}")]
    Script(String),
    #[error("No healthy broker at {address}: {reason}")]
    Unhealthy { address: SocketAddr, reason: String },
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("{0}")]
    System(#[from] std::io::Error),
    #[error("The OpenAPI document can't be written: {0}")]
    Document(#[from] serde_json::Error),
}

impl Failure {
    /// 2 for settings that are not usable, 1 for everything else.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(if matches!(self, Self::Settings(_)) {
            2
        } else {
            1
        })
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

//! What stops a run.

/// In one line each.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The system said no.
    #[error("{0}: {1}")]
    System(String, std::io::Error),
    /// A connection broke.
    #[error("A connection failed: {0}")]
    Connection(#[from] std::io::Error),
    /// A WebSocket broke.
    #[error("A WebSocket failed: {0}")]
    WebSocket(Box<tokio_tungstenite::tungstenite::Error>),
    /// The server answered what it should not.
    #[error("{what}: status {status}, {body}")]
    Answer {
        what: &'static str,
        status: u16,
        body: String,
    },
    /// Anything else, as a sentence.
    #[error("{0}")]
    Other(String),
}

impl From<tokio_tungstenite::tungstenite::Error> for Problem {
    fn from(error: tokio_tungstenite::tungstenite::Error) -> Self {
        Self::WebSocket(Box::new(error))
    }
}

impl From<tokio::task::JoinError> for Problem {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Other(format!("A task of the bench failed: {error}"))
    }
}

/// A result whose failure ends the run.
pub(crate) type Outcome<T> = Result<T, Problem>;

//! The errors that end a run.

/// An error of the load generator, in one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The operating system refused something.
    #[error("{0}: {1}")]
    System(String, std::io::Error),
    /// A connection broke.
    #[error("A connection failed: {0}")]
    Connection(#[from] std::io::Error),
    /// A WebSocket broke.
    #[error("A WebSocket failed: {0}")]
    WebSocket(Box<tokio_tungstenite::tungstenite::Error>),
    /// The server responded with an error.
    #[error("{what}: status {status}, {body}")]
    Response {
        what: &'static str,
        status: u16,
        body: String,
    },
    /// Any other error, as a sentence.
    #[error("{0}")]
    Other(String),
}

impl From<tokio_tungstenite::tungstenite::Error> for Error {
    fn from(error: tokio_tungstenite::tungstenite::Error) -> Self {
        Self::WebSocket(Box::new(error))
    }
}

impl From<tokio::task::JoinError> for Error {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Other(format!("A task of the bench failed: {error}"))
    }
}

/// A result whose error ends the run.
pub(crate) type Outcome<T> = Result<T, Error>;

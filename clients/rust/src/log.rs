//! What the library logs, with `tracing` and the target `tinistreamer`.

use std::fmt;

use crate::Error;

/// What a log may say of an error. Messages of the broker and of the caller may hold keys, tokens
/// and addresses, so it is the code, and the cause if the network failed.
pub(crate) struct Cause<'a>(pub(crate) &'a Error);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Error::Unreachable(_) => write!(f, "{}", self.0),
            Error::Api {
                status: Some(status),
                code,
                ..
            } => write!(f, "{code} ({status})"),
            Error::Disconnected { source, .. } => {
                write!(f, "{}: {}", self.0.code(), Self(source))
            }
            error => f.write_str(error.code()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_no_message_of_the_broker() {
        let error = Error::refused("no-active-stream", "No active stream at the key \"secret\"");
        assert_eq!(Cause(&error).to_string(), "no-active-stream");
        let error = Error::unreachable("connection refused");
        assert!(Cause(&error).to_string().contains("connection refused"));
    }
}

//! What the last event of a stream says.

use serde::Serialize;

use super::text::text;
use crate::stream::{Finish, FinishKind};

/// The most bytes of a reason and of a message.
pub const MAX_REASON_BYTES: usize = 1_024;

/// The most bytes of the name of who cancels a stream.
pub const MAX_BY_BYTES: usize = 128;

/// The longest code of a failure.
pub const MAX_CODE: usize = 64;

/// The code of a failure without one.
const DEFAULT_CODE: &str = "error";

/// Why a stream can't be finished like this. The text is one clause for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFinish {
    /// The data of an ended stream are larger than an event may be.
    #[error("data is at most {limit} bytes, not {bytes}")]
    TooLarge {
        /// The most bytes.
        limit: usize,
        /// The bytes of these data.
        bytes: usize,
    },
    /// A text is too long.
    #[error("{name} is at most {limit} bytes, not {bytes}")]
    TooLong {
        /// Which text.
        name: &'static str,
        /// The most bytes.
        limit: usize,
        /// Its bytes.
        bytes: usize,
    },
    /// The code of a failure is not a word.
    #[error("code is 1 to {MAX_CODE} of a to z, 0 to 9, -")]
    Code,
}

/// The stream is complete. Its last event has these data, of at most `limit` bytes.
pub fn ended(data: Option<Box<str>>, limit: usize) -> Result<Finish, InvalidFinish> {
    let bytes = data.as_ref().map_or(0, |data| data.len());
    if bytes > limit {
        return Err(InvalidFinish::TooLarge { limit, bytes });
    }
    let kind = FinishKind::End;
    Ok(Finish { kind, data })
}

/// The stream is given up: why, and by whom.
pub fn cancelled(reason: Option<&str>, by: Option<&str>) -> Result<Finish, InvalidFinish> {
    #[derive(Serialize)]
    struct Reason<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<&'a str>,
    }
    bounded("reason", reason, MAX_REASON_BYTES)?;
    bounded("by", by, MAX_BY_BYTES)?;
    let has_data = reason.is_some() || by.is_some();
    let data = has_data.then(|| text(&Reason { reason, by }).into());
    let kind = FinishKind::Cancel;
    Ok(Finish { kind, data })
}

/// The producer failed: a word for programs, and a text for people.
pub fn failed(code: Option<&str>, message: Option<&str>) -> Result<Finish, InvalidFinish> {
    #[derive(Serialize)]
    struct Failure<'a> {
        code: &'a str,
        message: &'a str,
    }
    let code = code.unwrap_or(DEFAULT_CODE);
    let is_word = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if !(1..=MAX_CODE).contains(&code.len()) || !code.bytes().all(is_word) {
        return Err(InvalidFinish::Code);
    }
    bounded("message", message, MAX_REASON_BYTES)?;
    let message = message.unwrap_or_default();
    let data = Some(text(&Failure { code, message }).into());
    let kind = FinishKind::Fail;
    Ok(Finish { kind, data })
}

/// Refuses a text of more than so many bytes.
fn bounded(name: &'static str, text: Option<&str>, limit: usize) -> Result<(), InvalidFinish> {
    match text.map(str::len) {
        Some(bytes) if bytes > limit => Err(InvalidFinish::TooLong { name, limit, bytes }),
        _ => Ok(()),
    }
}

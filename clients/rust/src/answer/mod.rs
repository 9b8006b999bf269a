//! Answers: streams whose producers run in the background.

mod background;
#[cfg(feature = "tower")]
mod key;
#[cfg(feature = "tower")]
mod service;
mod writer;

#[cfg(feature = "tower")]
pub use self::service::Answers;
pub use self::{background::Answer, writer::AnswerWriter};

//! The writer that a background producer gets.

use std::ops::{Deref, DerefMut};

use tokio::sync::OwnedMutexGuard;

use crate::Writer;

/// The writer of an [answer](crate::Client::answer). It has all functions of a [`Writer`] that do
/// not end it: the end of the producer does.
#[derive(Debug)]
pub struct AnswerWriter(pub(super) OwnedMutexGuard<Writer>);

impl Deref for AnswerWriter {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        &self.0
    }
}

impl DerefMut for AnswerWriter {
    fn deref_mut(&mut self) -> &mut Writer {
        &mut self.0
    }
}

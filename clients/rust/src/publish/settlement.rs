//! How a writer settles its stream.

/// Why a stream is cancelled, and by whom. Its subscribers receive both with the last event.
///
/// Both may be absent: `Cancellation::default()`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cancellation {
    /// Why, in at most 1 KiB.
    pub reason: Option<String>,
    /// Who cancels it, in at most 128 bytes.
    pub by: Option<String>,
}

impl Cancellation {
    /// A cancellation for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            by: None,
        }
    }

    /// Who cancels the stream.
    #[must_use]
    pub fn by(mut self, by: impl Into<String>) -> Self {
        self.by = Some(by.into());
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl<R: Into<String>> From<R> for Cancellation {
    fn from(reason: R) -> Self {
        Self::new(reason)
    }
}

/// What went wrong, as the subscribers of a stream receive it with the last event.
///
/// Do not use the text of an error that may hold a secret. Both fields may be absent:
/// `Failure::default()`. The broker then sets the code `error`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// A word for programs: 1 to 64 of `a` to `z`, `0` to `9`, `-`.
    pub code: Option<String>,
    /// A text for people, in at most 1 KiB.
    pub message: Option<String>,
}

impl Failure {
    /// A failure with this code.
    pub fn new(code: impl Into<String>) -> Self {
        Self {
            code: Some(code.into()),
            message: None,
        }
    }

    /// The text for people.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// The failure of a producer that left without saying why.
    pub(super) fn of_producer() -> Self {
        Self::new("error").message("The producer failed")
    }

    /// The failure of a producer whose task was cancelled.
    pub(super) fn of_interrupted_producer() -> Self {
        Self::new("interrupted").message("The producer was interrupted")
    }
}

impl<C: Into<String>> From<C> for Failure {
    fn from(code: C) -> Self {
        Self::new(code)
    }
}

/// How the caller ended its writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WriterEnd {
    /// All events are stored. The stream ends.
    Finish,
    /// Events that were not sent are dropped.
    Cancel(Cancellation),
    /// The written events are stored first, if that is possible in time.
    Fail(Failure),
    /// The code of the producer was left: the stream is cancelled after a stop, and fails
    /// otherwise. The written events are stored first, if that is possible in time.
    Leave,
    /// The stream stays active.
    Close,
}

//! What one attempt to connect asks the broker for.

/// A start position says where the broker starts a stream that has no cursor yet.
#[derive(Clone, Debug, Default)]
pub(super) struct StartPosition {
    /// The query parameter `from`. None means the first stored event.
    pub(super) from: Option<String>,
    /// Whether to wait until the stream exists.
    pub(super) wait: bool,
}

impl StartPosition {
    /// Whether the stream starts with its first stored event.
    pub(super) fn is_first_event(&self) -> bool {
        self.from.as_deref().is_none_or(|from| from == "start")
    }
}

/// An attempt to connect: the streams that it asks for, and where each starts.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) keys: Vec<String>,
    pub(super) cursor: Option<String>,
    pub(super) start: StartPosition,
}

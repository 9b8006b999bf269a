//! Text of a bounded length.

use std::borrow::Cow;

/// The text in at most `most` bytes. A longer text is cut between two characters, and ends with a
/// note of its length.
#[must_use]
pub(crate) fn bounded(text: Cow<'_, str>, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text;
    }
    let note = format!("… ({} bytes in all)", text.len());
    let end = (0..=most.saturating_sub(note.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    Cow::Owned(format!("{}{note}", &text[..end]))
}

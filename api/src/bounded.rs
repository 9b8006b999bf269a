//! Text of a bounded length.

use std::borrow::Cow;

/// The text, or its beginning with a note how long it was, in at most `most` bytes. It is never cut
/// inside a character.
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

//! What tells a stream from every other that has had or will have its key.

/// A stream's generation, unlike that of any other stream there ever was, so that what was issued
/// for a stream (a token, a tail) can tell it from a later one at the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(pub [u8; 16]);

impl Generation {
    /// A fresh mark.
    ///
    /// Errors: the system has no random numbers to give.
    pub fn fresh() -> Result<Self, getrandom::Error> {
        let mut mark = [0; 16];
        getrandom::fill(&mut mark)?;
        Ok(Self(mark))
    }
}

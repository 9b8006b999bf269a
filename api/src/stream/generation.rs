//! The generation of a stream.

/// A generation identifies one stream among all that exist at the same key, one after the other. No
/// two streams have the same. Tokens and positions are bound to it, so that they are not used for a
/// later stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(pub [u8; 16]);

impl Generation {
    /// A new, random generation.
    ///
    /// Errors: the system provides no random numbers.
    pub fn fresh() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }
}

//! The generation of a stream.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// A generation identifies one stream among all that exist at the same key, one after the other. No
/// two streams have the same. Tokens and positions are bound to it, so that they are not used for a
/// later stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(pub [u8; 16]);

/// The text is not a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a generation is 32 hex digits, as the broker gave them when the stream was created")]
pub struct InvalidGeneration;

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

/// 32 hex digits.
impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Generation {
    type Err = InvalidGeneration;

    fn from_str(text: &str) -> Result<Self, InvalidGeneration> {
        let mut bytes = [0; 16];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(InvalidGeneration),
        }
    }
}

impl Serialize for Generation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_reads_back_from_its_text() {
        let generation = Generation::fresh().unwrap();
        assert_eq!(generation.to_string().parse(), Ok(generation));
        for text in ["", "00", &"0".repeat(31), &"0".repeat(33), &"g".repeat(32)] {
            assert_eq!(text.parse::<Generation>(), Err(InvalidGeneration));
        }
    }
}

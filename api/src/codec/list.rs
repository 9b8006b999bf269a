//! JSON arrays of a bounded length.

use std::{fmt, marker::PhantomData};

use indexmap::IndexSet;
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};

/// The first `N` values of a JSON array, and the number of all its values.
///
/// Values take more memory than their text. An array of many short values would otherwise take many
/// times the bytes of its body.
#[derive(Debug)]
pub struct Bounded<T, const N: usize> {
    /// The first values, at most `N`.
    pub values: Vec<T>,
    /// How many values the array has.
    pub count: usize,
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Bounded<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Values<T, N> {
            type Value = Bounded<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Bounded<T, N>, A::Error> {
                let (mut values, mut count) = (Vec::new(), 0);
                // Each value is parsed, so that an invalid value is an error wherever it stands.
                while let Some(value) = array.next_element()? {
                    count += 1;
                    if count <= N {
                        values.push(value);
                    }
                }
                Ok(Bounded { values, count })
            }
        }

        deserializer.deserialize_seq(Values(PhantomData))
    }
}

/// The first `N` distinct strings of a JSON array. Repeated strings do not count.
#[derive(Debug)]
pub struct Distinct<const N: usize>(pub Vec<String>);

impl<'de, const N: usize> Deserialize<'de> for Distinct<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts<const N: usize>;

        impl<'de, const N: usize> Visitor<'de> for Texts<N> {
            type Value = Distinct<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Distinct<N>, A::Error> {
                let mut texts = IndexSet::new();
                while let Some(text) = array.next_element::<String>()? {
                    if texts.len() < N {
                        texts.insert(text);
                    }
                }
                Ok(Distinct(texts.into_iter().collect()))
            }
        }

        deserializer.deserialize_seq(Texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_beyond_the_limit_are_counted_and_parsed_but_not_kept() {
        let read = serde_json::from_str::<Bounded<u8, 2>>;
        for (text, values, count) in [
            ("[]", &[][..], 0),
            ("[1, 2]", &[1, 2], 2),
            ("[1, 2, 3, 4]", &[1, 2], 4),
        ] {
            let bounded = read(text).unwrap();
            assert_eq!((&*bounded.values, bounded.count), (values, count));
        }
        assert!(read("[1, 2, 3, \"4\"]").is_err() && read("{}").is_err());
        let Distinct::<2>(texts) = serde_json::from_str(r#"["b", "b", "a", "b", "c"]"#).unwrap();
        assert_eq!(texts, ["b", "a"]);
    }
}

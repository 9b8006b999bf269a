//! Numbers in JSON. JSON has only one type of number: `600.0` is the integer 600, and some
//! languages write it in that form.

use std::fmt;

use serde::{
    Deserializer,
    de::{self, Unexpected, Visitor},
};

/// 2⁵³. Above it, one floating point number stands for several whole numbers.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Reads an integer from 0, or null. For `#[serde(deserialize_with)]`; a member that may be absent
/// also needs `#[serde(default)]`.
pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    struct Whole;

    impl<'de> Visitor<'de> for Whole {
        type Value = Option<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("u64")
        }

        fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(
            self,
            deserializer: D,
        ) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_u64(self)
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(number))
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
            u64::try_from(number)
                .map(Some)
                .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
        }

        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole, and neither negative nor too large"
        )]
        fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
            let is_whole = number.fract() == 0.0 && (0.0..=EXACT).contains(&number);
            if is_whole {
                Ok(Some(number as u64))
            } else {
                Err(E::invalid_type(Unexpected::Float(number), &self))
            }
        }
    }

    deserializer.deserialize_option(Whole)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Members {
        #[serde(default, deserialize_with = "super::whole")]
        ttl: Option<u64>,
    }

    fn read(json: &str) -> Result<Option<u64>, String> {
        serde_json::from_str::<Members>(json)
            .map(|members| members.ttl)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_number_may_have_a_fraction_of_zero() {
        for (json, number) in [
            ("600", 600),
            ("600.0", 600),
            ("6e2", 600),
            ("0", 0),
            ("-0.0", 0),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(
                read(&format!(r#"{{"ttl":{json}}}"#)),
                Ok(Some(number)),
                "{json}"
            );
        }
        assert_eq!(read(r#"{"ttl":null}"#), Ok(None));
        assert_eq!(read("{}"), Ok(None));
    }

    #[test]
    fn other_values_are_refused_and_the_error_names_the_value() {
        for (json, message) in [
            ("600.5", "floating point `600.5`, expected u64"),
            ("-1", "integer `-1`, expected u64"),
            ("-1.0", "floating point `-1.0`"),
            ("1e300", "floating point"),
            ("\"600\"", "string \"600\", expected u64"),
            ("true", "boolean `true`, expected u64"),
            ("[600]", "invalid type: sequence, expected u64"),
        ] {
            let error = read(&format!(r#"{{"ttl":{json}}}"#)).unwrap_err();
            assert!(error.contains(message), "{json}: {error}");
        }
    }
}

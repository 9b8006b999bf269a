//! A client whose settings are in the environment.

use std::env;

use crate::{Client, Error};

/// The variables that name the broker, the first one that is set. `tinistreamer dev` prints the
/// second one of the key.
const URL: [&str; 2] = ["TINISTREAMER_URL", "STREAMER_URL"];
const API_KEY: [&str; 2] = ["TINISTREAMER_API_KEY", "STREAMER_API_KEY"];

impl Client {
    /// Creates a client of the broker that the environment names: with `TINISTREAMER_URL` and
    /// `TINISTREAMER_API_KEY`, or with `STREAMER_URL` and `STREAMER_API_KEY`.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] when one is missing, and as of [`new`](Self::new).
    pub fn from_env() -> Result<Self, Error> {
        Self::from_variables(|name| env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let first = |names: [&str; 2]| {
            let values = names.iter().filter_map(|name| variable(name));
            let missing = || Error::setup(format!("the variable {} is missing", names[0]));
            values
                .into_iter()
                .find(|it| !it.is_empty())
                .ok_or_else(missing)
        };
        Self::new(first(URL)?, first(API_KEY)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(variables: &[(&str, &str)]) -> Result<Client, Error> {
        let value = |name: &str| {
            variables
                .iter()
                .find(|it| it.0 == name)
                .map(|it| it.1.into())
        };
        Client::from_variables(value)
    }

    #[test]
    fn the_first_variable_that_is_set_counts() {
        let key = ("STREAMER_API_KEY", "key");
        let [first, second] = [
            ("TINISTREAMER_URL", "http://a"),
            ("STREAMER_URL", "http://b"),
        ];
        for (variables, url) in [
            (&[first, second, key][..], "http://a"),
            (&[second, key], "http://b"),
            (&[("TINISTREAMER_URL", ""), second, key], "http://b"),
        ] {
            let client = format!("{:?}", client(variables).unwrap());
            assert!(client.contains(url), "{client}");
        }
    }

    #[test]
    fn a_variable_that_is_missing_is_named() {
        let key = ("TINISTREAMER_API_KEY", "key");
        let url = ("TINISTREAMER_URL", "http://a");
        for (variable, missing) in [(key, "TINISTREAMER_URL"), (url, "TINISTREAMER_API_KEY")] {
            let error = client(&[variable]).unwrap_err();
            assert_eq!(error.code(), "setup");
            assert!(error.to_string().contains(missing), "{error}");
        }
    }
}

//! Where settings come from: first the environment, then Rocket's configuration, then the default.
//! What a setting does not take becomes a [`Problem`].

use std::{borrow::Cow, collections::BTreeMap};

use rocket::{
    Config,
    figment::{Figment, value::Value},
};

use super::takes::Takes;
use crate::bounded::bounded;

/// The prefix of the settings' environment variables.
pub const ENV_PREFIX: &str = "STREAMER_";

/// The most bytes of a name or a value that a problem shows.
const MAX_SHOWN_BYTES: usize = 256;

/// One thing wrong with the settings, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Problem(pub String);

/// The environment variable of a setting.
#[must_use]
pub fn variable(name: &str) -> String {
    format!("{ENV_PREFIX}{}", name.to_ascii_uppercase())
}

/// Where a value comes from, and the problems found so far.
pub(super) struct Source<'a> {
    figment: &'a Figment,
    /// Our variables, without their prefix.
    environment: BTreeMap<String, String>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Source<'a> {
    /// Ignores variables without our prefix.
    pub(super) fn new(
        figment: &'a Figment,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let ours = |(name, value): (String, String)| {
            Some((name.strip_prefix(ENV_PREFIX)?.to_owned(), value))
        };
        Self {
            figment,
            environment: environment.into_iter().filter_map(ours).collect(),
            problems: Vec::new(),
        }
    }

    /// Whether this is Rocket's debug profile, as with `cargo run`.
    pub(super) fn is_debug(&self) -> bool {
        *self.figment.profile() == Config::DEBUG_PROFILE
    }

    /// Reports each of our variables that is not a setting with one of these names.
    pub(super) fn report_unknown_names(&mut self, names: &[&str]) {
        for name in self.environment.keys() {
            let lower = name.to_ascii_lowercase();
            let is_upper = !name.chars().any(|c| c.is_ascii_lowercase());
            if is_upper && names.contains(&lower.as_str()) {
                continue;
            }
            let nearest = names
                .iter()
                .min_by_key(|known| strsim::damerau_levenshtein(known, &lower))
                .copied()
                .unwrap_or_default();
            let name = bounded(name.into(), MAX_SHOWN_BYTES);
            let line = format!(
                "{ENV_PREFIX}{name} is not a setting; did you mean {}?",
                variable(nearest)
            );
            self.problems.push(Problem(line));
        }
    }

    /// The value of a setting. Without a default the setting is required.
    ///
    /// None: the value is not usable, or a required one is missing; `problems` then says why.
    pub(super) fn read<T, P: Fn(&str) -> Option<T>>(
        &mut self,
        name: &str,
        takes: &Takes<P>,
        default: Option<Cow<'static, str>>,
    ) -> Option<T> {
        match default {
            Some(default) => self.optional(name, takes, &default),
            None => self.required(name, takes),
        }
    }

    fn optional<T, P: Fn(&str) -> Option<T>>(
        &mut self,
        name: &str,
        takes: &Takes<P>,
        default: &str,
    ) -> Option<T> {
        let (text, place) = self
            .raw(name)
            .unwrap_or_else(|| (default.to_owned(), "the defaults".to_owned()));
        let value = (takes.parse)(&text);
        if value.is_none() {
            let shown = if takes.is_secret {
                "a value".into()
            } else {
                bounded(format!("{text:?}").into(), MAX_SHOWN_BYTES)
            };
            let line = format!(
                "{} holds {shown} (from {place}), but takes {}; the default is {default}",
                variable(name),
                takes.description
            );
            self.problems.push(Problem(line));
        }
        value
    }

    fn required<T, P: Fn(&str) -> Option<T>>(&mut self, name: &str, takes: &Takes<P>) -> Option<T> {
        let (variable, description) = (variable(name), &takes.description);
        let line = match self.raw(name) {
            None => format!(
                "{variable} is not set; it takes {description}; `tinistreamer keygen` makes one"
            ),
            Some((text, place)) => match (takes.parse)(&text) {
                Some(value) => return Some(value),
                None => format!(
                    "{variable} holds a value (from {place}, {} characters), but takes \
                     {description}",
                    text.chars().count()
                ),
            },
        };
        self.problems.push(Problem(line));
        None
    }

    /// The text that is set, and where it is set. An empty variable counts as not set.
    fn raw(&self, name: &str) -> Option<(String, String)> {
        if let Some(text) = self
            .environment
            .get(&name.to_ascii_uppercase())
            .filter(|text| !text.is_empty())
        {
            return Some((text.trim().to_owned(), "the environment".to_owned()));
        }
        let value = self.figment.find_value(name).ok()?;
        let place = self
            .figment
            .find_metadata(name)
            .and_then(|data| data.source.as_ref())
            .map_or("the defaults".to_owned(), ToString::to_string);
        Some((as_text(&value)?, place))
    }
}

/// A value of `Rocket.toml` as the text that the environment would hold.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Bool(_, flag) => Some(flag.to_string()),
        Value::Num(_, number) => number
            .to_i128()
            .map(|n| n.to_string())
            .or_else(|| number.to_u128().map(|n| n.to_string()))
            .or_else(|| number.to_f64().map(|n| n.to_string())),
        Value::Array(_, items) => items
            .iter()
            .map(as_text)
            .collect::<Option<Vec<_>>>()
            .map(|items| items.join(",")),
        _ => None,
    }
}

//! Event names filters: names, and prefixes of names.

use std::{fmt, sync::Arc};

use super::event::{BROKER_NAMES, MAX_NAME_BYTES};

/// The most patterns that one filter may have.
pub(super) const MAX_PATTERNS: usize = 64;

/// An event names filter selects the events that a subscriber receives. Cheap to clone. Two filters
/// are equal if they have the same patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFilter(Arc<[Pattern]>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pattern {
    Name(Box<str>),
    Prefix(Box<str>),
}

/// Why a text is not a filter. The message is one sentence for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// A name is missing, or too long.
    #[error(
        "events takes names of 1 to {MAX_NAME_BYTES} bytes without control characters, separated \
         by commas, such as alert,metric*"
    )]
    Name,
    /// A star that is not at the end of a name.
    #[error("events takes a * only at the end of a name, not as in {0:?}")]
    Star(Box<str>),
    /// More than `MAX_PATTERNS` patterns.
    #[error("events takes at most {MAX_PATTERNS} names")]
    TooMany,
}

impl EventFilter {
    /// Parses texts of patterns, which are separated by commas. None without texts.
    pub fn read<'a>(
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Option<Self>, InvalidFilter> {
        let mut patterns = Vec::new();
        for text in texts.into_iter().flat_map(|text| text.split(',')) {
            patterns.push(Pattern::read(text.trim())?);
            if patterns.len() > MAX_PATTERNS {
                return Err(InvalidFilter::TooMany);
            }
        }
        patterns.sort_unstable();
        patterns.dedup();
        Ok((!patterns.is_empty()).then(|| Self(patterns.into())))
    }

    /// Passes every event.
    #[must_use]
    pub fn all() -> Self {
        Self([Pattern::Prefix("".into())].into())
    }

    /// Whether an event of this name passes. The events of the broker always do. No event has an
    /// empty name, so that does not pass.
    #[must_use]
    pub fn passes(&self, name: &str) -> bool {
        let matches = |pattern: &Pattern| match pattern {
            Pattern::Name(expected) => **expected == *name,
            Pattern::Prefix(prefix) => name.starts_with(&**prefix),
        };
        !name.is_empty() && self.0.iter().any(matches) || BROKER_NAMES.contains(&name)
    }
}

impl Pattern {
    fn read(text: &str) -> Result<Self, InvalidFilter> {
        if text.is_empty() || text.len() > MAX_NAME_BYTES || text.chars().any(char::is_control) {
            return Err(InvalidFilter::Name);
        }
        let (stem, is_prefix) = text
            .strip_suffix('*')
            .map_or((text, false), |stem| (stem, true));
        match (stem.contains('*'), is_prefix) {
            (true, _) => Err(InvalidFilter::Star(text.into())),
            (false, true) => Ok(Self::Prefix(stem.into())),
            (false, false) => Ok(Self::Name(stem.into())),
        }
    }
}

/// The filter as the query parameter `events`: each pattern once, sorted.
impl fmt::Display for EventFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, pattern) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match pattern {
                Pattern::Name(name) => write!(f, "{comma}{name}")?,
                Pattern::Prefix(prefix) => write!(f, "{comma}{prefix}*")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(text: &str) -> EventFilter {
        EventFilter::read([text]).unwrap().unwrap()
    }

    proptest! {
        #[test]
        fn a_filter_passes_what_one_of_its_patterns_matches(
            patterns in prop::collection::vec("[ab]{1,3}\\*?", 1..6),
            name in "[ab]{1,4}",
        ) {
            let expected = patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => *pattern == name,
            });
            prop_assert_eq!(filter(&patterns.join(",")).passes(&name), expected);
        }

        #[test]
        fn a_filter_reads_back_as_it_was(
            patterns in prop::collection::vec("[a-c]{0,3}\\*|[a-c]{1,3}", 1..6)
        ) {
            let once = filter(&patterns.join(","));
            prop_assert_eq!(filter(&once.to_string()), once);
        }
    }

    #[test]
    fn the_events_of_the_broker_always_pass_and_a_star_alone_passes_all() {
        for name in ["start", "end", "cancel"] {
            assert!(filter("alert").passes(name));
        }
        assert!(!filter("alert").passes("alerts") && !filter("alert").passes("ended"));
        assert!(filter("*").passes("anything"));
    }

    #[test]
    fn an_invalid_filter_is_refused_with_a_reason() {
        assert_eq!(EventFilter::read([]), Ok(None));
        for bad in ["", "a,", ",", "a\u{7}", &"x".repeat(MAX_NAME_BYTES + 1)] {
            assert_eq!(
                EventFilter::read([bad]),
                Err(InvalidFilter::Name),
                "{bad:?}"
            );
        }
        for bad in ["*a", "a*b", "**"] {
            assert_eq!(
                EventFilter::read([bad]),
                Err(InvalidFilter::Star(bad.into()))
            );
        }
        assert_eq!(
            EventFilter::read([&*vec!["a"; MAX_PATTERNS + 1].join(",")]),
            Err(InvalidFilter::TooMany)
        );
    }
}

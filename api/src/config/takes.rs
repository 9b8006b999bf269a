//! What a setting takes: a description for people, and a parser.

use std::{borrow::Cow, fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

/// What a setting takes. `P` makes a value of its text, or none of text that the setting does not
/// take.
pub(super) struct Takes<P> {
    /// For the line that reports a problem: "a whole number from 1 to 64".
    pub(super) description: Cow<'static, str>,
    /// For the reference: "1 to 64".
    pub(super) short: Cow<'static, str>,
    /// The text may hold a password even where it is not valid. A problem does not show it.
    pub(super) is_secret: bool,
    pub(super) parse: P,
}

/// Text that `parse` accepts.
pub(super) fn text<P>(description: &'static str, parse: P) -> Takes<P> {
    Takes {
        description: description.into(),
        short: description.into(),
        is_secret: false,
        parse,
    }
}

/// Text that `parse` accepts, and that no problem shows.
pub(super) fn secret<P>(description: &'static str, parse: P) -> Takes<P> {
    Takes {
        is_secret: true,
        ..text(description, parse)
    }
}

/// A whole number in this range.
pub(super) fn count<T>(range: RangeInclusive<T>) -> Takes<impl Fn(&str) -> Option<T>>
where
    T: FromStr + PartialOrd + Display,
{
    let (start, end) = (range.start(), range.end());
    Takes {
        description: format!("a whole number from {start} to {end}").into(),
        short: format!("{start} to {end}").into(),
        is_secret: false,
        parse: move |text: &str| text.parse().ok().filter(|number| range.contains(number)),
    }
}

/// A whole number of seconds in this range, or 0.
pub(super) fn zero_or_seconds(
    range: RangeInclusive<u64>,
) -> Takes<impl Fn(&str) -> Option<Duration>> {
    let (start, end) = (*range.start(), *range.end());
    Takes {
        description: format!("0, or a whole number of seconds from {start} to {end}").into(),
        short: format!("0, or {start} to {end} seconds").into(),
        is_secret: false,
        parse: move |text: &str| {
            let number = text.parse().ok();
            number
                .filter(|number| *number == 0 || range.contains(number))
                .map(Duration::from_secs)
        },
    }
}

/// A whole number of seconds in this range.
pub(super) fn seconds(range: RangeInclusive<u64>) -> Takes<impl Fn(&str) -> Option<Duration>> {
    let count = count(range.clone());
    let (start, end) = range.into_inner();
    Takes {
        description: format!("a whole number of seconds from {start} to {end}").into(),
        short: format!("{} seconds", count.short).into(),
        is_secret: false,
        parse: move |text: &str| (count.parse)(text).map(Duration::from_secs),
    }
}

/// A whole number of milliseconds in this range.
pub(super) fn milliseconds(range: RangeInclusive<u64>) -> Takes<impl Fn(&str) -> Option<Duration>> {
    let count = count(range.clone());
    let (start, end) = range.into_inner();
    Takes {
        description: format!("a whole number of milliseconds from {start} to {end}").into(),
        short: format!("{} milliseconds", count.short).into(),
        is_secret: false,
        parse: move |text: &str| (count.parse)(text).map(Duration::from_millis),
    }
}

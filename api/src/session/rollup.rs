//! Rollup: consecutive events of one name come to the subscriber as one.

use std::{ops::Range, sync::Arc, time::Duration};

use crate::{
    codec::{
        json::{InvalidPointer, JsonPointer},
        segment::{Part, Segment},
    },
    store::Batch,
    stream::{Entry, EventId, MAX_NAME_BYTES, Position},
};

/// The most names of one rollup.
pub const MAX_RULES: usize = 16;

/// The most bytes of data that become one frame, and of all that a subscriber's runs hold.
pub(super) const MAX_JOINED_BYTES: usize = 1 << 20;

/// The longest time for which live events are gathered.
const MAX_GATHER_MS: u64 = 500;

/// A rollup says which events come to a subscriber as one. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollup {
    rules: Arc<[Rule]>,
    /// How long live events are gathered. Zero: each comes by itself.
    pub(super) gather: Duration,
}

/// Events of this name become one.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    name: Box<str>,
    /// The string in JSON data that is concatenated. None: all of the data.
    path: Option<JsonPointer>,
}

/// Why parameters are no rollup. The message is one sentence for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRollup {
    /// A name is empty, or too long.
    #[error("rollup takes event names of 1 to {MAX_NAME_BYTES} bytes without control characters")]
    Name,
    /// A name stands twice.
    #[error("rollup names {0:?} twice")]
    Twice(Box<str>),
    /// More than `MAX_RULES` names.
    #[error("a request has at most {MAX_RULES} rollups")]
    TooMany,
    /// More paths than names, or a time without names.
    #[error("{0} needs a rollup: the n-th path belongs to the n-th name")]
    WithoutName(&'static str),
    /// A path is no JSON pointer.
    #[error("rollup_path: {0}")]
    Path(#[from] InvalidPointer),
    /// The time is no number, or too long.
    #[error("rollup_ms is 0 to {MAX_GATHER_MS} milliseconds")]
    Time,
}

impl Rollup {
    /// Parses the values of `rollup`, of `rollup_path` in the same order, and of `rollup_ms`. An
    /// empty path stands for all of the data. None without names.
    pub fn read(
        names: &[&str],
        paths: &[&str],
        milliseconds: Option<&str>,
    ) -> Result<Option<Self>, InvalidRollup> {
        if names.len() > MAX_RULES {
            return Err(InvalidRollup::TooMany);
        }
        if paths.len() > names.len() {
            return Err(InvalidRollup::WithoutName("rollup_path"));
        }
        let mut rules: Vec<Rule> = Vec::with_capacity(names.len());
        let paths = paths.iter().copied().chain(std::iter::repeat(""));
        for (&name, path) in names.iter().zip(paths) {
            let is_valid = (1..=MAX_NAME_BYTES).contains(&name.len());
            if !is_valid || name.chars().any(char::is_control) {
                return Err(InvalidRollup::Name);
            }
            if rules.iter().any(|rule| *rule.name == *name) {
                return Err(InvalidRollup::Twice(name.into()));
            }
            let path = (!path.is_empty()).then(|| path.parse()).transpose()?;
            let name = name.into();
            rules.push(Rule { name, path });
        }
        let gather = match milliseconds {
            None => 0,
            Some(_) if rules.is_empty() => return Err(InvalidRollup::WithoutName("rollup_ms")),
            Some(text) => text
                .parse()
                .ok()
                .filter(|ms| *ms <= MAX_GATHER_MS)
                .ok_or(InvalidRollup::Time)?,
        };
        Ok((!rules.is_empty()).then(|| Self {
            rules: rules.into(),
            gather: Duration::from_millis(gather),
        }))
    }

    /// What an event adds to a run. None if it does not become part of one.
    fn fragment<'a>(&self, entry: &'a Entry) -> Option<Fragment<'a>> {
        let is_of = |rule: &Rule| *rule.name == *entry.name;
        let rule = self.rules.iter().position(is_of)?;
        let data = entry.data.as_deref();
        let text = data.unwrap_or_default();
        let range = match &self.rules[rule].path {
            None => 0..text.len(),
            Some(path) => path.find_string(text)?,
        };
        Some(Fragment {
            rule,
            has_data: data.is_some(),
            text,
            range,
        })
    }

    /// Joins the events of a batch. `run` is the run that the batch before has left open, and
    /// afterwards the one that this batch leaves open. `at` is the position before the batch.
    /// Events for which `is_joined` is false stay as they are.
    pub(super) fn join(
        &self,
        batch: Batch,
        run: &mut Option<Box<Run>>,
        at: Position,
        is_joined: impl Fn(EventId) -> bool,
    ) -> Batch {
        let is_named = |entry: &Entry| self.rules.iter().any(|rule| *rule.name == *entry.name);
        if run.is_none() && !batch.entries().any(is_named) {
            return batch;
        }
        let last_event = batch.last_event().map(|(last, _)| last.id);
        let mut joined = Joined::default();
        let mut at = at;
        for entry in batch.entries() {
            let is_free = is_joined(entry.id) && last_event != Some(entry.id);
            let fragment = is_free.then(|| self.fragment(entry)).flatten();
            match (fragment, run.as_mut()) {
                (Some(fragment), Some(open)) if open.takes(&fragment) => {
                    open.push(&fragment, entry.id);
                }
                (fragment, _) => {
                    joined.close(run.take());
                    match fragment {
                        Some(fragment) => {
                            *run = Some(Box::new(Run::new(at, entry, &fragment)));
                        }
                        None => joined.push(entry.clone(), 1),
                    }
                }
            }
            at = Position::At(entry.id);
        }
        Batch {
            parts: joined.into_parts(),
            ..batch
        }
    }
}

/// What an event adds to a run: a part of its data.
struct Fragment<'a> {
    rule: usize,
    has_data: bool,
    text: &'a str,
    range: Range<usize>,
}

/// A run is consecutive events of one stream that become one frame.
#[derive(Debug)]
pub(super) struct Run {
    /// The position before its first event: that of the subscriber, as long as the run is not sent.
    pub(super) before: Position,
    rule: usize,
    name: Box<str>,
    last: EventId,
    count: u32,
    has_data: bool,
    /// The data before and after the concatenated text, the same in all events.
    frame: (Box<str>, Box<str>),
    text: String,
}

impl Run {
    fn new(before: Position, entry: &Entry, fragment: &Fragment<'_>) -> Self {
        let Range { start, end } = fragment.range;
        Self {
            before,
            rule: fragment.rule,
            name: entry.name.clone(),
            last: entry.id,
            count: 1,
            has_data: fragment.has_data,
            frame: (fragment.text[..start].into(), fragment.text[end..].into()),
            text: fragment.text[start..end].into(),
        }
    }

    /// Bytes of the data.
    pub(super) fn bytes(&self) -> usize {
        self.frame.0.len() + self.text.len() + self.frame.1.len()
    }

    fn takes(&self, fragment: &Fragment<'_>) -> bool {
        let Range { start, end } = fragment.range;
        fragment.rule == self.rule
            && fragment.text[..start] == *self.frame.0
            && fragment.text[end..] == *self.frame.1
            && self.bytes() + (end - start) <= MAX_JOINED_BYTES
    }

    fn push(&mut self, fragment: &Fragment<'_>, id: EventId) {
        self.text.push_str(&fragment.text[fragment.range.clone()]);
        self.has_data |= fragment.has_data;
        self.last = id;
        self.count += 1;
    }

    /// The run as a batch of its own.
    pub(super) fn into_batch(self) -> Batch {
        let mut joined = Joined::default();
        joined.close(Some(Box::new(self)));
        Batch {
            parts: joined.into_parts(),
            ..Batch::default()
        }
    }

    fn into_entry(self) -> (Entry, u32) {
        let (before, after) = &self.frame;
        let data = if before.is_empty() && after.is_empty() {
            self.text
        } else {
            [before, &*self.text, after].concat()
        };
        let entry = Entry {
            id: self.last,
            name: self.name,
            data: self.has_data.then(|| data.into()),
        };
        (entry, self.count)
    }
}

/// The entries of a batch after it was joined, and how many events each stands for.
#[derive(Default)]
struct Joined {
    entries: Vec<Entry>,
    counts: Vec<u32>,
}

impl Joined {
    fn push(&mut self, entry: Entry, count: u32) {
        self.entries.push(entry);
        self.counts.push(count);
    }

    fn close(&mut self, run: Option<Box<Run>>) {
        if let Some(run) = run {
            let (entry, count) = run.into_entry();
            self.push(entry, count);
        }
    }

    fn into_parts(self) -> Vec<Part> {
        if self.entries.is_empty() {
            return Vec::new();
        }
        let segment = Segment::joined(self.entries, self.counts);
        vec![Part::new(Arc::new(segment), 0)]
    }
}

#[cfg(test)]
mod tests;

//! Counting the events that a subscription has missed.

use crate::Missed;

/// How many events a subscription has missed: they were no longer stored when it asked for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissedTotal {
    /// How many events are known to be missing.
    pub count: u64,
    /// Whether `count` includes all of them. It does not after a loss that the broker could not
    /// count.
    pub known: bool,
}

impl MissedTotal {
    /// The sum over several streams. None while no event is missing.
    pub(super) fn sum(totals: impl IntoIterator<Item = Self>) -> Option<Self> {
        totals.into_iter().reduce(|sum, total| Self {
            count: sum.count.saturating_add(total.count),
            known: sum.known && total.known,
        })
    }
}

/// A missed counter counts the missing events of one stream.
#[derive(Clone, Debug, Default)]
pub(super) struct MissedCounter {
    earlier: Option<MissedTotal>,
    last: Option<Missed>,
}

impl MissedCounter {
    /// Counts a loss. When a connection breaks before the next event, the broker reports the same
    /// loss again, after the same id.
    pub(super) fn add(&mut self, missed: &Missed) {
        if self
            .last
            .as_ref()
            .is_some_and(|last| last.after != missed.after)
        {
            self.earlier = self.total();
        }
        self.last = Some(missed.clone());
    }

    /// None while no event is missing.
    pub(super) fn total(&self) -> Option<MissedTotal> {
        let last = self.last.as_ref().map(|last| MissedTotal {
            count: last.missed.unwrap_or_default(),
            known: last.missed.is_some(),
        });
        MissedTotal::sum(self.earlier.into_iter().chain(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missed(after: &str, missed: Option<u64>) -> Missed {
        Missed {
            after: Some(after.to_owned()),
            first: None,
            missed,
        }
    }

    #[test]
    fn a_loss_that_is_reported_again_counts_once() {
        let mut counter = MissedCounter::default();
        assert_eq!(counter.total(), None);
        counter.add(&missed("1-0", Some(4)));
        counter.add(&missed("1-0", Some(6)));
        assert_eq!(
            counter.total(),
            Some(MissedTotal {
                count: 6,
                known: true
            })
        );
        counter.add(&missed("1-7", Some(1)));
        assert_eq!(
            counter.total(),
            Some(MissedTotal {
                count: 7,
                known: true
            })
        );
        counter.add(&missed("1-99", None));
        assert_eq!(
            counter.total(),
            Some(MissedTotal {
                count: 7,
                known: false
            })
        );
    }
}

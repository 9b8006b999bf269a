//! Checks what a subscriber received, by the numbers in the ids: they count a stream's events
//! without gaps.

use std::collections::HashMap;

use crate::frame::{Frame, Id};

/// The checks of one subscriber, one per stream.
#[derive(Debug)]
pub(crate) struct DeliveryCheck {
    each: Vec<StreamCheck>,
    /// The index of each stream's check, by key. Empty for a single stream, whose frames have no
    /// key.
    indexes: HashMap<Vec<u8>, usize>,
}

impl Default for DeliveryCheck {
    fn default() -> Self {
        Self {
            each: vec![StreamCheck::default()],
            indexes: HashMap::new(),
        }
    }
}

impl DeliveryCheck {
    /// Checks the streams with these keys.
    pub(crate) fn of<'a>(keys: impl ExactSizeIterator<Item = &'a str>) -> Self {
        match keys.len() {
            0 | 1 => Self::default(),
            count => {
                let each = std::iter::repeat_with(StreamCheck::default)
                    .take(count)
                    .collect();
                Self {
                    each,
                    indexes: keys
                        .enumerate()
                        .map(|(index, key)| (key.as_bytes().to_vec(), index))
                        .collect(),
                }
            }
        }
    }

    /// Records a frame, and returns the index of its stream. A frame of a stream that the
    /// subscriber does not follow counts as a gap notice.
    pub(crate) fn record(&mut self, frame: &Frame<'_>) -> usize {
        let known = if self.indexes.is_empty() {
            Some(0)
        } else {
            self.indexes.get(frame.key).copied()
        };
        match known {
            Some(index) => self.each[index].record(frame),
            None => self.first().faults.gap_notices += 1,
        }
        known.unwrap_or_default()
    }

    /// The check of the first or only stream. It also counts the faults of the whole connection.
    pub(crate) fn first(&mut self) -> &mut StreamCheck {
        &mut self.each[0]
    }

    /// All checks, in the order of the streams.
    pub(crate) fn each(&self) -> &[StreamCheck] {
        &self.each
    }
}

/// The check of one stream at one subscriber, over all of its connections.
#[derive(Debug, Default)]
pub(crate) struct StreamCheck {
    pub(crate) last: Option<Id>,
    /// Ranges of missing numbers. A number that arrives late is removed from them.
    gaps: Vec<std::ops::Range<u64>>,
    pub(crate) faults: Faults,
}

/// Counts of faults. All must be zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Numbers that never arrived.
    pub(crate) lost: u64,
    /// Numbers that arrived again.
    pub(crate) repeated: u64,
    /// Numbers that arrived after a higher one.
    pub(crate) out_of_order: u64,
    /// Notices of a gap. Allowed only when events were trimmed, which happens in no scenario.
    pub(crate) gap_notices: u64,
    /// Connections that the server closed or that broke.
    pub(crate) closed: u64,
}

impl StreamCheck {
    pub(crate) fn record(&mut self, frame: &Frame<'_>) {
        let Some(id) = frame.id else {
            self.faults.gap_notices += 1;
            return;
        };
        match self.last {
            Some(last) if id.number <= last.number => {
                self.record_earlier(id.number);
                return;
            }
            Some(last) if id.number > last.number + 1 => {
                self.faults.lost += id.number - last.number - 1;
                self.gaps.push(last.number + 1..id.number);
            }
            _ => {}
        }
        self.last = Some(id);
    }

    /// Records a number not above the last one: a late event, or a repeated one.
    fn record_earlier(&mut self, number: u64) {
        let Some(index) = self.gaps.iter().position(|gap| gap.contains(&number)) else {
            self.faults.repeated += 1;
            return;
        };
        let gap = self.gaps.swap_remove(index);
        self.gaps.extend(
            [gap.start..number, number + 1..gap.end]
                .into_iter()
                .filter(|part| !part.is_empty()),
        );
        self.faults.lost -= 1;
        self.faults.out_of_order += 1;
    }

    /// One more than the last number that arrived.
    pub(crate) fn next_number(&self) -> u64 {
        self.last.map_or(0, |last| last.number + 1)
    }

    /// All faults, given the number of events in the stream.
    pub(crate) fn faults_of(&self, events: u64) -> Faults {
        Faults {
            lost: self.faults.lost + events.saturating_sub(self.next_number()),
            ..self.faults
        }
    }
}

impl std::ops::AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.out_of_order += other.out_of_order;
        self.gap_notices += other.gap_notices;
        self.closed += other.closed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_is_checked_separately() {
        let frame = |key, number| Frame {
            id: Some(Id {
                milliseconds: 1,
                number,
            }),
            key,
            ..Frame::default()
        };
        let mut check = DeliveryCheck::of(["a", "b"].into_iter());
        for (key, number) in [
            (b"a", 0),
            (b"b", 0),
            (b"a", 1),
            (b"b", 2),
            (b"b", 2),
            (b"a", 2),
        ] {
            check.record(&frame(key, number));
        }
        let judged = |check: &DeliveryCheck| {
            check
                .each()
                .iter()
                .map(|track| track.faults_of(3))
                .collect::<Vec<_>>()
        };
        let good = Faults::default();
        assert_eq!(
            judged(&check),
            [
                good,
                Faults {
                    lost: 1,
                    repeated: 1,
                    ..good
                }
            ]
        );
        check.record(&frame(b"c", 3));
        assert_eq!(
            judged(&check),
            [
                Faults {
                    gap_notices: 1,
                    ..good
                },
                Faults {
                    lost: 1,
                    repeated: 1,
                    ..good
                }
            ]
        );
    }

    #[test]
    fn every_fault_has_a_count_of_its_own() {
        let mut track = StreamCheck::default();
        for number in [0, 1, 1, 4, 3, 5] {
            track.record(&Frame {
                id: Some(Id {
                    milliseconds: 1,
                    number,
                }),
                ..Frame::default()
            });
        }
        track.record(&Frame::default());
        let faults = Faults {
            lost: 1,
            repeated: 1,
            out_of_order: 1,
            gap_notices: 1,
            closed: 0,
        };
        assert_eq!(track.faults_of(6), faults);
        assert_eq!(track.faults_of(10), Faults { lost: 5, ..faults });
    }
}

//! What one client was sent, judged by the numbers in the ids: they count a stream's events without
//! holes.

use std::collections::HashMap;

use crate::frame::{Frame, Id};

/// The records of one client, one for each of its streams.
#[derive(Debug)]
pub(crate) struct Tracks {
    each: Vec<Track>,
    /// Which of them is whose, by key. None where there is one: its frames do not tell.
    places: HashMap<Vec<u8>, usize>,
}

impl Default for Tracks {
    fn default() -> Self {
        Self {
            each: vec![Track::default()],
            places: HashMap::new(),
        }
    }
}

impl Tracks {
    /// Of streams with these keys.
    pub(crate) fn of<'a>(keys: impl ExactSizeIterator<Item = &'a str>) -> Self {
        match keys.len() {
            0 | 1 => Self::default(),
            count => {
                let each = std::iter::repeat_with(Track::default).take(count).collect();
                Self {
                    each,
                    places: keys
                        .enumerate()
                        .map(|(place, key)| (key.as_bytes().to_vec(), place))
                        .collect(),
                }
            }
        }
    }

    /// Judges a frame; the place of its stream. One of no stream that the client follows counts as
    /// a notice that must not be.
    pub(crate) fn see(&mut self, frame: &Frame<'_>) -> usize {
        let known = if self.places.is_empty() {
            Some(0)
        } else {
            self.places.get(frame.key).copied()
        };
        match known {
            Some(place) => self.each[place].see(frame),
            None => self.first().faults.notices += 1,
        }
        known.unwrap_or_default()
    }

    /// That of the first stream, or of the only one: what concerns a whole connection counts here.
    pub(crate) fn first(&mut self) -> &mut Track {
        &mut self.each[0]
    }

    /// In the order of the streams.
    pub(crate) fn each(&self) -> &[Track] {
        &self.each
    }
}

/// The record of a stream at one client, over all of its connections.
#[derive(Debug, Default)]
pub(crate) struct Track {
    pub(crate) last: Option<Id>,
    /// Numbers that were passed over, as ranges; a late one is taken out again.
    gaps: Vec<std::ops::Range<u64>>,
    pub(crate) faults: Faults,
}

/// What must not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Numbers that never came.
    pub(crate) lost: u64,
    /// Numbers that came again.
    pub(crate) repeated: u64,
    /// Numbers that came after a higher one.
    pub(crate) disordered: u64,
    /// Notices of a gap. Allowed when events were trimmed, which no scenario leads to.
    pub(crate) notices: u64,
    /// Connections that the server closed or that broke.
    pub(crate) closed: u64,
}

impl Track {
    pub(crate) fn see(&mut self, frame: &Frame<'_>) {
        let Some(id) = frame.id else {
            self.faults.notices += 1;
            return;
        };
        match self.last {
            Some(last) if id.number <= last.number => {
                self.see_again(id.number);
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

    /// A number not above the last one: late, or a repeat.
    fn see_again(&mut self, number: u64) {
        let Some(place) = self.gaps.iter().position(|gap| gap.contains(&number)) else {
            self.faults.repeated += 1;
            return;
        };
        let gap = self.gaps.swap_remove(place);
        self.gaps.extend(
            [gap.start..number, number + 1..gap.end]
                .into_iter()
                .filter(|part| !part.is_empty()),
        );
        self.faults.lost -= 1;
        self.faults.disordered += 1;
    }

    /// One more than the last number that came.
    pub(crate) fn reached(&self) -> u64 {
        self.last.map_or(0, |last| last.number + 1)
    }

    /// All faults, given that the stream holds so many events.
    pub(crate) fn faults_of(&self, events: u64) -> Faults {
        Faults {
            lost: self.faults.lost + events.saturating_sub(self.reached()),
            ..self.faults
        }
    }
}

impl std::ops::AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.disordered += other.disordered;
        self.notices += other.notices;
        self.closed += other.closed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_is_judged_by_itself() {
        let frame = |key, number| Frame {
            id: Some(Id {
                milliseconds: 1,
                number,
            }),
            key,
            ..Frame::default()
        };
        let mut tracks = Tracks::of(["a", "b"].into_iter());
        for (key, number) in [
            (b"a", 0),
            (b"b", 0),
            (b"a", 1),
            (b"b", 2),
            (b"b", 2),
            (b"a", 2),
        ] {
            tracks.see(&frame(key, number));
        }
        let judged = |tracks: &Tracks| {
            tracks
                .each()
                .iter()
                .map(|track| track.faults_of(3))
                .collect::<Vec<_>>()
        };
        let good = Faults::default();
        assert_eq!(
            judged(&tracks),
            [
                good,
                Faults {
                    lost: 1,
                    repeated: 1,
                    ..good
                }
            ]
        );
        tracks.see(&frame(b"c", 3));
        assert_eq!(
            judged(&tracks),
            [
                Faults { notices: 1, ..good },
                Faults {
                    lost: 1,
                    repeated: 1,
                    ..good
                }
            ]
        );
    }

    #[test]
    fn every_fault_is_told_from_the_others() {
        let mut track = Track::default();
        for number in [0, 1, 1, 4, 3, 5] {
            track.see(&Frame {
                id: Some(Id {
                    milliseconds: 1,
                    number,
                }),
                ..Frame::default()
            });
        }
        track.see(&Frame::default());
        let faults = Faults {
            lost: 1,
            repeated: 1,
            disordered: 1,
            notices: 1,
            closed: 0,
        };
        assert_eq!(track.faults_of(6), faults);
        assert_eq!(track.faults_of(10), Faults { lost: 5, ..faults });
    }
}

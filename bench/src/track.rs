//! What one client was sent, judged by the numbers in the ids: they count a stream's events without holes.

use crate::frame::{Frame, Id};

/// The record of one client, over all of its connections.
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
        self.gaps.extend([gap.start..number, number + 1..gap.end].into_iter().filter(|part| !part.is_empty()));
        self.faults.lost -= 1;
        self.faults.disordered += 1;
    }

    /// All faults, given that the stream holds so many events.
    pub(crate) fn faults_of(&self, events: u64) -> Faults {
        let next = self.last.map_or(0, |last| last.number + 1);
        Faults { lost: self.faults.lost + events.saturating_sub(next), ..self.faults }
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
    fn every_fault_is_told_from_the_others() {
        let mut track = Track::default();
        for number in [0, 1, 1, 4, 3, 5] {
            track.see(&Frame { id: Some(Id { milliseconds: 1, number }), ..Frame::default() });
        }
        track.see(&Frame::default());
        let faults = Faults { lost: 1, repeated: 1, disordered: 1, notices: 1, closed: 0 };
        assert_eq!(track.faults_of(6), faults);
        assert_eq!(track.faults_of(10), Faults { lost: 5, ..faults });
    }
}

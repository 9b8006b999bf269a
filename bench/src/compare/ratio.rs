//! The ratio of one metric between two builds, over several rounds.

/// The smallest distance from 1 that counts as a difference, even when all rounds agree. The
/// resolution of processor time and the placement of memory cause differences of this size.
const LEAST_DIFFERENCE: f64 = 0.03;

/// The new build's metric, divided by the base's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratio {
    /// The median over the rounds.
    pub(super) median: f64,
    /// The least of a round.
    pub(super) least: f64,
    /// The greatest of a round.
    pub(super) most: f64,
}

/// Whether the builds differ by more than the noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Same,
    Better,
    Worse,
}

impl Ratio {
    /// Computes the ratio from pairs of the base's and the new build's metric, one per round. None
    /// where all values of the base are zero.
    pub(super) fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let mut ratios: Vec<f64> = pairs
            .iter()
            .filter(|(base, _)| *base > 0.0)
            .map(|(base, new)| new / base)
            .collect();
        ratios.sort_by(f64::total_cmp);
        let middle = ratios.len() / 2;
        let median = match ratios.len() % 2 {
            0 => f64::midpoint(*ratios.get(middle.checked_sub(1)?)?, *ratios.get(middle)?),
            _ => *ratios.get(middle)?,
        };
        Some(Self {
            median,
            least: *ratios.first()?,
            most: *ratios.last()?,
        })
    }

    /// A difference counts if every round shows it and it is large enough.
    pub(super) fn verdict(self, more_is_better: bool) -> Verdict {
        let all_agree = self.least > 1.0 || self.most < 1.0;
        if !all_agree || (self.median - 1.0).abs() < LEAST_DIFFERENCE {
            Verdict::Same
        } else if (self.median > 1.0) == more_is_better {
            Verdict::Better
        } else {
            Verdict::Worse
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_counts_and_the_range_is_kept() {
        let ratio = Ratio::of(&[(10.0, 9.0), (10.0, 30.0), (10.0, 11.0)]);
        assert_eq!(
            ratio,
            Some(Ratio {
                median: 1.1,
                least: 0.9,
                most: 3.0
            })
        );
        let even = Ratio::of(&[(1.0, 1.0), (1.0, 2.0)]);
        assert_eq!(
            even,
            Some(Ratio {
                median: 1.5,
                least: 1.0,
                most: 2.0
            })
        );
    }

    #[test]
    fn a_base_of_zero_has_no_ratio() {
        assert_eq!(Ratio::of(&[(0.0, 1.0)]), None);
        assert_eq!(Ratio::of(&[]), None);
    }

    #[test]
    fn a_difference_counts_where_all_rounds_show_it() {
        let verdict = |pairs: &[(f64, f64)], more| Ratio::of(pairs).unwrap().verdict(more);
        let slower = [(100.0, 90.0), (100.0, 88.0), (100.0, 97.0)];
        assert_eq!(
            (verdict(&slower, true), verdict(&slower, false)),
            (Verdict::Worse, Verdict::Better)
        );
        let noisy = [(100.0, 90.0), (100.0, 88.0), (100.0, 101.0)];
        assert_eq!(verdict(&noisy, true), Verdict::Same);
        let slightly = [(100.0, 98.0), (100.0, 99.0), (100.0, 97.5)];
        assert_eq!(verdict(&slightly, true), Verdict::Same);
    }
}

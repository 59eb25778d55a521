//! Hyperband (Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar: "Hyperband: A Novel Bandit-Based Approach to
//! Hyperparameter Optimization", JMLR 2018): brackets of synchronous successive halving, from many trials that begin
//! with few epochs to few that are trained to the end.

/// The share of trials that continues at each rung is 1 of this number (η).
const KEPT: usize = 3;

/// A bracket: the trials that are compared with each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bracket {
    /// Number of trials at the first rung.
    pub trials: usize,
    /// The epochs that the trials of each rung have been trained for at its end.
    pub rungs: Vec<usize>,
}

impl Bracket {
    /// The bracket with this number, from 0, of trainings of `epochs` epochs. Brackets repeat after the one that stops
    /// no trial.
    #[must_use]
    pub fn numbered(number: usize, epochs: usize) -> Self {
        let most = most_halvings(epochs);
        let halvings = most - number % (most + 1);
        // Fewer at a time would leave nothing for several workers.
        let trials = ((most + 1) * KEPT.pow(halvings as u32)).div_ceil(halvings + 1).max(KEPT);
        let rung = |left: usize| ((epochs as f64 / KEPT.pow(left as u32) as f64).round() as usize).max(1);
        Self { trials, rungs: (0..=halvings).rev().map(rung).collect() }
    }

    /// A bracket that stops no trial.
    #[must_use]
    pub fn whole(trials: usize, epochs: usize) -> Self {
        Self { trials, rungs: vec![epochs] }
    }

    /// How many of `trials` continue after a rung.
    #[must_use]
    pub fn kept(trials: usize) -> usize {
        (trials / KEPT).max(1)
    }
}

/// The largest power of [`KEPT`] that is not above the epochs.
fn most_halvings(epochs: usize) -> usize {
    (0..).take_while(|&power| KEPT.pow(power + 1) <= epochs).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table in the paper, for a maximum of 81.
    #[test]
    fn brackets_are_those_of_the_paper() {
        let shown: Vec<(usize, Vec<usize>)> =
            (0..6).map(|number| Bracket::numbered(number, 81)).map(|bracket| (bracket.trials, bracket.rungs)).collect();
        let expected = [
            (81, vec![1, 3, 9, 27, 81]),
            (34, vec![3, 9, 27, 81]),
            (15, vec![9, 27, 81]),
            (8, vec![27, 81]),
            (5, vec![81]),
            (81, vec![1, 3, 9, 27, 81]),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn short_trainings_are_not_stopped() {
        for epochs in 1..3 {
            assert_eq!(Bracket::numbered(0, epochs), Bracket { trials: 3, rungs: vec![epochs] });
        }
        assert_eq!(Bracket::numbered(0, 15), Bracket { trials: 9, rungs: vec![2, 5, 15] });
        assert_eq!([1, 2, 3, 5, 9].map(Bracket::kept), [1, 1, 1, 1, 3]);
    }
}

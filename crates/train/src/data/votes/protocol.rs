//! FER+'s rules for the votes on one image, as in its authors' `ferplus.py`.
//!
//! Votes are counts of the classes, followed by those for `unknown` and for "not a face". A count of
//! one is an outlier and is removed first.

use crate::config::VoteMode;

/// Columns after those of the classes: `unknown`, and not a face.
pub(super) const OTHERS: usize = 2;

/// Why the votes on an image give no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// No class has enough votes.
    NoAgreement,
    /// Most people chose `unknown`.
    Unknown,
    /// Most people saw no face.
    NotAFace,
    /// Most people chose a class that the data set does not have.
    OtherClass,
}

/// The distribution over the classes that FER+'s protocol makes of the votes on an image.
///
/// # Errors
/// When the protocol leaves the image out.
pub fn processed(counts: &[f32], mode: VoteMode) -> Result<Vec<f32>, Unusable> {
    let mut votes: Vec<f32> = counts.iter().map(|&count| if count <= 1.0 { 0.0 } else { count }).collect();
    let sum: f32 = votes.iter().sum();
    let classes = votes.len().saturating_sub(OTHERS);
    let mut kept = vec![0.0; votes.len()];
    if mode == VoteMode::Majority {
        let first = first_largest(&votes);
        if votes[first] <= 0.5 * sum {
            return Err(Unusable::NoAgreement);
        }
        kept[first] = 1.0;
    } else {
        most_frequent(&mut votes, sum, classes, &mut kept)?;
    }
    match first_largest(&kept) {
        largest if largest < classes => {}
        largest if largest == classes => return Err(Unusable::Unknown),
        _ => return Err(Unusable::NotAFace),
    }
    kept.truncate(classes);
    let sum: f32 = kept.iter().sum();
    kept.iter_mut().for_each(|share| *share /= sum);
    Ok(kept)
}

/// Takes the most frequent columns from `votes` until they have three quarters of them.
fn most_frequent(votes: &mut [f32], sum: f32, classes: usize, kept: &mut [f32]) -> Result<(), Unusable> {
    let (mut taken, mut count, mut only_classes) = (0.0, 0, true);
    while taken < 0.75 * sum && count < 3 && only_classes {
        let most = votes.iter().copied().fold(0.0, f32::max);
        for (column, vote) in votes.iter_mut().enumerate().filter(|(_, vote)| **vote == most) {
            kept[column] = *vote;
            taken += std::mem::take(vote);
            count += 1;
            if column >= classes {
                only_classes = false;
                // Classes with as many votes, or more, come first.
                if kept.iter().sum::<f32>() > most {
                    kept[column] = 0.0;
                    count -= 1;
                }
                break;
            }
        }
    }
    if kept.iter().sum::<f32>() <= 0.5 * sum || count > 3 { Err(Unusable::NoAgreement) } else { Ok(()) }
}

/// The share of all votes that `class` has: how often one person agrees with it.
#[must_use]
pub fn agreement_of_one(counts: &[f32], class: usize) -> f64 {
    let sum: f32 = counts.iter().sum();
    if sum > 0.0 { f64::from(counts[class] / sum) } else { 0.0 }
}

/// Index of the largest value; the first one wins a tie.
fn first_largest(values: &[f32]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use VoteMode::{CrossEntropy, Majority, Probability};

    /// FER+'s ten columns: neutral, happiness, surprise, sadness, anger, disgust, fear, contempt,
    /// unknown, not a face.
    fn by(mode: VoteMode, counts: [u8; 10]) -> Result<Vec<f32>, Unusable> {
        processed(&counts.map(f32::from), mode)
    }

    #[test]
    fn single_votes_are_outliers() {
        // 6 of 8 remaining votes.
        assert_eq!(by(Majority, [6, 0, 1, 1, 0, 0, 0, 0, 2, 0]), Ok(vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
        // 4 of 8 with their outliers, 4 of 7 without them.
        assert_eq!(by(Majority, [4, 1, 0, 3, 1, 1, 0, 0, 0, 0]).unwrap()[0], 1.0);
        assert_eq!(by(Majority, [1; 10]), Err(Unusable::NoAgreement));
    }

    #[test]
    fn a_majority_has_more_than_half_of_the_votes() {
        assert_eq!(by(Majority, [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Unusable::NoAgreement));
        assert_eq!(by(Majority, [2, 0, 0, 0, 0, 0, 0, 0, 8, 0]), Err(Unusable::Unknown));
        assert_eq!(by(Majority, [0, 0, 0, 0, 0, 0, 0, 0, 0, 10]), Err(Unusable::NotAFace));
        assert_eq!(by(Majority, [0, 0, 0, 0, 0, 0, 0, 7, 3, 0]).unwrap()[7], 1.0);
    }

    #[test]
    fn cross_entropy_keeps_the_most_frequent_classes() {
        let near = |found: Result<Vec<f32>, Unusable>, expected: [f32; 8]| {
            let found = found.unwrap();
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        };
        // Four and three of nine are more than three quarters.
        near(by(CrossEntropy, [4, 0, 0, 1, 3, 2, 0, 0, 0, 0]), [4.0 / 7.0, 0.0, 0.0, 0.0, 3.0 / 7.0, 0.0, 0.0, 0.0]);
        near(by(CrossEntropy, [4, 0, 0, 0, 3, 3, 0, 0, 0, 0]), [0.4, 0.0, 0.0, 0.0, 0.3, 0.3, 0.0, 0.0]);
        // Three quarters are reached without the last two votes.
        near(by(CrossEntropy, [0, 8, 0, 2, 0, 0, 0, 0, 0, 0]), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        // `unknown` has as many votes as a class.
        near(by(CrossEntropy, [6, 0, 0, 2, 0, 0, 0, 0, 2, 0]), [0.75, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(by(CrossEntropy, [2, 2, 2, 2, 2, 0, 0, 0, 0, 0]), Err(Unusable::NoAgreement));
        assert_eq!(by(CrossEntropy, [3, 0, 0, 0, 0, 0, 0, 0, 7, 0]), Err(Unusable::Unknown));
        // Half of the votes is not enough.
        assert_eq!(by(CrossEntropy, [4, 0, 0, 0, 0, 0, 0, 0, 4, 0]), Err(Unusable::NoAgreement));
        assert_eq!(by(Probability, [4, 0, 0, 1, 3, 2, 0, 0, 0, 0]), by(CrossEntropy, [4, 0, 0, 1, 3, 2, 0, 0, 0, 0]));
    }

    #[test]
    fn the_agreement_of_one_person_is_a_share_of_all_votes() {
        assert_eq!(agreement_of_one(&[5.0, 0.0, 1.0, 1.0, 3.0, 0.0], 0), 0.5);
        assert_eq!(agreement_of_one(&[0.0; 4], 0), 0.0);
    }
}

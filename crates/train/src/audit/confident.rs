//! Confident learning (Northcutt, Jiang, Chuang: "Confident Learning: Estimating Uncertainty in Dataset Labels", 2021):
//! which labels contradict out-of-fold probabilities, and how noisy the labels of each class are.

use crate::evaluate::{Z, wilson};
use serde::Serialize;

/// Labels and out-of-fold probabilities `[N, classes]`, and what confident learning makes of them.
#[derive(Clone, Debug)]
pub struct Confident {
    /// For each class, the mean probability of the class among the images with its label; 1 for a class without images.
    pub thresholds: Vec<f64>,
    /// The confident joint: images by label (row) and confident class (column).
    pub joint: Vec<Vec<usize>>,
    /// For each image, its confident class: the most probable of those whose threshold its probability reaches.
    pub confident: Vec<Option<usize>>,
    /// Images of each label.
    pub per_class: Vec<usize>,
}

/// The noise of a pair of classes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NoisePair {
    /// The label.
    pub given: String,
    /// The class that these images probably belong to.
    pub suggested: String,
    /// Number of images with the label that confidently belong to the other class.
    pub issues: usize,
    /// Estimated number of images with the label that belong to the other class.
    pub estimated: f64,
    /// The same as a share of the images with the label.
    pub share: f64,
    /// 95 % interval of the share (Wilson), with fixed thresholds.
    pub share_ci95: [f64; 2],
}

impl Confident {
    /// Counts the confident joint.
    #[must_use]
    pub fn new(labels: &[u32], probabilities: &[f32], classes: usize) -> Self {
        let (mut sums, mut per_class) = (vec![0.0; classes], vec![0; classes]);
        for (&label, row) in labels.iter().zip(probabilities.chunks_exact(classes)) {
            sums[label as usize] += f64::from(row[label as usize]);
            per_class[label as usize] += 1;
        }
        let threshold = |(sum, &count): (&f64, &usize)| if count == 0 { 1.0 } else { sum / count as f64 };
        let thresholds: Vec<f64> = sums.iter().zip(&per_class).map(threshold).collect();
        let mut joint = vec![vec![0; classes]; classes];
        let mut confident = Vec::with_capacity(labels.len());
        for (&label, row) in labels.iter().zip(probabilities.chunks_exact(classes)) {
            let reached =
                (0..classes).filter(|&class| per_class[class] > 0 && f64::from(row[class]) >= thresholds[class]);
            let most = reached.reduce(|best, class| if row[class] > row[best] { class } else { best });
            if let Some(class) = most {
                joint[label as usize][class] += 1;
            }
            confident.push(most);
        }
        Self { thresholds, joint, confident, per_class }
    }

    /// Whether the label of an image contradicts its confident class, which is then returned.
    #[must_use]
    pub fn suggestion(&self, at: usize, label: u32) -> Option<usize> {
        self.confident[at].filter(|&class| class != label as usize)
    }

    /// The estimated joint distribution of labels (rows) and true classes: the confident joint, calibrated so that each
    /// row has the share of its label.
    #[must_use]
    pub fn calibrated_joint(&self) -> Vec<Vec<f64>> {
        let all = self.per_class.iter().sum::<usize>().max(1) as f64;
        let row = |(label, counts): (usize, &Vec<usize>)| {
            let (sum, own) = (counts.iter().sum::<usize>(), self.per_class[label] as f64 / all);
            let share = |(class, &count): (usize, &usize)| match sum {
                0 => own * f64::from(u8::from(class == label)),
                _ => own * count as f64 / sum as f64,
            };
            counts.iter().enumerate().map(share).collect()
        };
        self.joint.iter().enumerate().map(row).collect()
    }

    /// The estimated share of wrong labels and its 95 % interval: normal, of a sum over classes, with fixed thresholds.
    #[must_use]
    pub fn noise(&self) -> (f64, [f64; 2]) {
        let all = self.per_class.iter().sum::<usize>().max(1) as f64;
        let (mut noise, mut variance) = (0.0, 0.0);
        for (class, counts) in self.joint.iter().enumerate() {
            let sum = counts.iter().sum::<usize>();
            if sum == 0 {
                continue;
            }
            let (wrong, weight) = ((sum - counts[class]) as f64 / sum as f64, self.per_class[class] as f64 / all);
            noise += weight * wrong;
            variance += weight * weight * wrong * (1.0 - wrong) / sum as f64;
        }
        let half = Z * variance.sqrt();
        (noise, [(noise - half).max(0.0), (noise + half).min(1.0)])
    }

    /// The estimated share of wrong labels of a class and its 95 % interval.
    #[must_use]
    pub fn noise_of(&self, class: usize) -> (f64, [f64; 2]) {
        let (counts, sum) = (&self.joint[class], self.joint[class].iter().sum::<usize>());
        let wrong = sum - counts[class];
        (wrong as f64 / sum.max(1) as f64, wilson(wrong, sum))
    }

    /// The pairs of different classes with confident images, the most frequent first.
    #[must_use]
    pub fn pairs(&self, classes: &[String]) -> Vec<NoisePair> {
        let mut pairs = Vec::new();
        for (label, counts) in self.joint.iter().enumerate() {
            let sum = counts.iter().sum::<usize>();
            for (class, &count) in counts.iter().enumerate().filter(|&(class, &count)| class != label && count > 0) {
                let share = count as f64 / sum as f64;
                pairs.push(NoisePair {
                    given: classes[label].clone(),
                    suggested: classes[class].clone(),
                    issues: count,
                    estimated: share * self.per_class[label] as f64,
                    share,
                    share_ci95: wilson(count, sum),
                });
            }
        }
        pairs.sort_by(|a, b| b.estimated.total_cmp(&a.estimated).then_with(|| a.given.cmp(&b.given)));
        pairs
    }
}

/// The probability of the label.
#[must_use]
pub fn self_confidence(row: &[f32], label: u32) -> f32 {
    row[label as usize]
}

/// The normalized margin, 0–1: the probability of the label minus that of the most probable other class, plus 1, halved.
#[must_use]
pub fn margin(row: &[f32], label: u32) -> f32 {
    let others = row.iter().enumerate().filter(|&(class, _)| class != label as usize);
    let most = others.map(|(_, &p)| p).fold(0.0, f32::max);
    (row[label as usize] - most + 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The thresholds are 0.6 and 0.65.
    fn found() -> Confident {
        let probabilities = [0.9, 0.1, 0.7, 0.3, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6, 0.55, 0.45];
        Confident::new(&[0, 0, 0, 1, 1, 0], &probabilities, 2)
    }

    #[test]
    fn the_confident_joint_is_that_of_the_definition() {
        let found = found();
        assert!((found.thresholds[0] - 0.5875).abs() < 1e-6 && (found.thresholds[1] - 0.65).abs() < 1e-6);
        assert_eq!(found.joint, [[2, 1], [0, 1]]);
        assert_eq!(found.confident, [Some(0), Some(0), Some(1), Some(1), None, None]);
        assert_eq!((found.suggestion(2, 0), found.suggestion(3, 1), found.suggestion(4, 1)), (Some(1), None, None));
    }

    #[test]
    fn the_joint_is_calibrated_to_the_counts_of_labels() {
        let (found, names) = (found(), ["a", "b"].map(str::to_owned));
        let joint = found.calibrated_joint();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        near(joint[0].iter().sum(), 4.0 / 6.0);
        near(joint[0][1], 4.0 / 6.0 / 3.0);
        near(joint[1][1], 2.0 / 6.0);
        let pairs = found.pairs(&names);
        assert_eq!((pairs.len(), pairs[0].issues, pairs[0].given.as_str()), (1, 1, "a"));
        near(pairs[0].estimated, 4.0 / 3.0);
        near(found.noise().0, 4.0 / 6.0 / 3.0);
        assert!(found.noise().1[0] < found.noise().0 && found.noise().0 < found.noise().1[1]);
    }

    #[test]
    fn scores_are_lower_for_worse_labels() {
        let row = [0.1, 0.7, 0.2];
        assert_eq!(self_confidence(&row, 2), 0.2);
        assert!((margin(&row, 1) - 0.75).abs() < 1e-6 && (margin(&row, 0) - 0.2).abs() < 1e-6);
    }

    #[test]
    fn a_class_without_images_is_never_suggested() {
        let found = Confident::new(&[0, 0], &[0.1, 0.9, 0.0, 1.0], 2);
        assert_eq!(found.joint, [[1, 0], [0, 0]]);
        assert_eq!(found.confident, [Some(0), None]);
    }
}

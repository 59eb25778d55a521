//! Metrics against people's votes: FER+'s protocol, and the distribution of the votes.

use super::calibration::cross_fit;
use super::metrics::{Metrics, compute_metrics, wilson};
use super::predictions::Predictions;
use super::selective::Selective;
use crate::config::CalibrationKind;
use crate::data::{Dataset, ImageVotes, Unusable, agreement_of_one};
use moue::model::Model;
use moue_engine::loss::argmax;
use serde::Serialize;

/// Bins of the calibration error.
const BINS: usize = 15;

/// Metrics of predictions against people's votes, by FER+'s protocol (Barsoum et al. 2016): of each image, the classes
/// with one vote are removed; the image counts if one class has more than half of the others.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VoteMetrics {
    /// Number of images whose votes have a majority for a class; published accuracies depend on it.
    pub n: usize,
    /// Share of them whose prediction is the majority. A model without a class of the votes is wrong on its images.
    pub accuracy: f64,
    /// 95 % confidence interval of the accuracy (Wilson).
    pub accuracy_ci95: [f64; 2],
    /// Metrics of the images whose majority is a class of the model; the labels are the majority.
    pub of_classes: Metrics,
    /// The predictions that are not uncertain, of the same images; absent for a model without a threshold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selective: Option<Selective>,
    /// Mean cross-entropy of predictions and votes, without single votes, of the same images.
    pub cross_entropy: f64,
    /// Mean entropy of these votes: the lowest cross-entropy that is possible.
    pub entropy: f64,
    /// Calibration error against the votes over 15 bins: the confidence of a prediction compared with the share of these
    /// votes that its class has.
    pub ece: f64,
    /// Share of the `n` images whose label in the data set is the majority.
    pub label_agreement: f64,
    /// Mean share of an image's votes that its majority has, over the `n` images: how often one person agrees with the
    /// majority, which that person is part of.
    pub agreement_of_one: f64,
    /// Number of images of the split without a majority.
    pub no_majority: usize,
    /// Number of images whose majority is `unknown`.
    pub unknown: usize,
    /// Number of images whose majority is "not a face".
    pub not_a_face: usize,
    /// Number of images without votes.
    pub no_votes: usize,
}

/// Images with their majority.
#[derive(Default)]
struct Voted {
    /// Rows of the predictions whose majority is a class of the model.
    rows: Vec<usize>,
    majority: Vec<u32>,
    n: usize,
    hits: usize,
    labels_agree: usize,
    agreement: f64,
    left_out: [usize; 4],
}

impl Voted {
    /// The predictions for images whose majority is a class of the model, with the majority as the label.
    fn predictions(&self, all: &Predictions, classes: usize) -> Predictions {
        let probabilities = self.rows.iter().flat_map(|&row| &all.probabilities[row * classes..][..classes]);
        Predictions {
            images: self.rows.iter().map(|&row| all.images[row]).collect(),
            labels: self.majority.clone(),
            probabilities: probabilities.copied().collect(),
        }
    }
}

fn voted(predictions: &Predictions, dataset: &Dataset, votes: &ImageVotes) -> Voted {
    let classes = dataset.classes().len();
    let mut found = Voted::default();
    for (row, &image) in predictions.images.iter().enumerate() {
        let column = match votes.majority(image) {
            Some(Ok(column)) => column,
            Some(Err(Unusable::Unknown)) => {
                found.left_out[1] += 1;
                continue;
            }
            Some(Err(Unusable::NotAFace)) => {
                found.left_out[2] += 1;
                continue;
            }
            Some(Err(_)) => {
                found.left_out[0] += 1;
                continue;
            }
            None => {
                found.left_out[3] += 1;
                continue;
            }
        };
        found.n += 1;
        found.agreement += agreement_of_one(votes.counts(image).unwrap_or_default(), column);
        let Some(class) = votes.class_of_column(column) else { continue };
        found.hits += usize::from(argmax(&predictions.probabilities[row * classes..][..classes]) == class);
        found.labels_agree += usize::from(predictions.labels[row] as usize == class);
        found.rows.push(row);
        found.majority.push(class as u32);
    }
    found
}

/// Computes the metrics of a model's predictions for images of a data set with votes. Where the model was calibrated on
/// the majority of these votes, the probabilities are to be cross-fitted.
#[must_use]
pub fn vote_metrics(
    model: &Model,
    predictions: &Predictions,
    dataset: &Dataset,
    votes: &ImageVotes,
    cross_fitted: bool,
) -> VoteMetrics {
    let classes = dataset.classes().len();
    let found = voted(predictions, dataset, votes);
    let mut of_voted = found.predictions(predictions, classes);
    if cross_fitted {
        of_voted.probabilities = cross_fit(model, &of_voted, CalibrationKind::Temperature).probabilities;
    }
    let Predictions { images, labels: majority, probabilities } = of_voted;
    let (mut cross_entropy, mut entropy) = (0.0, 0.0);
    // Sums of confidence and share of the votes.
    let mut bins = [[0.0; 2]; BINS];
    for (predicted, &image) in probabilities.chunks_exact(classes).zip(&images) {
        let shares = votes.shares(image, classes);
        for (&p, &share) in predicted.iter().zip(&shares).filter(|(_, share)| **share > 0.0) {
            cross_entropy -= share * libm::log(f64::from(p.max(f32::MIN_POSITIVE)));
            entropy -= share * libm::log(share);
        }
        let class = argmax(predicted);
        let confidence = f64::from(predicted[class]);
        let bin = &mut bins[((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1];
        bin[0] += confidence;
        bin[1] += shares[class];
    }
    let Voted { n, hits, labels_agree, agreement, left_out, .. } = found;
    let mean = |sum: f64| sum / majority.len().max(1) as f64;
    let share = |part: usize| part as f64 / n.max(1) as f64;
    let [no_majority, unknown, not_a_face, no_votes] = left_out;
    VoteMetrics {
        n,
        accuracy: share(hits),
        accuracy_ci95: wilson(hits, n),
        selective: Selective::new(model.uncertain_below(), dataset.classes(), &majority, &probabilities),
        cross_entropy: mean(cross_entropy),
        entropy: mean(entropy),
        ece: mean(bins.iter().map(|[confidence, share]| (confidence - share).abs()).sum()),
        label_agreement: share(labels_agree),
        agreement_of_one: agreement / n.max(1) as f64,
        of_classes: compute_metrics(dataset.classes(), &majority, &probabilities),
        no_majority,
        unknown,
        not_a_face,
        no_votes,
    }
}

/// Accuracy by FER+'s protocol, and macro recall over the classes of the data set.
#[must_use]
pub fn vote_accuracy(predictions: &Predictions, dataset: &Dataset, votes: &ImageVotes) -> (f64, f64) {
    let found = voted(predictions, dataset, votes);
    let own = found.predictions(predictions, dataset.classes().len());
    let metrics = compute_metrics(dataset.classes(), &own.labels, &own.probabilities);
    (found.hits as f64 / found.n.max(1) as f64, metrics.macro_recall)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::data::{LabeledImage, Split, Votes};
    use moue::model::Calibration;

    #[test]
    fn metrics_equal_a_manual_computation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("votes.csv");
        // Majorities: happy, sad, contempt; then none, unknown and not a face.
        let text = "row,happy,sad,contempt,unknown,nf\n0,8,2,0,0,0\n1,0,10,0,0,0\n2,0,1,9,0,0\n3,5,5,0,0,0\n4,0,0,0,9,1\n5,0,0,0,0,10\n";
        std::fs::write(&path, text).unwrap();
        let image = |i: usize| LabeledImage { id: i.to_string(), label: 0, split: Split::Validation, pixels: vec![0] };
        let data = Dataset::from_images(&["happy", "sad"].map(str::to_owned), [1, 1, 1], (0..7).map(image)).unwrap();
        let votes = Votes::open(&path).unwrap().matched(&data).unwrap();
        let probabilities =
            [[0.6, 0.4], [0.3, 0.7], [0.9, 0.1], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]].concat();
        let predictions = Predictions { images: (0..7).collect(), labels: vec![0; 7], probabilities };
        let network = "[model]\nname = \"it\"\ninput = [1, 1, 1]\nlayers = [{ kind = \"flatten\" }, { kind = \"dense\", units = \"classes\" }]";
        let mut model =
            Model::untrained(Config::parse("it", network).unwrap().model, data.classes().to_vec(), 1).unwrap();
        model.set_calibration(Calibration::default(), 0.65).unwrap();
        let found = vote_metrics(&model, &predictions, &data, &votes, false);
        // The prediction with a confidence of 0.7 is certain, and correct.
        let selective = found.selective.as_ref().unwrap();
        assert_eq!((selective.coverage, selective.accuracy), (0.5, 1.0));
        assert_eq!((found.n, found.of_classes.n), (3, 2));
        assert_eq!((found.no_majority, found.unknown, found.not_a_face, found.no_votes), (1, 1, 1, 1));
        // Without contempt, the model is wrong on the third image.
        assert!((found.accuracy - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((found.of_classes.accuracy, found.of_classes.macro_recall), (1.0, 1.0));
        let cross_entropy = -(0.8 * 0.6f64.ln() + 0.2 * 0.4f64.ln() + 0.7f64.ln()) / 2.0;
        let entropy = -(0.8 * 0.8f64.ln() + 0.2 * 0.2f64.ln()) / 2.0;
        assert!((found.cross_entropy - cross_entropy).abs() < 1e-6, "{}", found.cross_entropy);
        assert!((found.entropy - entropy).abs() < 1e-6, "{}", found.entropy);
        // Confidence 0.6 for a share of 0.8, and 0.7 for 1.
        assert!((found.ece - 0.25).abs() < 1e-6, "{}", found.ece);
        assert!((found.agreement_of_one - (0.8 + 1.0 + 0.9) / 3.0).abs() < 1e-6);
        assert!((found.label_agreement - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(vote_accuracy(&predictions, &data, &votes), (found.accuracy, 1.0));
        // Cross-fitting calibrates on the majority, and not on the labels, half of which are wrong.
        let fitted = vote_metrics(&model, &predictions, &data, &votes, true);
        let own = Predictions { images: vec![0, 1], labels: vec![0, 1], probabilities: vec![0.6, 0.4, 0.3, 0.7] };
        assert_eq!(fitted.of_classes.nll, cross_fit(&model, &own, CalibrationKind::Temperature).nll);
        assert!(fitted.accuracy == found.accuracy && fitted.of_classes.nll < found.of_classes.nll, "{fitted:?}");
    }
}

//! The results of an audit: a document, and one line for each image.

use super::confident::{Confident, NoisePair, margin, self_confidence};
use super::groups::{GroupMember, Groups, agreement, members};
use super::kinds::Kind;
use super::outliers::outliers;
use super::pictures::Fault;
use super::predictions::OutOfFold;
use crate::data::{Dataset, Split};
use crate::evaluate::wilson;
use moue_engine::loss::argmax;
use serde::Serialize;
use std::path::PathBuf;

/// The columns of `issues.csv` after `row` or `file`.
pub const ISSUE_COLUMNS: [&str; 4] = ["given", "suggested", "score", "kinds"];

/// The columns of `scores.csv` after `row` or `file`; one for each class follows.
pub const SCORE_COLUMNS: [&str; 8] =
    ["split", "given", "predicted", "suggested", "self_confidence", "margin", "distance", "kinds"];

/// What was found about an image.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditedImage {
    /// Index in the data set.
    pub image: usize,
    /// Its place among the images with out-of-fold probabilities.
    pub at: Option<usize>,
    /// The most probable class, out of fold.
    pub predicted: Option<usize>,
    /// The class that the image probably belongs to, where that is not its label.
    pub suggested: Option<usize>,
    /// The out-of-fold probability of the label.
    pub self_confidence: Option<f32>,
    /// Normalized margin of the label, 0–1.
    pub margin: Option<f32>,
    /// Relative distance of the features to those of the nearest neighbors.
    pub distance: Option<f32>,
    /// The issues and their scores, 0–1, lower for worse ones; in the order of [`Kind::ALL`].
    pub issues: Vec<(Kind, f32)>,
}

impl AuditedImage {
    /// The score of its first issue; 1 without issues.
    #[must_use]
    pub fn score(&self) -> f32 {
        self.issues.first().map_or(1.0, |(_, score)| *score)
    }

    /// The names of the issues, separated by semicolons.
    #[must_use]
    pub fn kinds(&self) -> String {
        self.issues.iter().map(|(kind, _)| kind.name()).collect::<Vec<_>>().join(";")
    }
}

/// The noise of a class.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClassNoise {
    /// The class.
    pub label: String,
    /// Number of audited images with this label.
    pub images: usize,
    /// Threshold of confident learning: the mean out-of-fold probability of the class among them.
    pub threshold: f64,
    /// Number of label issues.
    pub issues: usize,
    /// Estimated share of wrong labels.
    pub noise: f64,
    /// Its 95 % interval (Wilson), with fixed thresholds.
    pub noise_ci95: [f64; 2],
}

/// The number of images with an issue.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KindCount {
    /// The kind of issue.
    pub kind: Kind,
    /// Number of images.
    pub images: usize,
}

/// The results of an audit, as `audit.json` has them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditDocument {
    /// The folder with the results.
    pub out: PathBuf,
    /// The data.
    pub data: String,
    /// The audited splits.
    pub split: String,
    /// Number of images in the data.
    pub images: usize,
    /// Number of images whose labels were audited.
    pub audited: usize,
    /// The network that was trained, or the model.
    pub model: String,
    /// Number of folds; null for a given model.
    pub folds: Option<usize>,
    /// Epochs of each training; null for a given model.
    pub epochs: Option<usize>,
    /// The seed.
    pub seed: u64,
    /// Number of audited images that the given model was trained on; null where they are not known, and without a model.
    pub training_overlap: Option<usize>,
    /// SHA-256 of the applied fixes; null without fixes.
    pub fixes: Option<String>,
    /// Share of the labels that are the out-of-fold prediction.
    pub agreement: f64,
    /// Its 95 % interval (Wilson).
    pub agreement_ci95: [f64; 2],
    /// Number of label issues.
    pub label_issues: usize,
    /// Estimated share of wrong labels.
    pub noise: f64,
    /// Its 95 % interval, with fixed thresholds. It covers the sampling of images, not errors of the network.
    pub noise_ci95: [f64; 2],
    /// The classes, in alphabetical order.
    pub classes: Vec<ClassNoise>,
    /// Pairs of classes, the noisiest first.
    pub pairs: Vec<NoisePair>,
    /// The estimated joint distribution of labels (rows) and true classes (columns), in the order of `classes`.
    pub joint: Vec<Vec<f64>>,
    /// Number of images with each kind of issue.
    pub issues: Vec<KindCount>,
    /// Number of images with any issue: the rows of `issues.csv`.
    pub images_with_issues: usize,
    /// Number of groups of near-duplicates.
    pub duplicate_groups: usize,
    /// Groups of near-duplicates with different labels.
    pub conflicts: Vec<Vec<GroupMember>>,
    /// Groups of near-duplicates in the training split and another one.
    pub leaks: Vec<Vec<GroupMember>>,
    /// Whether the audit is finished.
    pub complete: bool,
}

/// What was computed from a data set.
pub struct Findings<'a> {
    /// The data set, with its own splits.
    pub dataset: &'a Dataset,
    /// The images with out-of-fold predictions.
    pub images: &'a [usize],
    /// The predictions.
    pub predictions: &'a OutOfFold,
    /// Groups of near-duplicates.
    pub groups: &'a [Vec<usize>],
    /// The faults of each picture.
    pub faults: Vec<Vec<Fault>>,
}

/// A finished audit.
#[derive(Clone, Debug, PartialEq)]
pub struct Audit {
    /// Counts and estimates.
    pub document: AuditDocument,
    /// All images of the data set, in its order.
    pub images: Vec<AuditedImage>,
    /// The images with issues: label issues first, worst first.
    pub order: Vec<usize>,
    /// `[audited, classes]`, in the order of the images.
    pub probabilities: Vec<f32>,
}

impl Audit {
    /// Puts all findings together; `document` has what is known before: data, model, options.
    #[must_use]
    pub fn new(found: Findings<'_>, document: AuditDocument) -> Self {
        let Findings { dataset, images, predictions, groups, faults } = found;
        let labels: Vec<u32> = images.iter().map(|&image| dataset.labels[image]).collect();
        let classes = dataset.classes.len();
        let confident = Confident::new(&labels, &predictions.probabilities, classes);
        let mut all: Vec<AuditedImage> = (0..dataset.len()).map(blank).collect();
        let far = outliers(&predictions.distances);
        for (at, (&image, &label)) in images.iter().zip(&labels).enumerate() {
            let (own, row) = (&mut all[image], &predictions.probabilities[at * classes..(at + 1) * classes]);
            own.at = Some(at);
            own.predicted = Some(argmax(row));
            own.self_confidence = Some(self_confidence(row, label));
            own.margin = Some(margin(row, label));
            own.suggested = confident.suggestion(at, label);
            if own.suggested.is_some() {
                own.issues.push((Kind::Label, margin(row, label)));
            }
        }
        let own_groups = Groups::new(dataset, groups);
        for group in &own_groups.conflicts {
            for &image in group {
                let (share, majority) = agreement(dataset, group, image);
                let own = &mut all[image];
                own.issues.push((Kind::Conflict, share));
                let other = majority.filter(|&class| class != dataset.labels[image] as usize);
                own.suggested = own.suggested.or(other);
            }
        }
        for group in &own_groups.leaks {
            for &image in group.iter().filter(|&&image| dataset.splits[image] == Split::Train) {
                all[image].issues.push((Kind::Leak, 0.0));
            }
        }
        for ((&image, &distance), far) in images.iter().zip(&predictions.distances).zip(far) {
            all[image].distance = Some(distance);
            if far {
                all[image].issues.push((Kind::Outlier, 1.0 / distance.max(1.0)));
            }
        }
        for (own, faults) in all.iter_mut().zip(faults) {
            own.issues.extend(faults.into_iter().map(|fault| (fault.kind, fault.score)));
            own.issues.sort_by_key(|(kind, _)| *kind);
        }
        let mut order: Vec<usize> = (0..all.len()).filter(|&image| !all[image].issues.is_empty()).collect();
        let key = |image: usize| all[image].issues.first().map(|(kind, _)| *kind);
        order.sort_by(|&a, &b| key(a).cmp(&key(b)).then(all[a].score().total_cmp(&all[b].score())).then(a.cmp(&b)));
        let document = AuditDocument { duplicate_groups: groups.len(), ..document };
        let document = summarized(document, dataset, &confident, &all, &own_groups);
        Self { document, images: all, order, probabilities: predictions.probabilities.clone() }
    }

    /// `issues.csv`: the images with issues.
    #[must_use]
    pub fn issues_csv(&self, dataset: &Dataset) -> Vec<u8> {
        let key = key_name(dataset);
        let mut table = csv::Writer::from_writer(Vec::new());
        // Writing to memory cannot fail.
        let _ = table.write_record(std::iter::once(key).chain(ISSUE_COLUMNS));
        for row in self.issues(dataset) {
            let score = format!("{:.6}", row.score);
            let _ =
                table.write_record([&row.id, &row.given, row.suggested.as_deref().unwrap_or(""), &score, &row.kinds]);
        }
        table.into_inner().unwrap_or_default()
    }

    /// The rows of `issues.csv`.
    pub fn issues<'a>(&'a self, dataset: &'a Dataset) -> impl Iterator<Item = IssueRow> + 'a {
        self.order.iter().map(|&image| {
            let own = &self.images[image];
            IssueRow {
                id: row_or_file(dataset, image),
                given: dataset.classes[dataset.labels[image] as usize].clone(),
                suggested: own.suggested.map(|class| dataset.classes[class].clone()),
                score: own.score(),
                kinds: own.kinds(),
            }
        })
    }

    /// `scores.csv`: all images.
    #[must_use]
    pub fn scores_csv(&self, dataset: &Dataset) -> Vec<u8> {
        let classes = dataset.classes.len();
        let mut table = csv::Writer::from_writer(Vec::new());
        let header = std::iter::once(key_name(dataset)).chain(SCORE_COLUMNS).map(str::to_owned);
        let _ = table.write_record(header.chain(dataset.classes.iter().map(|class| format!("p_{class}"))));
        for own in &self.images {
            let class = |class: Option<usize>| class.map(|class| dataset.classes[class].clone()).unwrap_or_default();
            let number = |value: Option<f32>| value.map(|value| format!("{value:.6}")).unwrap_or_default();
            let mut record = vec![
                row_or_file(dataset, own.image),
                dataset.splits[own.image].name().to_owned(),
                dataset.classes[dataset.labels[own.image] as usize].clone(),
                class(own.predicted),
                class(own.suggested),
                number(own.self_confidence),
                number(own.margin),
                number(own.distance),
                own.kinds(),
            ];
            record.extend((0..classes).map(|class| number(own.at.map(|at| self.probabilities[at * classes + class]))));
            let _ = table.write_record(&record);
        }
        table.into_inner().unwrap_or_default()
    }
}

/// A row of `issues.csv`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct IssueRow {
    /// Row (from 0) or path in the source.
    pub id: String,
    /// The label.
    pub given: String,
    /// The class that the image probably belongs to.
    pub suggested: Option<String>,
    /// Score, 0–1; lower is worse.
    pub score: f32,
    /// The kinds of issues, separated by semicolons.
    pub kinds: String,
}

fn blank(image: usize) -> AuditedImage {
    AuditedImage {
        image,
        at: None,
        predicted: None,
        suggested: None,
        self_confidence: None,
        margin: None,
        distance: None,
        issues: Vec::new(),
    }
}

/// `row` where the images are rows of a table, `file` otherwise.
#[must_use]
pub fn key_name(dataset: &Dataset) -> &'static str {
    if dataset.ids.iter().all(|id| id.bytes().all(|byte| byte.is_ascii_digit())) { "row" } else { "file" }
}

fn row_or_file(dataset: &Dataset, image: usize) -> String {
    dataset.ids[image].clone()
}

fn summarized(
    mut document: AuditDocument,
    dataset: &Dataset,
    confident: &Confident,
    images: &[AuditedImage],
    groups: &Groups,
) -> AuditDocument {
    let class = |(class, label): (usize, &String)| {
        let (noise, noise_ci95) = confident.noise_of(class);
        ClassNoise {
            label: label.clone(),
            images: confident.per_class[class],
            threshold: confident.thresholds[class],
            issues: confident.joint[class].iter().sum::<usize>() - confident.joint[class][class],
            noise,
            noise_ci95,
        }
    };
    document.classes = dataset.classes.iter().enumerate().map(class).collect();
    (document.noise, document.noise_ci95) = confident.noise();
    document.pairs = confident.pairs(&dataset.classes);
    document.joint = confident.calibrated_joint();
    document.label_issues = document.classes.iter().map(|class| class.issues).sum();
    document.images = images.len();
    document.audited = images.iter().filter(|own| own.at.is_some()).count();
    let agrees = |own: &&AuditedImage| own.predicted == Some(dataset.labels[own.image] as usize);
    let agreeing = images.iter().filter(agrees).count();
    document.agreement = agreeing as f64 / document.audited.max(1) as f64;
    document.agreement_ci95 = wilson(agreeing, document.audited);
    document.images_with_issues = images.iter().filter(|own| !own.issues.is_empty()).count();
    let count = |kind: Kind| images.iter().filter(|own| own.issues.iter().any(|(own, _)| *own == kind)).count();
    document.issues = Kind::ALL.into_iter().map(|kind| KindCount { kind, images: count(kind) }).collect();
    document.conflicts = groups.conflicts.iter().map(|group| members(dataset, group)).collect();
    document.leaks = groups.leaks.iter().map(|group| members(dataset, group)).collect();
    document
}

//! Results of trainings that are compared with each other.

use crate::csv_rows::{Decimals, csv_rows};
use crate::data::{NumberedSplit, Split};
use crate::evaluate::{TrainingOverlap, mean_and_deviation, student};
use crate::train::EpochRecord;
use serde::Serialize;
use std::path::PathBuf;

/// Metrics of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EpochMetrics {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Mean training accuracy over the epoch's steps, with dropout and augmentation.
    pub train_accuracy: f64,
    /// Validation accuracy at the end of the epoch.
    pub validation_accuracy: f64,
    /// Mean training loss over the epoch's steps.
    pub train_loss: f64,
    /// Validation loss at the end of the epoch.
    pub validation_loss: f64,
}

impl From<&EpochRecord> for EpochMetrics {
    fn from(record: &EpochRecord) -> Self {
        Self {
            epoch: record.epoch,
            train_accuracy: record.train_accuracy,
            validation_accuracy: record.validation_accuracy,
            train_loss: record.train_loss,
            validation_loss: record.validation_loss,
        }
    }
}

/// One training of a comparison.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// Its folder.
    pub folder: PathBuf,
    /// Whether all epochs are finished.
    pub finished: bool,
    /// The epoch with the best validation accuracy.
    pub best: Option<EpochMetrics>,
    /// The last epoch.
    pub last: Option<EpochMetrics>,
    /// Seconds of all epochs.
    pub seconds: f64,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// Number of validation images that are training images, or copies of them.
    pub training_overlap: Option<usize>,
    /// All epochs.
    #[serde(skip)]
    pub history: Vec<EpochRecord>,
}

/// A row of a comparison: one configuration, with means over its seeds. Metrics are `None` (null)
/// where no training has finished an epoch.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Row {
    /// The architecture's name, followed by the varied options, or the folder of a finished run.
    pub name: String,
    /// Number of parameters.
    pub parameters: usize,
    /// Multiply-adds for one image.
    pub macs: usize,
    /// Number of training images.
    pub train_images: usize,
    /// Configured number of epochs.
    pub epochs: usize,
    /// Seconds of one training (mean).
    pub seconds: Option<f64>,
    /// Training accuracy at the best epoch.
    pub best_train_accuracy: Option<f64>,
    /// Validation accuracy at the best epoch; optimistic: the epoch was selected on this split.
    pub best_validation_accuracy: Option<f64>,
    /// Training minus validation accuracy at the best epoch.
    pub gap: Option<f64>,
    /// Training accuracy at the last epoch.
    pub last_train_accuracy: Option<f64>,
    /// Validation accuracy at the last epoch.
    pub last_validation_accuracy: Option<f64>,
    /// Training minus validation accuracy at the last epoch.
    pub last_gap: Option<f64>,
    /// Standard deviation of the best validation accuracy over the seeds.
    pub validation_deviation: Option<f64>,
    /// 95 % confidence interval of the mean of the best validation accuracy over the seeds
    /// (Student's t).
    pub validation_ci95: Option<[f64; 2]>,
    /// The first row compared with this one, seed by seed; `None` for the first row and for fewer
    /// than two common seeds.
    pub paired: Option<SeedPairs>,
    /// Number of validation images that are training images, or copies of them; the largest of all
    /// seeds.
    pub training_overlap: Option<usize>,
    /// Why there are no metrics, if every training failed.
    pub failed: Option<String>,
    /// The result that the architecture's source reports.
    pub claim: Option<String>,
    /// The trainings.
    pub runs: Vec<Run>,
}

/// The first configuration of a comparison and another one, seed by seed.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SeedPairs {
    /// Number of common seeds.
    pub seeds: usize,
    /// Best validation accuracy of the first configuration minus that of this one (mean).
    pub difference: f64,
    /// 95 % confidence interval of the difference (Student's t).
    pub difference_ci95: [f64; 2],
}

/// Results of a comparison.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Comparison {
    /// The folder of the comparison.
    pub out: PathBuf,
    /// For Kaggle's numbered files, how they are split.
    #[serde(skip)]
    pub numbered: Option<NumberedSplit>,
    /// The data: a path or `synthetic faces`.
    pub data: String,
    /// Name of the validation split.
    pub split: String,
    /// Number of validation images.
    pub validation_images: usize,
    /// The most frequent class of that split.
    pub majority_class: String,
    /// Its share: the majority-class baseline.
    pub majority_accuracy: f64,
    /// Whether all trainings are finished.
    pub complete: bool,
    /// One row for each configuration.
    pub rows: Vec<Row>,
}

impl Comparison {
    /// The rows as CSV: one for each configuration.
    #[must_use]
    pub fn csv(&self) -> String {
        let rows: Vec<CsvRow<'_>> = self.rows.iter().map(CsvRow::from).collect();
        String::from_utf8(csv_rows(&rows)).unwrap_or_default()
    }

    /// The trainings as CSV: one row for each configuration and seed.
    #[must_use]
    pub fn runs_csv(&self) -> String {
        let runs = self.rows.iter().flat_map(|row| row.runs.iter().map(|run| CsvRun::of(&row.name, run)));
        String::from_utf8(csv_rows(&runs.collect::<Vec<_>>())).unwrap_or_default()
    }

    /// Computes all means, and the differences from the first row.
    pub fn summarize(&mut self) {
        self.rows.iter_mut().for_each(Row::summarize);
        if let Some((first, others)) = self.rows.split_first_mut() {
            others.iter_mut().for_each(|row| row.paired = SeedPairs::of(first, row));
        }
    }

    /// A line for each number of training images among the validation images, with the rows that
    /// have it.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut counts: Vec<usize> = self.rows.iter().filter_map(|row| row.training_overlap).collect();
        counts.sort_unstable();
        counts.dedup();
        counts.retain(|&count| count > 0);
        let line = |&count: &usize| {
            let names = self.rows.iter().filter(|row| row.training_overlap == Some(count));
            let warning = TrainingOverlap {
                images: count,
                of: self.validation_images,
                split: Split::Validation,
                numbered: self.numbered,
            };
            warning.warning(&names.map(|row| row.name.as_str()).collect::<Vec<_>>().join(", "))
        };
        counts.iter().filter_map(line).collect()
    }
}

impl SeedPairs {
    fn of(first: &Row, other: &Row) -> Option<Self> {
        let accuracy = |run: &Run| run.best.map(|best| best.validation_accuracy);
        let of_seed = |seed: u64| other.runs.iter().find(|run| run.seed == seed).and_then(accuracy);
        let pair = |run: &Run| Some(accuracy(run)? - of_seed(run.seed)?);
        let differences: Vec<f64> = first.runs.iter().filter_map(pair).collect();
        let (difference, _) = mean_and_deviation(&differences)?;
        Some(Self { seeds: differences.len(), difference, difference_ci95: student(&differences)? })
    }
}

/// A row of `comparison.csv`: one configuration, with means over its seeds. Metrics are empty
/// where no training has finished an epoch.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CsvRow<'a> {
    /// The architecture's name, followed by the varied options.
    name: &'a str,
    /// Number of parameters.
    parameters: usize,
    /// Multiply-adds for one image.
    macs: usize,
    /// Configured number of epochs.
    epochs: usize,
    /// Number of trainings: one for each seed.
    runs: usize,
    /// Seconds of one training (mean), with 1 decimal.
    seconds: Option<Decimals<1>>,
    /// Training accuracy at the best epoch, 0–1, with 6 decimals like all accuracies.
    best_train_accuracy: Option<Decimals<6>>,
    /// Validation accuracy at the best epoch; optimistic: the epoch was selected on this split.
    best_validation_accuracy: Option<Decimals<6>>,
    /// Training minus validation accuracy at the best epoch.
    gap: Option<Decimals<6>>,
    /// Training accuracy at the last epoch.
    last_train_accuracy: Option<Decimals<6>>,
    /// Validation accuracy at the last epoch.
    last_validation_accuracy: Option<Decimals<6>>,
    /// Training minus validation accuracy at the last epoch.
    last_gap: Option<Decimals<6>>,
    /// Standard deviation of the best validation accuracy over the seeds; empty for one seed.
    validation_deviation: Option<Decimals<6>>,
    /// The result that the architecture's source reports; empty for none.
    claim: Option<&'a str>,
    /// Lower end of the 95 % confidence interval of the best validation accuracy over the seeds (Student's t).
    validation_low: Option<Decimals<6>>,
    /// Upper end of that interval.
    validation_high: Option<Decimals<6>>,
    /// Best validation accuracy of the first configuration minus that of this one, over common seeds (mean).
    difference: Option<Decimals<6>>,
    /// Lower end of the 95 % confidence interval of the difference.
    difference_low: Option<Decimals<6>>,
    /// Upper end of that interval.
    difference_high: Option<Decimals<6>>,
    /// The seeds, separated by spaces.
    seeds: String,
    /// The best validation accuracy with each seed, separated by spaces.
    validation_accuracies: String,
    /// Number of validation images that the model was trained on; empty where that is not known.
    training_overlap: Option<usize>,
    /// Why a training failed; empty otherwise.
    failed: Option<&'a str>,
}

impl<'a> From<&'a Row> for CsvRow<'a> {
    fn from(row: &'a Row) -> Self {
        let bound = |interval: Option<[f64; 2]>, which: usize| interval.map(|bounds| Decimals(bounds[which]));
        let difference = row.paired.as_ref().map(|paired| paired.difference_ci95);
        let texts = |text: fn(&Run) -> String| row.runs.iter().map(text).collect::<Vec<_>>().join(" ");
        let accuracy =
            |run: &Run| run.best.map_or("failed".to_owned(), |best| format!("{:.6}", best.validation_accuracy));
        Self {
            name: &row.name,
            parameters: row.parameters,
            macs: row.macs,
            epochs: row.epochs,
            runs: row.runs.len(),
            seconds: row.seconds.map(Decimals),
            best_train_accuracy: row.best_train_accuracy.map(Decimals),
            best_validation_accuracy: row.best_validation_accuracy.map(Decimals),
            gap: row.gap.map(Decimals),
            last_train_accuracy: row.last_train_accuracy.map(Decimals),
            last_validation_accuracy: row.last_validation_accuracy.map(Decimals),
            last_gap: row.last_gap.map(Decimals),
            validation_deviation: row.validation_deviation.map(Decimals),
            claim: row.claim.as_deref(),
            validation_low: bound(row.validation_ci95, 0),
            validation_high: bound(row.validation_ci95, 1),
            difference: row.paired.as_ref().map(|paired| Decimals(paired.difference)),
            difference_low: bound(difference, 0),
            difference_high: bound(difference, 1),
            seeds: texts(|run| run.seed.to_string()),
            validation_accuracies: texts(accuracy),
            training_overlap: row.training_overlap,
            failed: row.failed.as_deref(),
        }
    }
}

/// A row of `runs.csv`: one training.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CsvRun<'a> {
    /// The architecture's name, followed by the varied options.
    name: &'a str,
    /// Seed of the training.
    seed: u64,
    /// Whether all epochs are finished.
    finished: bool,
    /// The epoch with the best validation accuracy, from 1; empty where none has finished.
    best_epoch: Option<usize>,
    /// Training accuracy at the best epoch, 0–1, with 6 decimals like all accuracies.
    best_train_accuracy: Option<Decimals<6>>,
    /// Validation accuracy at the best epoch; optimistic: the epoch was selected on this split.
    best_validation_accuracy: Option<Decimals<6>>,
    /// Training accuracy at the last epoch.
    last_train_accuracy: Option<Decimals<6>>,
    /// Validation accuracy at the last epoch.
    last_validation_accuracy: Option<Decimals<6>>,
    /// Seconds of the training, with 1 decimal.
    seconds: Decimals<1>,
    /// The run folder.
    folder: String,
    /// Why the training failed; empty otherwise.
    error: Option<&'a str>,
}

impl<'a> CsvRun<'a> {
    fn of(name: &'a str, run: &'a Run) -> Self {
        Self {
            name,
            seed: run.seed,
            finished: run.finished,
            best_epoch: run.best.map(|best| best.epoch),
            best_train_accuracy: run.best.map(|best| Decimals(best.train_accuracy)),
            best_validation_accuracy: run.best.map(|best| Decimals(best.validation_accuracy)),
            last_train_accuracy: run.last.map(|last| Decimals(last.train_accuracy)),
            last_validation_accuracy: run.last.map(|last| Decimals(last.validation_accuracy)),
            seconds: Decimals(run.seconds),
            folder: run.folder.display().to_string(),
            error: run.error.as_deref(),
        }
    }
}

impl Row {
    /// Computes the means over the runs with a finished epoch.
    fn summarize(&mut self) {
        let runs: Vec<(&Run, EpochMetrics, EpochMetrics)> =
            self.runs.iter().filter_map(|run| Some((run, run.best?, run.last?))).collect();
        let mean = |of: &dyn Fn(&(&Run, EpochMetrics, EpochMetrics)) -> f64| {
            (!runs.is_empty()).then(|| runs.iter().map(of).sum::<f64>() / runs.len() as f64)
        };
        let minus = |a: Option<f64>, b: Option<f64>| Some(a? - b?);
        let validation: Vec<f64> = runs.iter().map(|(_, best, _)| best.validation_accuracy).collect();
        self.best_train_accuracy = mean(&|(_, best, _)| best.train_accuracy);
        self.best_validation_accuracy = mean(&|(_, best, _)| best.validation_accuracy);
        self.gap = minus(self.best_train_accuracy, self.best_validation_accuracy);
        self.last_train_accuracy = mean(&|(.., last)| last.train_accuracy);
        self.last_validation_accuracy = mean(&|(.., last)| last.validation_accuracy);
        self.last_gap = minus(self.last_train_accuracy, self.last_validation_accuracy);
        self.seconds = mean(&|(run, ..)| run.seconds);
        self.validation_deviation = mean_and_deviation(&validation).map(|(_, deviation)| deviation);
        self.validation_ci95 = student(&validation).map(|bounds| bounds.map(|bound| bound.clamp(0.0, 1.0)));
        self.failed = self.runs.iter().filter(|_| runs.is_empty()).find_map(|run| run.error.clone());
        self.training_overlap = self.runs.iter().filter_map(|run| run.training_overlap).max();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64, validation_accuracy: f64) -> Run {
        let best =
            EpochMetrics { epoch: 3, train_accuracy: 0.75, validation_accuracy, train_loss: 1.0, validation_loss: 1.0 };
        Run { seed, finished: true, best: Some(best), last: Some(best), seconds: 1.25, ..Run::default() }
    }

    fn comparison(rows: Vec<Row>) -> Comparison {
        let mut all = Comparison {
            out: PathBuf::new(),
            numbered: None,
            data: String::new(),
            split: String::new(),
            validation_images: 100,
            majority_class: String::new(),
            majority_accuracy: 0.0,
            complete: true,
            rows,
        };
        all.summarize();
        all
    }

    #[test]
    fn the_csv_format_is_stable() {
        let row = |name: &str, runs| Row { name: name.to_owned(), parameters: 1287, epochs: 1, runs, ..Row::default() };
        let broken = Run { error: Some("the loss became NaN, sadly".into()), ..Run::default() };
        let claimed =
            Row { claim: Some("63 % on \"test\"".to_owned()), ..row("small", vec![run(0, 0.25), run(1, 0.75)]) };
        let found =
            comparison(vec![row("one, twice", vec![run(0, 0.5), run(1, 0.75)]), claimed, row("no", vec![broken])]);
        insta::assert_snapshot!(found.csv(), @r#"
        name,parameters,macs,epochs,runs,seconds,best_train_accuracy,best_validation_accuracy,gap,last_train_accuracy,last_validation_accuracy,last_gap,validation_deviation,claim,validation_low,validation_high,difference,difference_low,difference_high,seeds,validation_accuracies,training_overlap,failed
        "one, twice",1287,0,1,2,1.2,0.750000,0.625000,0.125000,0.750000,0.625000,0.125000,0.176777,,0.000000,1.000000,,,,0 1,0.500000 0.750000,,
        small,1287,0,1,2,1.2,0.750000,0.500000,0.250000,0.750000,0.500000,0.250000,0.353553,"63 % on ""test""",0.000000,1.000000,0.125000,-1.463250,1.713250,0 1,0.250000 0.750000,,
        no,1287,0,1,1,,,,,,,,,,,,,,,0,failed,,"the loss became NaN, sadly"
        "#);
        insta::assert_snapshot!(found.runs_csv(), @r#"
        name,seed,finished,best_epoch,best_train_accuracy,best_validation_accuracy,last_train_accuracy,last_validation_accuracy,seconds,folder,error
        "one, twice",0,true,3,0.750000,0.500000,0.750000,0.500000,1.2,,
        "one, twice",1,true,3,0.750000,0.750000,0.750000,0.750000,1.2,,
        small,0,true,3,0.750000,0.250000,0.750000,0.250000,1.2,,
        small,1,true,3,0.750000,0.750000,0.750000,0.750000,1.2,,
        no,0,false,,,,,,0.0,,"the loss became NaN, sadly"
        "#);
        assert_eq!(comparison(Vec::new()).csv().lines().count(), 1, "the header alone");
    }

    #[test]
    fn seeds_are_compared_in_pairs() {
        let row = |accuracies: [f64; 3]| Row {
            runs: (5..).zip(accuracies).map(|(seed, accuracy)| run(seed, accuracy)).collect(),
            ..Row::default()
        };
        let found = comparison(vec![row([0.5, 0.6, 0.7]), row([0.4, 0.5, 0.6])]);
        let paired = found.rows[1].paired.as_ref().unwrap();
        assert!(found.rows[0].paired.is_none() && paired.seeds == 3);
        // Each seed differs by 0.1, although the seeds differ from each other.
        assert!((paired.difference - 0.1).abs() < 1e-12 && paired.difference_ci95[0] > 0.099, "{paired:?}");
        let [low, high] = found.rows[0].validation_ci95.unwrap();
        assert!((low - (0.6 - 0.2484)).abs() < 1e-3 && (high - (0.6 + 0.2484)).abs() < 1e-3);
    }

    #[test]
    fn a_failed_training_has_no_metrics() {
        let broken = |reason: &str| Run { error: Some(reason.into()), ..Run::default() };
        let found = comparison(vec![
            Row { runs: vec![broken("first"), broken("second")], ..Row::default() },
            Row { runs: vec![broken("first"), run(1, 0.5)], ..Row::default() },
        ]);
        assert_eq!((found.rows[0].failed.as_deref(), found.rows[0].best_validation_accuracy), (Some("first"), None));
        assert_eq!((found.rows[1].failed.as_deref(), found.rows[1].best_validation_accuracy), (None, Some(0.5)));
        let document = serde_json::to_value(&found.rows[0]).unwrap();
        assert!(document["gap"].is_null() && document["seconds"].is_null());
    }
}

//! The results of a search, as `tune.json`, `trials.csv` and the report show them.

use super::parameter::{Domain, Parameter, Values};
use crate::comparison::EpochMetrics;
use crate::train::EpochRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use toml::Value;

/// The metric that selects the best trial, on the validation split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Accuracy.
    #[default]
    Accuracy,
    /// Mean of the F1 scores of all classes.
    MacroF1,
    /// Cross-entropy, of which less is better.
    Loss,
}

impl Metric {
    /// The name in texts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::MacroF1 => "macro F1",
            Self::Loss => "loss",
        }
    }

    /// The value after an epoch.
    #[must_use]
    pub fn of(self, record: &EpochRecord) -> f64 {
        match self {
            Self::Accuracy => record.validation_accuracy,
            Self::MacroF1 => record.validation_macro_f1.unwrap_or(f64::NAN),
            Self::Loss => record.validation_loss,
        }
    }

    /// A number that is greater for a better value.
    #[must_use]
    pub fn score(self, value: f64) -> f64 {
        if self == Self::Loss { -value } else { value }
    }

    /// The value as text: in percent, except for a loss.
    #[must_use]
    pub fn text(self, value: f64) -> String {
        if self == Self::Loss { format!("{value:.4}") } else { format!("{:.1} %", value * 100.0) }
    }
}

/// How configurations are proposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SamplerName {
    /// Tree-structured Parzen estimators (Bergstra et al. 2011): like the best earlier trials and unlike the others; one
    /// in three at random.
    #[default]
    Tpe,
    /// At random.
    Random,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Trained for all epochs.
    Finished,
    /// Stopped early, because other trials were better after as many epochs.
    Stopped,
    /// The training failed.
    Failed,
    /// The budget was used, or the search was interrupted.
    Unfinished,
}

impl State {
    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Unfinished => "unfinished",
        }
    }
}

/// A trial: one configuration.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrialResult {
    /// Its number, from 1.
    pub number: usize,
    /// Number of the bracket of trials that are compared with each other, from 1.
    pub bracket: usize,
    /// How it ended.
    pub state: State,
    /// The values of its parameters; without those that are not active.
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, serde_json::Value>"))]
    pub values: Values,
    /// Number of finished epochs.
    pub epochs: usize,
    /// The metric of the search at the best epoch, on the validation split; optimistic: the epoch was selected on this
    /// split. Null if no epoch is finished, or the training failed.
    pub value: Option<f64>,
    /// The epoch with the best validation accuracy.
    pub best: Option<EpochMetrics>,
    /// Validation macro F1 at that epoch.
    pub macro_f1: Option<f64>,
    /// Training minus validation accuracy at that epoch.
    pub gap: Option<f64>,
    /// Number of parameters of the network.
    pub parameters: usize,
    /// Multiply-adds for one image.
    pub macs: usize,
    /// Median latency of the prediction for one image in milliseconds, measured on this machine.
    pub latency_ms: Option<f64>,
    /// Seconds of all epochs.
    pub seconds: f64,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// All epochs.
    pub history: Vec<EpochMetrics>,
}

/// A point of the search over time: a trial has reached the end of a rung.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProgressPoint {
    /// Seconds since the start of the search, without interruptions.
    pub seconds: f64,
    /// Number of the trial.
    pub trial: usize,
    /// Its finished epochs.
    pub epochs: usize,
    /// The metric of its best epoch so far; null if it failed.
    pub value: Option<f64>,
}

/// The predicted metric for one value of a parameter, as a mean over the other parameters of all trials.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Dependence {
    /// The value.
    #[cfg_attr(feature = "schema", schemars(with = "serde_json::Value"))]
    pub value: Value,
    /// The predicted metric after all epochs.
    pub predicted: f64,
}

/// A parameter of the space, and what the search found about it.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ParameterResult {
    /// Its name.
    pub name: String,
    /// Its choices; null for a range.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<serde_json::Value>>"))]
    pub choices: Option<Vec<Value>>,
    /// Minimum of a range.
    pub min: Option<f64>,
    /// Maximum of a range.
    pub max: Option<f64>,
    /// Whether the range is on a logarithmic scale.
    pub log: bool,
    /// Distance of neighboring values of a range; null for any value.
    pub step: Option<f64>,
    /// Whether the values of a range are whole numbers.
    pub integer: bool,
    /// Other parameters and their values with which this one is active.
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, Vec<serde_json::Value>>"))]
    pub when: BTreeMap<String, Vec<Value>>,
    /// Permutation importance: the share of the forest's explained variance that is lost when the values of this
    /// parameter are exchanged among the trials; null for too few trials.
    pub importance: Option<f64>,
    /// Partial dependence; empty for too few trials.
    pub dependence: Vec<Dependence>,
    /// The parameter itself.
    #[serde(skip)]
    pub parameter: Parameter,
}

impl ParameterResult {
    /// A parameter about which nothing is known.
    #[must_use]
    pub fn new(parameter: &Parameter) -> Self {
        let mut own = Self {
            name: parameter.name.clone(),
            choices: None,
            min: None,
            max: None,
            log: false,
            step: None,
            integer: false,
            when: parameter.when.clone(),
            importance: None,
            dependence: Vec::new(),
            parameter: parameter.clone(),
        };
        match &parameter.domain {
            Domain::Choices(values) => own.choices = Some(values.clone()),
            &Domain::Range { min, max, log, step, integer } => {
                (own.min, own.max, own.log, own.integer) = (Some(min), Some(max), log, integer);
                own.step = (step > 0.0).then_some(step);
            }
        }
        own
    }
}

/// What early stopping saved.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Saved {
    /// Number of trials that were stopped early.
    pub trials: usize,
    /// Their epochs that were not trained.
    pub epochs: usize,
    /// The seconds that these would have taken, at the speed of the trial's own epochs.
    pub seconds: f64,
}

/// A training of the best configuration with another seed.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BestSeed {
    /// Its seed.
    pub seed: u64,
    /// Whether all epochs are finished.
    pub finished: bool,
    /// The model file.
    pub model: PathBuf,
    /// The epoch with the best validation accuracy.
    pub best: Option<EpochMetrics>,
    /// Validation macro F1 at that epoch.
    pub macro_f1: Option<f64>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// The metrics on the test split.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TestScore {
    /// The split.
    pub split: String,
    /// Number of images.
    pub images: usize,
    /// Mean accuracy of the trainings.
    pub accuracy: f64,
    /// Mean macro F1 of the trainings.
    pub macro_f1: f64,
    /// The accuracy of each training.
    pub accuracies: Vec<f64>,
}

/// The best configuration, trained again with other seeds.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Best {
    /// Number of the trial.
    pub trial: usize,
    /// The metric of the trial: the best of `trials`, and therefore optimistic.
    pub selected_value: f64,
    /// The number of trials that it was selected from.
    pub trials: usize,
    /// The values of its parameters.
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, serde_json::Value>"))]
    pub values: Values,
    /// The architecture file.
    pub config: PathBuf,
    /// Mean metric of the trainings with other seeds at their best epochs; optimistic: epochs and configuration were
    /// selected on this split.
    pub value: Option<f64>,
    /// 95 % confidence interval of that mean over the seeds (Student's t).
    pub value_ci95: Option<[f64; 2]>,
    /// Mean validation accuracy of these trainings.
    pub validation_accuracy: Option<f64>,
    /// Mean training minus validation accuracy.
    pub gap: Option<f64>,
    /// The trainings.
    pub seeds: Vec<BestSeed>,
    /// The metrics on the test split, if they were requested.
    pub test: Option<TestScore>,
}

/// The results of a search.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tuning {
    /// The folder of the search.
    pub out: PathBuf,
    /// The search space.
    pub space: String,
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
    /// The metric that selects the best trial.
    pub metric: Metric,
    /// How configurations were proposed.
    pub sampler: SamplerName,
    /// Whether weak trials were stopped early.
    pub early_stopping: bool,
    /// The seed of the search and of its trials.
    pub seed: u64,
    /// Epochs of a whole training.
    pub epochs: usize,
    /// The budget in seconds; null for a number of trials.
    pub budget_seconds: Option<f64>,
    /// Seconds of the search so far, without interruptions.
    pub seconds: f64,
    /// Whether the search is finished, with the trainings of the best configuration.
    pub complete: bool,
    /// The parameters.
    pub parameters: Vec<ParameterResult>,
    /// Permutation importance of the number of epochs; null for too few trials.
    pub epochs_importance: Option<f64>,
    /// The share of the variance between trials that the forest explains on trials that it was not fitted to; the
    /// importances are uncertain where it is low. Null for too few trials.
    pub explained: Option<f64>,
    /// The trials.
    pub trials: Vec<TrialResult>,
    /// The search over time.
    pub progress: Vec<ProgressPoint>,
    /// What early stopping saved.
    pub saved: Saved,
    /// The best configuration; null if no trial has finished an epoch.
    pub best: Option<Best>,
    /// What the search found about overfitting, in sentences.
    pub findings: Vec<String>,
}

impl TrialResult {
    /// The score of the trial, which is greater for a better one.
    #[must_use]
    pub fn score(&self, metric: Metric) -> Option<f64> {
        self.value.map(|value| metric.score(value))
    }
}

impl Tuning {
    /// The trials as CSV, without times: equal for any number of workers.
    #[must_use]
    pub fn trials_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let names = self.parameters.iter().map(|parameter| parameter.name.as_str());
        let header = FIRST.into_iter().chain(names).chain(LAST);
        // Writing to memory cannot fail.
        let _ = writer.write_record(header);
        for trial in &self.trials {
            let share = |value: Option<f64>| value.map(|value| format!("{value:.6}")).unwrap_or_default();
            let best = |of: fn(&EpochMetrics) -> f64| share(trial.best.as_ref().map(of));
            let mut row = vec![
                trial.number.to_string(),
                trial.bracket.to_string(),
                trial.state.name().to_owned(),
                trial.epochs.to_string(),
                trial.best.map(|best| best.epoch.to_string()).unwrap_or_default(),
            ];
            let value =
                |parameter: &ParameterResult| trial.values.get(&parameter.name).map(value_text).unwrap_or_default();
            row.extend(self.parameters.iter().map(value));
            row.extend([
                best(|best| best.validation_accuracy),
                share(trial.macro_f1),
                best(|best| best.validation_loss),
                best(|best| best.train_accuracy),
                share(trial.gap),
                trial.parameters.to_string(),
                trial.macs.to_string(),
                trial.error.clone().unwrap_or_default(),
            ]);
            let _ = writer.write_record(row);
        }
        String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
    }
}

/// The columns of `trials.csv` before those of the parameters.
pub const FIRST: [&str; 5] = ["trial", "bracket", "state", "epochs", "best_epoch"];

/// The columns of `trials.csv` after those of the parameters.
pub const LAST: [&str; 8] = [
    "validation_accuracy",
    "validation_macro_f1",
    "validation_loss",
    "train_accuracy",
    "gap",
    "parameters",
    "macs",
    "error",
];

/// A value as text: a string without quotes.
#[must_use]
pub fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // Without the digits that binary fractions add.
        Value::Float(number) => number.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(value_text).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// The values of a trial as one line.
#[must_use]
pub fn describe(values: &Values) -> String {
    values.iter().map(|(name, value)| format!("{name}={}", value_text(value))).collect::<Vec<_>>().join(" ")
}

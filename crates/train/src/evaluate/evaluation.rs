//! Evaluates a model on a split: predictions, metrics, and comparisons with other models.

use super::calibration::{CrossFitted, as_predicted, cross_fit};
use super::corruptions;
use super::mcnemar::{Paired, compare};
use super::metrics::{Metrics, compute_metrics};
use super::overlap::TrainingOverlap;
use super::predictions::{DataMismatch, Predictions, predict_split};
use crate::config::{CalibrationKind, DataOptions};
use crate::data::{DataError, DataSource, Dataset, ImageSpec, Split, TrainingImages};
use moue::model::{Model, ModelFileError};
use moue::{Classifier, Precision};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::cell::RefCell;
use std::path::{Path, PathBuf};

/// Results of an evaluation, for reports.
pub struct EvaluationView<'a> {
    /// Heading.
    pub title: &'a str,
    /// The model that was evaluated.
    pub model: &'a Model,
    /// Metrics of the model.
    pub metrics: &'a Metrics,
    /// The cross-fitted calibration of the predictions, by a temperature.
    pub fitted: &'a CrossFitted,
    /// The metrics of a calibration that changes predicted classes; `None` for a temperature.
    pub vector: Option<&'a VectorMetrics>,
    /// The model's training images among these; `None` where they are not known.
    pub overlap: Option<TrainingOverlap>,
    /// The predictions from which the metrics are computed.
    pub predictions: &'a Predictions,
    /// The data set.
    pub dataset: &'a Dataset,
    /// Name of the split.
    pub split: &'a str,
    /// Whether this split is used for selection.
    pub selection: bool,
    /// Whether this is the training split.
    pub on_training: bool,
    /// Whether predictions are averaged over mirror images.
    pub tta: bool,
    /// Precision of the predictions.
    pub precision: Precision,
    /// Other models on the same images.
    pub others: &'a [Other],
    /// The model on corrupted images; empty unless requested.
    pub corruptions: &'a [corruptions::Row],
}

/// Another model, compared with the evaluated one.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Other {
    /// Name of the model as given.
    pub model: String,
    /// Number of parameters.
    pub parameters: usize,
    /// Metrics on the same images.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// The metrics of a calibration that changes predicted classes, if the model has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<VectorMetrics>,
    /// Number of these images that the model was trained on, or of copies of them; null where its
    /// training images are not known.
    #[serde(serialize_with = "count")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<usize>"))]
    pub training_overlap: Option<TrainingOverlap>,
    /// McNemar's test of the evaluated model (first) and this one (second).
    pub paired: Paired,
}

/// The results of an evaluation, as `moue evaluate --json` prints them.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EvaluationDocument<'a> {
    /// The model, as given.
    model: Cow<'a, str>,
    /// The data, as given; `drawn` for synthetic faces.
    data: String,
    /// The split that was evaluated.
    split: Split,
    /// The source's own name of the split; null if it has none.
    source_split: Option<&'a str>,
    /// Whether each prediction is the mean over the image and its mirror image (test-time augmentation).
    tta: bool,
    /// Precision of the predictions: `f32` or `bf16`.
    precision: &'static str,
    /// Whether the epoch of the model was selected on this split; its metrics are then optimistic.
    selection_split: bool,
    /// Expected calibration error where each prediction is calibrated by a fit on other images of the split.
    ece_cross_fitted: f64,
    /// Negative log-likelihood, cross-fitted likewise.
    nll_cross_fitted: f64,
    /// Number of these images that the model was trained on, or of copies of them; null where its training images
    /// are not known.
    training_overlap: Option<usize>,
    #[serde(flatten)]
    metrics: &'a Metrics,
    /// The metrics of a calibration that changes predicted classes; only if the model has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<&'a VectorMetrics>,
    /// Other models on the same images; only with `--compare`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    compare: &'a [Other],
    /// The model on corrupted images; only with `--corruptions`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    corruptions: &'a [corruptions::Row],
}

fn count<S: serde::Serializer>(overlap: &Option<TrainingOverlap>, serializer: S) -> Result<S::Ok, S::Error> {
    overlap.map(|overlap| overlap.images).serialize(serializer)
}

impl EvaluationView<'_> {
    /// Whether the split is the training split, and may contain the model's training images.
    #[must_use]
    pub fn split_is_training(&self) -> bool {
        self.on_training && self.overlap.is_none_or(|overlap| overlap.images > 0)
    }

    /// A warning for each model that was trained on some of these images.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let own = self.overlap.and_then(|overlap| overlap.warning(&self.model.architecture().name));
        let others = self.others.iter().filter_map(|other| other.training_overlap?.warning(&other.model));
        own.into_iter().chain(others).collect()
    }

    /// The results as `moue evaluate --json` prints them; `model` and `source` as given.
    #[must_use]
    pub fn document(&self, model: impl AsRef<Path>, source: &DataSource, split: Split) -> Value {
        let document = EvaluationDocument {
            model: model.as_ref().to_string_lossy(),
            data: source.path_text(),
            split,
            source_split: self.dataset.split_names[split as usize].as_deref(),
            tta: self.tta,
            precision: self.precision.name(),
            selection_split: self.selection,
            ece_cross_fitted: self.fitted.ece,
            nll_cross_fitted: self.fitted.nll,
            training_overlap: self.overlap.map(|overlap| overlap.images),
            vector: self.vector,
            metrics: self.metrics,
            compare: self.others,
            corruptions: self.corruptions,
        };
        // Texts, numbers and lists can always be represented.
        serde_json::to_value(&document).unwrap_or_default()
    }
}

/// Options of an evaluation.
#[derive(Clone, Debug, Default)]
pub struct EvaluateOptions {
    /// A model's file, or the name of a bundled one.
    pub model: PathBuf,
    /// The data; `None` for synthetic faces, if the model was trained on them.
    pub data: Option<PathBuf>,
    /// Name of the split; `None` for test where there is one, else validation.
    pub split: Option<String>,
    /// Averages each prediction over the image and its mirror image.
    pub tta: bool,
    /// Restores FER2013's official split for Kaggle's numbered files, as is the default unless the
    /// model was trained on their folders, and refuses data that has none.
    pub official_split: bool,
    /// Uses Kaggle's numbered files in their folders, which are a random split.
    pub as_given: bool,
    /// Seed of the split; `None` for the one that the model was trained with.
    pub seed: Option<u64>,
    /// Models to compare with on the same images.
    pub compare: Vec<PathBuf>,
    /// Whether to evaluate on corrupted images too.
    pub corruptions: bool,
    /// Precision of the predictions of all models.
    pub precision: Precision,
}

/// Progress of an evaluation.
#[derive(Debug)]
pub enum EvaluateEvent<'a> {
    /// This number of images of the source has been read.
    Reading(&'a Path, usize),
    /// A data set is loaded.
    Opened(&'a Dataset),
    /// Predictions for this number of images start.
    Begin(usize),
    /// This number of predictions is finished.
    Predicted(usize),
    /// Predictions for this number of corrupted images start; [`Self::Predicted`] reports their
    /// progress.
    BeginAltered(usize),
    /// All predictions are finished.
    End,
}

/// Errors of an evaluation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// The model cannot be read.
    #[error(transparent)]
    Model(#[from] ModelFileError),
    /// The data cannot be opened, or has no such split.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model does not fit the data.
    #[error(transparent)]
    Fit(#[from] DataMismatch),
    /// No data was given, and the model was not trained on synthetic faces.
    #[error("this model was not trained on synthetic faces; pass the data to evaluate it on with --data")]
    NoData,
    /// A model does not fit the data of the evaluation.
    #[error("cannot compare with {}", .path.display())]
    Compare {
        /// The other model.
        path: PathBuf,
        /// Why it does not fit.
        source: DataMismatch,
    },
    /// Two models have predictions for different images.
    #[error("cannot compare with {}: its predictions are for different images", .path.display())]
    OtherImages {
        /// The other model.
        path: PathBuf,
    },
}

/// A model's predictions and their metrics. The accuracy is that of the network's classes. On the
/// validation split, on which models are calibrated, the probabilities are cross-fitted, so that
/// NLL, ECE and selective accuracy are not optimistic.
#[derive(Clone, Debug)]
pub struct SplitEvaluation {
    /// The predictions.
    pub predictions: Predictions,
    /// Their metrics.
    pub metrics: Metrics,
    /// Their cross-fitted calibration, by a temperature.
    pub fitted: CrossFitted,
    /// The metrics of a calibration that changes predicted classes; `None` for a temperature.
    pub vector: Option<VectorMetrics>,
}

/// Metrics of a calibration with a factor or a bias for each class: of the classes that `predict`
/// gives with such a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VectorMetrics {
    /// Share of correct predictions.
    pub accuracy: f64,
    /// 95 % confidence interval of the accuracy (Wilson).
    pub accuracy_ci95: [f64; 2],
    /// Mean F1 of the classes that have images.
    pub macro_f1: f64,
    /// Mean negative log-likelihood.
    pub nll: f64,
    /// Expected calibration error over 15 bins.
    pub ece: f64,
    /// Whether each fifth of the images is evaluated with a fit on the other four fifths, as on the
    /// validation split, or with the model's calibration.
    pub cross_fitted: bool,
}

impl SplitEvaluation {
    /// The metrics of predictions for this split.
    #[must_use]
    pub fn new(model: &Model, mut predictions: Predictions, split: Split) -> Self {
        let metrics = |probabilities: &[f32]| compute_metrics(model.classes(), &predictions.labels, probabilities);
        let fitted_here = split == Split::Validation;
        let vector = model.calibration().changes_classes().then(|| {
            let found = metrics(&if fitted_here {
                cross_fit(model, &predictions, CalibrationKind::Vector).probabilities
            } else {
                as_predicted(model, &predictions)
            });
            let Metrics { accuracy, accuracy_ci95, macro_f1, nll, ece, .. } = found;
            VectorMetrics { accuracy, accuracy_ci95, macro_f1, nll, ece, cross_fitted: fitted_here }
        });
        let fitted = cross_fit(model, &predictions, CalibrationKind::Temperature);
        let metrics = metrics(if fitted_here { &fitted.probabilities } else { &predictions.probabilities });
        if fitted_here {
            predictions.probabilities.clone_from(&fitted.probabilities);
        }
        Self { predictions, metrics, fitted, vector }
    }
}

/// An evaluated model, the data, and the results.
pub struct Evaluation {
    /// The model.
    pub classifier: Classifier,
    /// The source of the data.
    pub source: DataSource,
    /// The data set.
    pub dataset: Dataset,
    /// The split.
    pub split: Split,
    /// Predictions and metrics.
    pub result: SplitEvaluation,
    /// The model's training images in this split; `None` where they are not known.
    pub overlap: Option<TrainingOverlap>,
    /// Whether predictions are averaged over mirror images.
    pub tta: bool,
    /// Other models on the same images.
    pub others: Vec<Other>,
    /// The model on corrupted images; empty unless requested.
    pub corruptions: Vec<corruptions::Row>,
}

/// Predicts a split with a classifier and computes the metrics.
///
/// # Errors
/// When the data has other classes, or images of another shape, than the model.
pub fn evaluate_split(
    classifier: &Classifier,
    dataset: &Dataset,
    split: Split,
    tta: bool,
    observe: &mut dyn FnMut(EvaluateEvent<'_>),
) -> Result<SplitEvaluation, DataMismatch> {
    Ok(SplitEvaluation::new(classifier.model(), observed(classifier, dataset, split, tta, observe)?, split))
}

fn observed(
    classifier: &Classifier,
    dataset: &Dataset,
    split: Split,
    tta: bool,
    observe: &mut dyn FnMut(EvaluateEvent<'_>),
) -> Result<Predictions, DataMismatch> {
    observe(EvaluateEvent::Begin(dataset.indices(split).len()));
    let predictions =
        predict_split(classifier, dataset, split, tta, &mut |done| observe(EvaluateEvent::Predicted(done)));
    observe(EvaluateEvent::End);
    predictions
}

/// Evaluates a model on a split of a data set, and compares it with other models.
///
/// # Errors
/// When a model or the data cannot be read, or a model does not fit the data.
pub fn evaluate(
    options: &EvaluateOptions,
    observe: &mut dyn FnMut(EvaluateEvent<'_>),
) -> Result<Evaluation, EvaluationError> {
    let open = |path: &Path| Model::open(path).map(|model| Classifier::with_precision(model, options.precision));
    let classifier = open(&options.model)?;
    let source = match &options.data {
        Some(path) => DataSource::Given(path.clone()),
        None if classifier.model().provenance().data == DataSource::Synthetic.word() => DataSource::Synthetic,
        None => return Err(EvaluationError::NoData),
    };
    let dataset = opened(options, &source, classifier.model(), classifier.input(), observe)?;
    let split = dataset.split_named(options.split.as_deref())?;
    let result = evaluate_split(&classifier, &dataset, split, options.tta, observe)?;
    let mut others = Vec::new();
    for path in &options.compare {
        let other = open(path)?;
        let own_data = (dataset.shape() != other.input())
            .then(|| opened(options, &source, classifier.model(), other.input(), observe))
            .transpose()?;
        let dataset = own_data.as_ref().unwrap_or(&dataset);
        let evaluated = evaluate_split(&other, dataset, split, options.tta, observe)
            .map_err(|source| EvaluationError::Compare { path: path.clone(), source })?;
        let paired = compare(&result.predictions, &evaluated.predictions)
            .ok_or_else(|| EvaluationError::OtherImages { path: path.clone() })?;
        others.push(Other {
            model: path.display().to_string(),
            parameters: other.model().parameters(),
            metrics: evaluated.metrics,
            vector: evaluated.vector,
            training_overlap: overlap(path, other.model(), dataset, split),
            paired,
        });
    }
    let mut corruptions = Vec::new();
    if options.corruptions {
        observe(EvaluateEvent::BeginAltered(corruptions::ALL.as_flattened().len() * result.predictions.images.len()));
        let rows = corruptions::table(&classifier, &dataset, options.tta, &result.predictions, &mut |done| {
            observe(EvaluateEvent::Predicted(done));
        });
        observe(EvaluateEvent::End);
        corruptions = rows?;
    }
    let overlap = overlap(&options.model, classifier.model(), &dataset, split);
    Ok(Evaluation { classifier, source, dataset, split, result, overlap, tta: options.tta, others, corruptions })
}

/// The training images of a model in this split, where they are known.
fn overlap(path: &Path, model: &Model, dataset: &Dataset, split: Split) -> Option<TrainingOverlap> {
    let known = TrainingImages::find(path, &model.provenance().data_hash)?;
    Some(TrainingOverlap::new(&known, dataset, split))
}

/// The data with the image size and channels of a network, split as for the training of `trained`.
fn opened(
    options: &EvaluateOptions,
    source: &DataSource,
    trained: &Model,
    input: [usize; 3],
    observe: &mut dyn FnMut(EvaluateEvent<'_>),
) -> Result<Dataset, DataError> {
    let provenance = trained.provenance();
    let data = DataOptions::as_trained(provenance, *source != DataSource::Synthetic)
        .with_split(options.official_split, options.as_given);
    let seed = options.seed.unwrap_or(provenance.seed);
    let observe = RefCell::new(observe);
    let progress = |images| {
        if let DataSource::Given(path) = source {
            (observe.borrow_mut())(EvaluateEvent::Reading(path, images));
        }
    };
    let dataset = source.open(ImageSpec::of_input(input), &data, seed, &progress)?;
    (observe.borrow_mut())(EvaluateEvent::Opened(&dataset));
    Ok(dataset)
}

impl Evaluation {
    /// The results with a title, for reports.
    #[must_use]
    pub fn view<'a>(&'a self, title: &'a str, split: &'a str) -> EvaluationView<'a> {
        EvaluationView {
            title,
            model: self.classifier.model(),
            metrics: &self.result.metrics,
            fitted: &self.result.fitted,
            vector: self.result.vector.as_ref(),
            overlap: self.overlap,
            predictions: &self.result.predictions,
            dataset: &self.dataset,
            split,
            selection: self.split == Split::Validation,
            on_training: self.split == Split::Train,
            tta: self.tta,
            precision: self.classifier.precision(),
            others: &self.others,
            corruptions: &self.corruptions,
        }
    }
}

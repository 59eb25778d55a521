//! Evaluates a model on a split: predictions, metrics, and comparisons with other models.

use super::adjustment::{AdjustmentPoint, adjustment_curve};
use super::corruptions::{self, CorruptionSet};
use super::error_votes::{ErrorVotes, error_votes};
use super::mcnemar::compare;
use super::overlap::TrainingOverlap;
use super::predictions::{DataMismatch, Predictions, predict_split};
use super::slices::{Slice, slices};
use super::split_evaluation::SplitEvaluation;
use super::view::{EvaluationView, Other};
use super::votes::{VoteMetrics, vote_metrics};
use crate::config::DataOptions;
use crate::data::{CONTEMPT, DataError, DataSource, Dataset, ImageSpec, ImageVotes, Split, TrainingImages, Votes};
use moue::model::{Model, ModelFileError};
use moue::{Classifier, Device, PrecisionChoice, PrepareError, Tta};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Options of an evaluation.
#[derive(Clone, Debug, Default)]
pub struct EvaluateOptions {
    /// A model's file, or the name of a bundled one.
    pub model: PathBuf,
    /// The data; `None` for synthetic faces, if the model was trained on them.
    pub data: Option<PathBuf>,
    /// Name of the split; `None` for test where there is one, else validation.
    pub split: Option<String>,
    /// Averages each prediction over several views of the image.
    pub tta: Tta,
    /// Restores FER2013's official split for Kaggle's numbered files, as is the default unless the
    /// model was trained on their folders, and refuses data that has none.
    pub official_split: bool,
    /// Uses Kaggle's numbered files in their folders, which are a random split.
    pub as_given: bool,
    /// Seed of the split; `None` for the one that the model was trained with.
    pub seed: Option<u64>,
    /// Models to compare with on the same images.
    pub compare: Vec<PathBuf>,
    /// A file of people's votes on the images, to compare the predictions with.
    pub votes: Option<PathBuf>,
    /// A file of fixes, which are applied to labels and images.
    pub fixes: Option<PathBuf>,
    /// The corruptions to evaluate on, too.
    pub corruptions: Option<CorruptionSet>,
    /// Precision of the predictions of all models; `auto` is resolved for each.
    pub precision: PrecisionChoice,
    /// Device of the predictions of all models.
    pub device: Device,
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
    /// Saliency maps for this number of images start; [`Self::Predicted`] reports their progress.
    BeginSaliency(usize),
    /// A map of images starts, which takes this number of steps; [`Self::Predicted`] reports their progress.
    BeginMap(usize),
    /// All predictions, or what else was begun, are finished.
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
    /// A model cannot predict in the precision on the device.
    #[error("{}", .path.display())]
    Prepare {
        /// The model.
        path: PathBuf,
        /// Why it cannot.
        source: PrepareError,
    },
    /// No data was given, and the model was not trained on synthetic faces.
    #[error("this model was not trained on synthetic faces; pass the data to evaluate it on with --data")]
    NoData,
    /// There are no votes on the images of the split.
    #[error("the votes {} have none on the images of the split {split}; select another split with --split", .path.display())]
    NoVotes {
        /// The file of votes.
        path: PathBuf,
        /// The split.
        split: String,
    },
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

/// An evaluated model, the data, and the results.
pub struct Evaluation {
    /// The model.
    pub classifier: Arc<Classifier>,
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
    /// The views over which predictions are averaged.
    pub tta: Tta,
    /// Other models on the same images.
    pub others: Vec<Other>,
    /// Their predictions.
    pub other_predictions: Vec<Predictions>,
    /// The model on corrupted images; empty unless requested.
    pub corruptions: Vec<corruptions::Row>,
    /// The predictions compared with votes, where they are given.
    pub votes: Option<VoteMetrics>,
    /// The votes on each image, where they are given.
    pub image_votes: Option<ImageVotes>,
    /// The votes on errors, where they are given.
    pub error_votes: Option<ErrorVotes>,
    /// Metrics with prior adjustments of several strengths.
    pub adjustments: Vec<AdjustmentPoint>,
    /// Parts of the split, compared with the rest.
    pub slices: Vec<Slice>,
}

/// Predicts a split with a classifier and computes the metrics.
///
/// # Errors
/// When the data has other classes, or images of another shape, than the model.
pub fn evaluate_split(
    classifier: &Classifier,
    dataset: &Dataset,
    split: Split,
    tta: Tta,
    observe: &mut dyn FnMut(EvaluateEvent<'_>),
) -> Result<SplitEvaluation, DataMismatch> {
    let predictions = observed(classifier, dataset, split, tta, observe)?;
    Ok(SplitEvaluation::new(classifier.model(), predictions, calibrated_here(classifier.model(), split, false)))
}

/// Whether a model was calibrated on this split with these labels: those of the data, or the majority of votes.
fn calibrated_here(model: &Model, split: Split, votes: bool) -> bool {
    split == Split::Validation && model.provenance().labels_are_votes() == votes
}

fn observed(
    classifier: &Classifier,
    dataset: &Dataset,
    split: Split,
    tta: Tta,
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
    let open = |path: &Path| {
        let other = |source| EvaluationError::Prepare { path: path.to_owned(), source };
        Classifier::prepare(Model::open(path)?, options.precision, &options.device).map_err(other)
    };
    let classifier = open(&options.model)?;
    let source = match &options.data {
        Some(path) => DataSource::Given(path.clone()),
        None if classifier.model().provenance().data == DataSource::Synthetic.word() => DataSource::Synthetic,
        None => return Err(EvaluationError::NoData),
    };
    let dataset = opened(options, &source, classifier.model(), classifier.model(), observe)?;
    let split = dataset.split_named(options.split.as_deref())?;
    let votes = options.votes.as_deref().map(|path| votes_on(path, &dataset, split)).transpose()?;
    // Metrics compared with the labels, and with the votes.
    let evaluated = |classifier: &Classifier, dataset: &Dataset, observe: &mut dyn FnMut(EvaluateEvent<'_>)| {
        let (model, predictions) = (classifier.model(), observed(classifier, dataset, split, options.tta, observe)?);
        let cross_fit = calibrated_here(model, split, true);
        let voted = votes.as_ref().map(|votes| vote_metrics(model, &predictions, dataset, votes, cross_fit));
        Ok((SplitEvaluation::new(model, predictions, calibrated_here(model, split, false)), voted))
    };
    let (result, voted) = evaluated(&classifier, &dataset, observe)?;
    let (mut others, mut other_predictions) = (Vec::new(), Vec::new());
    for path in &options.compare {
        let other = open(path)?;
        let own_data = (dataset.shape() != other.input())
            .then(|| opened(options, &source, classifier.model(), other.model(), observe))
            .transpose()?;
        let dataset = own_data.as_ref().unwrap_or(&dataset);
        let (evaluated, voted) = evaluated(&other, dataset, observe)
            .map_err(|source| EvaluationError::Compare { path: path.clone(), source })?;
        let paired = compare(&result.predictions, &evaluated.predictions)
            .ok_or_else(|| EvaluationError::OtherImages { path: path.clone() })?;
        others.push(Other {
            model: path.display().to_string(),
            votes: voted,
            parameters: other.model().parameters(),
            metrics: evaluated.metrics,
            vector: evaluated.vector,
            training_overlap: overlap(path, other.model(), dataset, split),
            paired,
        });
        other_predictions.push(evaluated.predictions);
    }
    let mut corruptions = Vec::new();
    if let Some(set) = options.corruptions {
        observe(EvaluateEvent::BeginAltered(set.corruptions().len() * result.predictions.images.len()));
        let inputs = corruptions::Inputs { dataset: &dataset, clean: &result.predictions, votes: votes.as_ref() };
        let rows = corruptions::table(&classifier, &inputs, set, options.tta, &mut |done| {
            observe(EvaluateEvent::Predicted(done));
        });
        observe(EvaluateEvent::End);
        corruptions = rows?;
    }
    let overlap = overlap(&options.model, classifier.model(), &dataset, split);
    let adjustments =
        adjustment_curve(classifier.model(), &result.predictions, &result.logits, &dataset, votes.as_ref());
    let slices = slices(&result.predictions, &dataset);
    let error_votes = votes.as_ref().map(|votes| error_votes(&result.predictions, votes));
    Ok(Evaluation {
        classifier: Arc::new(classifier),
        source,
        dataset,
        split,
        result,
        overlap,
        tta: options.tta,
        others,
        other_predictions,
        corruptions,
        votes: voted,
        image_votes: votes,
        error_votes,
        adjustments,
        slices,
    })
}

/// The votes on the images of a data set, some of which are on images of the split.
fn votes_on(path: &Path, dataset: &Dataset, split: Split) -> Result<ImageVotes, EvaluationError> {
    let votes = Votes::open(path)?.matched(dataset)?;
    if dataset.indices(split).into_iter().all(|image| votes.counts(image).is_none()) {
        return Err(EvaluationError::NoVotes { path: path.to_owned(), split: dataset.describe(split) });
    }
    Ok(votes)
}

/// The training images of a model in this split, where they are known.
fn overlap(path: &Path, model: &Model, dataset: &Dataset, split: Split) -> Option<TrainingOverlap> {
    let known = TrainingImages::find(path, &model.provenance().data_hash)?;
    Some(TrainingOverlap::new(&known, dataset, split))
}

/// The data with the image size and channels of a model, split as for the training of `trained`. Contempt, which only
/// FER+ has, is a class of the data where it is one of the model.
pub(super) fn opened(
    options: &EvaluateOptions,
    source: &DataSource,
    trained: &Model,
    model: &Model,
    observe: &mut dyn FnMut(EvaluateEvent<'_>),
) -> Result<Dataset, DataError> {
    let provenance = trained.provenance();
    let mut data = DataOptions::as_trained(provenance, *source != DataSource::Synthetic)
        .with_split(options.official_split, options.as_given);
    data.fixes.clone_from(&options.fixes);
    let seed = options.seed.unwrap_or(provenance.seed);
    let observe = RefCell::new(observe);
    let progress = |images| {
        if let DataSource::Given(path) = source {
            (observe.borrow_mut())(EvaluateEvent::Reading(path, images));
        }
    };
    let mut dataset = source.open(ImageSpec::of_input(model.input()), &data, seed, &progress)?;
    if model.classes().iter().any(|class| class == CONTEMPT) {
        dataset.add_class(CONTEMPT);
    }
    (observe.borrow_mut())(EvaluateEvent::Opened(&dataset));
    Ok(dataset)
}

impl Evaluation {
    /// A warning where the model was trained with other fixes of labels and images than the data has here.
    #[must_use]
    pub fn fixes_warning(&self) -> Option<String> {
        let trained = self.classifier.model().provenance().fixes.as_deref();
        let here = self.dataset.fixes().map(|fixes| fixes.hash.as_str());
        match (trained, here) {
            (Some(_), None) => Some(
                "the model was trained with fixes of labels and images, but is evaluated without them; --fixes applies them here \
                 as well"
                    .to_owned(),
            ),
            (None, Some(_)) => {
                Some("the model was trained without the fixes of labels and images that are applied here".to_owned())
            }
            (Some(one), Some(other)) if one != other => {
                Some("the model was trained with other fixes of labels and images than those that are applied here".to_owned())
            }
            _ => None,
        }
    }

    /// The results with a title, for reports.
    #[must_use]
    pub fn view<'a>(&'a self, title: &'a str, split: &'a str) -> EvaluationView<'a> {
        EvaluationView {
            title,
            model: self.classifier.model(),
            metrics: &self.result.metrics,
            fitted: &self.result.fitted,
            cross_fitted: self.result.cross_fitted,
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
            votes: self.votes.as_ref(),
            adjustments: &self.adjustments,
            slices: &self.slices,
            error_votes: self.error_votes.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_cross_fitted_on_what_the_model_was_calibrated_on() {
        let mut model = Model::open("fer2013").unwrap();
        let here = |model: &Model| {
            [Split::Validation, Split::Test]
                .map(|split| [false, true].map(|votes| calibrated_here(model, split, votes)))
        };
        assert_eq!(here(&model), [[true, false], [false, false]]);
        model.provenance_mut().targets = Some("mixed (crossentropy, weight 0.5)".into());
        assert_eq!(here(&model), [[true, false], [false, false]]);
        model.provenance_mut().targets = Some("votes (majority)".into());
        assert_eq!(here(&model), [[false, true], [false, false]]);
    }
}

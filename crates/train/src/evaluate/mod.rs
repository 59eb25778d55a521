//! Evaluation of models: accuracy with its confidence interval, metrics of each class, confusion
//! matrix, calibration, comparison of models, slices, and corrupted images. [`evaluate()`] does all of it, [`Errors`] analyzes what
//! a model predicts incorrectly; [`crate::report`] renders the results. [`similar()`] finds similar images.

mod adjustment;
mod calibration;
pub mod corruptions;
mod embedding;
mod error_votes;
mod errors;
mod evaluation;
mod features;
mod int8;
mod mcnemar;
mod metrics;
mod overlap;
mod predictions;
mod selective;
mod similar;
mod slices;
mod split_evaluation;
mod student;
mod verification;
mod view;
mod votes;

pub use adjustment::AdjustmentPoint;
pub use calibration::{CrossFitted, calibrate, cross_fit};
pub use corruptions::CorruptionSet;
pub use embedding::{Embedding, embed};
pub use error_votes::{ErrorVotes, VotedGroup, error_votes};
pub use errors::{Disagreement, Errors, ImageList, ImageMap, ShownImage};
pub use evaluation::{EvaluateEvent, EvaluateOptions, Evaluation, EvaluationError, evaluate, evaluate_split};
pub use features::features;
pub use int8::calibrate_int8;
pub use mcnemar::{Paired, compare};
pub(crate) use metrics::Z;
pub use metrics::{ClassMetrics, Metrics, Reliability, compute_metrics, reliability, wilson};
pub use overlap::TrainingOverlap;
pub use predictions::{DataMismatch, Predictions, check_fit, logits, most_confident_first, predict_split};
pub use selective::{ClassSelective, Selective, SelectivePoint, risk_coverage};
pub use similar::{Neighbor, Query, SimilarError, similar};
pub use slices::{Property, Slice, fisher, holm, slices};
pub use split_evaluation::{SplitEvaluation, VectorMetrics};
pub use student::{mean_and_deviation, student};
pub use verification::{Verification, export_data, verify};
pub use view::{EvaluationDocument, EvaluationView, Other};
pub use votes::{VoteMetrics, vote_metrics};

//! Evaluation of models: accuracy with its confidence interval, metrics of each class, confusion
//! matrix, calibration, comparison of models, and corrupted images. [`evaluate()`] does all of it;
//! [`crate::report`] renders the results.

mod calibration;
pub mod corruptions;
mod evaluation;
mod mcnemar;
mod metrics;
mod predictions;

pub use calibration::{CalibrationKind, CrossFitted, SelectivePoint, calibrate, cross_fit, risk_coverage};
pub use evaluation::{
    EvaluateEvent, EvaluateOptions, Evaluation, EvaluationDocument, EvaluationError, EvaluationView, Other,
    SplitEvaluation, evaluate, evaluate_split,
};
pub use mcnemar::{Paired, compare};
pub use metrics::{ClassMetrics, Metrics, Reliability, compute_metrics, reliability, wilson};
pub use predictions::{DataMismatch, Predictions, check_fit, logits, most_confident_first, predict_split};

//! How good a model is: accuracy with its interval, per-class metrics, confusion,
//! calibration; models compared with each other, and altered images. [`evaluate()`] does
//! all of it; pages are drawn elsewhere.

mod calibration;
pub mod corruptions;
mod evaluation;
mod mcnemar;
mod metrics;
mod predictions;

pub use calibration::{CalibrationKind, CrossFitted, SelectivePoint, calibrate, cross_fit, risk_coverage};
pub use evaluation::{
    EvaluateEvent, EvaluateOptions, Evaluation, EvaluationError, EvaluationView, Other, SplitEvaluation, evaluate,
    evaluate_split,
};
pub use mcnemar::{Paired, compare};
pub use metrics::{ClassMetrics, Metrics, Reliability, compute_metrics, reliability, wilson};
pub use predictions::{DataMismatch, Predictions, check_fit, logits, most_confident_first, predict_split};

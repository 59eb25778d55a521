//! How good a model is: accuracy with its interval, per-class metrics, confusion,
//! calibration; models compared with each other, and altered images. [`evaluate()`] does
//! all of it; pages are drawn elsewhere.

mod answers;
mod calibration;
pub mod corruptions;
mod evaluation;
mod mcnemar;
mod metrics;

pub use answers::{Answers, EvaluateError, answer, check_fit, logits, most_confident_first};
pub use calibration::{CrossFitted, Form, Kept, calibrate, cross_fit, risk_coverage};
pub use evaluation::{
    EvaluateEvent, EvaluateOptions, Evaluated, Evaluation, EvaluationError, Judged, Other, evaluate, judge,
};
pub use mcnemar::{Paired, compare};
pub use metrics::{ClassFigures, Figures, Reliability, figures, reliability, wilson};

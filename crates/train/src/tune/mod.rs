//! Searches for a good configuration under a budget of time or trials.
//!
//! A [`Space`] (`space`, `template`, `presets`) describes the configurations. `sampler` proposes some of them, at random
//! or from what earlier trials reached (`parzen`); `hyperband` says how long each is trained before the weak ones are
//! stopped; a trial has a folder (`trial`), `workers` train several at a time, `budget` knows what time allows, and
//! `search` runs all of that. [`tune`] searches, trains the best configuration again with other seeds, and writes the
//! results ([`Tuning`]), which `analysis` explains with a random forest (`forest`).

mod analysis;
mod budget;
mod error;
mod forest;
mod hyperband;
mod options;
mod parameter;
mod parzen;
mod presets;
mod results;
mod retrain;
mod sampler;
mod search;
mod space;
mod template;
mod trial;
mod tuning;
mod workers;

pub use error::TuneError;
pub use options::{Limit, TuneOptions, parse_time};
pub use parameter::{Domain, PARAMETER_FIELDS, Parameter, Values};
pub use presets::{DEFAULT_SPACE, SPACES, SpacePreset};
pub use results::{
    Best, BestSeed, Dependence, FIRST, LAST, Metric, ParameterResult, ProgressPoint, SamplerName, Saved, State,
    TestScore, TrialResult, Tuning, describe, value_text,
};
pub use search::{Observe, TuneEvent};
pub use space::{Space, SpaceError};
pub use tuning::tune;

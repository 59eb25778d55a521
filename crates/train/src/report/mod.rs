//! Reports: self-contained HTML pages with SVG charts, a PNG preview, and model cards in Markdown.
//! Pages load nothing from elsewhere, and reports only render results.

mod audit;
mod card;
mod chart;
mod classes;
mod comparison;
mod errors;
mod evaluation;
mod learning_rate;
mod live;
mod page;
mod plot;
pub mod preview;
mod sheet;
mod similar;
mod timeline;
mod training;
mod tuning;
mod votes;

pub use audit::{ASSETS as AUDIT_ASSETS, audit};
pub use card::{Card, card};
pub use comparison::{comparison, difference, interval};
pub use errors::{ASSETS as EVALUATION_ASSETS, evaluation};
pub use evaluation::{corruption_line, p_value, points, vector_line};
pub use learning_rate::learning_rate;
pub use live::{LIVE_SCRIPT, live};
pub use page::percent;
pub use similar::similar;
pub use timeline::Timeline;
pub use training::{Training, training};
pub use tuning::tuning;
pub use votes::vote_lines;

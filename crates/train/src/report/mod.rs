//! Results as pages: self-contained HTML with charts drawn as SVG, a PNG, or a model card
//! in Markdown. Nothing in a page is loaded from elsewhere, and nothing is computed here
//! that the results do not hold.

mod card;
mod chart;
mod comparison;
mod evaluation;
mod page;
pub mod preview;
mod timeline;
mod training;

pub use card::{Card, card};
pub use comparison::comparison;
pub use evaluation::{evaluation, points};
pub use page::percent;
pub use timeline::Timeline;
pub use training::{Training, training};

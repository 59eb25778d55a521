//! People's votes on images, as FER+ has them (Barsoum et al. 2016).
//!
//! A file of votes is read (`read`) and its rows are matched with the images of a data set
//! (`matching`). `protocol` applies FER+'s rules to the votes on one image, `targets` makes training
//! targets of them, and `agreement` compares them with the labels of a data set.

mod agreement;
mod matching;
mod protocol;
mod read;
mod targets;

pub use agreement::{ClassAgreement, Contradiction, LabelAgreement, SplitAgreement, label_agreement};
pub use matching::ImageVotes;
pub use protocol::{Unusable, agreement_of_one, processed};
pub use read::Votes;
pub use targets::apply;

/// The class that FER+ has and FER2013 has not.
pub const CONTEMPT: &str = "contempt";

//! What a response carries for the log, as its extensions.

use std::sync::Arc;

/// Number of predicted faces.
#[derive(Clone, Copy)]
pub struct Faces(pub usize);

/// What failed.
#[derive(Clone)]
pub struct Failure(pub Arc<str>);

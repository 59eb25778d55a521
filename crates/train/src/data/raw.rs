//! Images as a source contains them, before the splits are determined.

use super::dataset::{Broken, Split, pick, pick_images};
use super::error::DataError;
use std::path::Path;

/// Images as decoded, before the splits are determined.
#[derive(Clone, Debug, PartialEq)]
pub struct Raw {
    pub classes: Vec<String>,
    pub size: [usize; 2],
    pub channels: usize,
    pub pixels: Vec<u8>,
    pub labels: Vec<u32>,
    /// The split that the source declares, if any.
    pub splits: Vec<Option<Split>>,
    pub ids: Vec<String>,
    pub sizes: Vec<[u32; 2]>,
    pub split_names: [Option<String>; 3],
    pub broken: Broken,
    /// Pictures without a face, where faces are cut out.
    pub faceless: Broken,
    /// Parts of the source that are not used although they may be meant.
    pub unused: Vec<String>,
}

impl Raw {
    pub fn empty(channels: usize) -> Self {
        Self {
            classes: Vec::new(),
            size: [0, 0],
            channels,
            pixels: Vec::new(),
            labels: Vec::new(),
            splits: Vec::new(),
            ids: Vec::new(),
            sizes: Vec::new(),
            split_names: [None, None, None],
            broken: Broken::default(),
            faceless: Broken::default(),
            unused: Vec::new(),
        }
    }

    /// Removes the images whose flag is false.
    pub fn retain(&mut self, keep: &[bool]) {
        pick_images(&mut self.pixels, self.size[0] * self.size[1] * self.channels, keep);
        pick(&mut self.labels, keep);
        pick(&mut self.splits, keep);
        pick(&mut self.ids, keep);
        pick(&mut self.sizes, keep);
    }

    /// The index of a class, in order of first occurrence.
    pub fn label_of(names: &mut Vec<String>, class: &str) -> u32 {
        let known = names.iter().position(|name| name == class);
        known.unwrap_or_else(|| {
            names.push(class.to_owned());
            names.len() - 1
        }) as u32
    }

    /// Sorts the classes in alphabetical order and renumbers the labels.
    pub fn sort_classes(&mut self, names: &[String]) {
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by(|&a, &b| names[a].cmp(&names[b]));
        let mut place = vec![0; names.len()];
        order.iter().enumerate().for_each(|(to, &from)| place[from] = to as u32);
        self.labels.iter_mut().for_each(|label| *label = place[*label as usize]);
        self.classes = order.into_iter().map(|from| names[from].clone()).collect();
    }

    /// Returns an error when more than one in twenty (but at least three) of the items cannot be
    /// read.
    pub fn tolerate(&self, path: &Path) -> Result<(), DataError> {
        let good = self.labels.len();
        let total = good + self.broken.count;
        if good > 0 && self.broken.count * 20 <= total.max(40) {
            return Ok(());
        }
        Err(DataError::TooManyBroken {
            path: path.to_owned(),
            count: self.broken.count,
            total,
            examples: self.broken.examples.join("\n  "),
        })
    }
}

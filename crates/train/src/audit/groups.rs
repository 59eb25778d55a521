//! Near-duplicates with different labels, and near-duplicates in different splits.

use crate::data::{Dataset, Split};
use serde::Serialize;

/// An image of a group of near-duplicates.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GroupMember {
    /// Row (from 0) or path in the source.
    pub id: String,
    /// Its label.
    pub label: String,
    /// Its split.
    pub split: Split,
}

/// What is wrong with groups of near-duplicates; images by their index in the data set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Groups {
    /// Groups with different labels.
    pub conflicts: Vec<Vec<usize>>,
    /// Groups with training images and images of another split.
    pub leaks: Vec<Vec<usize>>,
}

impl Groups {
    /// Examines groups of near-duplicates.
    #[must_use]
    pub fn new(dataset: &Dataset, groups: &[Vec<usize>]) -> Self {
        let conflicts = groups.iter().filter(|group| differ(group, |image| dataset.labels[image]));
        let reaches_over = |group: &&Vec<usize>| {
            let training = group.iter().filter(|&&image| dataset.splits[image] == Split::Train).count();
            training > 0 && training < group.len()
        };
        Self { conflicts: conflicts.cloned().collect(), leaks: groups.iter().filter(reaches_over).cloned().collect() }
    }
}

fn differ<T: PartialEq>(group: &[usize], of: impl Fn(usize) -> T) -> bool {
    group.iter().any(|&image| of(image) != of(group[0]))
}

/// The share of a group that has the label of one of its images, and the label of more than half of the group.
#[must_use]
pub fn agreement(dataset: &Dataset, group: &[usize], image: usize) -> (f32, Option<usize>) {
    let counts = dataset.per_class(group);
    let own = counts[dataset.labels[image] as usize] as f32 / group.len() as f32;
    (own, counts.iter().position(|&count| 2 * count > group.len()))
}

/// The members of a group.
#[must_use]
pub fn members(dataset: &Dataset, group: &[usize]) -> Vec<GroupMember> {
    let member = |&image: &usize| GroupMember {
        id: dataset.ids[image].clone(),
        label: dataset.classes[dataset.labels[image] as usize].clone(),
        split: dataset.splits[image],
    };
    group.iter().map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSpec, synthetic};

    #[test]
    fn conflicts_and_leaks_are_found() {
        let mut faces = synthetic::dataset(21, ImageSpec { size: None, channels: 1 }, 1);
        faces.splits = (0..21).map(|image| if image < 14 { Split::Train } else { Split::Test }).collect();
        // Images 0, 7 and 14 have the same label.
        let groups = [vec![0, 7], vec![0, 1, 7], vec![7, 14], vec![15, 16]];
        let found = Groups::new(&faces, &groups);
        assert_eq!(found.conflicts, [vec![0, 1, 7], vec![15, 16]]);
        assert_eq!(found.leaks, [vec![7, 14]]);
        let label = faces.labels[0] as usize;
        assert_eq!(agreement(&faces, &groups[1], 1), (1.0 / 3.0, Some(label)));
        assert_eq!(agreement(&faces, &groups[3], 15), (0.5, None));
    }
}

//! Folds of a cross-validation: stratified by class, with near-duplicates in the same fold.
//!
//! A copy of an image in the training folds would give away its label.

use moue_engine::random::{Stream, key};

/// The fold, from 0, of each of these images of a data set; `groups` are near-duplicates, by their index in the data set.
#[must_use]
pub fn folds(labels: &[u32], images: &[usize], groups: &[Vec<usize>], count: usize, seed: u64) -> Vec<usize> {
    let mut place = vec![None; labels.len()];
    images.iter().enumerate().for_each(|(at, &image)| place[image] = Some(at));
    let mut grouped = vec![false; images.len()];
    let mut units: Vec<Vec<usize>> = Vec::new();
    for group in groups {
        let members: Vec<usize> = group.iter().filter_map(|&image| place[image]).collect();
        if members.len() > 1 {
            members.iter().for_each(|&at| grouped[at] = true);
            units.push(members);
        }
    }
    units.extend((0..images.len()).filter(|&at| !grouped[at]).map(|at| vec![at]));
    Stream::new(key(&[seed, u64::from_le_bytes(*b"folds\0\0\0")])).shuffle(&mut units);
    // The large ones first, so that the others even out the folds.
    units.sort_by_key(|unit| std::cmp::Reverse(unit.len()));
    let classes = labels.iter().max().map_or(1, |&most| most as usize + 1);
    let (mut of_class, mut all) = (vec![vec![0; classes]; count], vec![0; count]);
    let mut folds = vec![0; images.len()];
    for unit in units {
        let class = |at: usize| labels[images[at]] as usize;
        // The fold that has the fewest images of these classes, then the smallest one.
        let cost = |fold: usize| (unit.iter().map(|&at| of_class[fold][class(at)]).sum::<usize>(), all[fold], fold);
        let fold = (0..count).min_by_key(|&fold| cost(fold)).unwrap_or(0);
        for at in unit {
            folds[at] = fold;
            of_class[fold][class(at)] += 1;
            all[fold] += 1;
        }
    }
    folds
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn classes_are_spread_evenly() {
        let labels: Vec<u32> = (0..103).map(|image| u32::from(image % 10 == 0)).collect();
        let images: Vec<usize> = (0..100).collect();
        let found = folds(&labels, &images, &[], 5, 1);
        for fold in 0..5 {
            let members: Vec<usize> = (0..100).filter(|&at| found[at] == fold).collect();
            assert_eq!((members.len(), members.iter().filter(|&&at| labels[at] == 1).count()), (20, 2));
        }
        assert_eq!(found, folds(&labels, &images, &[], 5, 1));
        assert_ne!(found, folds(&labels, &images, &[], 5, 2));
    }

    proptest! {
        #[test]
        fn a_group_is_in_one_fold(labels in proptest::collection::vec(0u32..4, 20..60), count in 2usize..6, cut in 2usize..9) {
            let images: Vec<usize> = (0..labels.len()).filter(|image| image % 3 > 0).collect();
            let groups: Vec<Vec<usize>> = (0..labels.len()).collect::<Vec<_>>().chunks(cut).map(<[usize]>::to_vec).take(3).collect();
            let found = folds(&labels, &images, &groups, count, 7);
            prop_assert!(found.iter().all(|&fold| fold < count));
            for group in groups {
                let of: Vec<usize> = (0..images.len()).filter(|&at| group.contains(&images[at])).map(|at| found[at]).collect();
                prop_assert!(of.windows(2).all(|pair| pair[0] == pair[1]));
            }
        }
    }
}

//! One detection for each face, from all responses to it.
//!
//! Responses of one view that overlap are averaged with their scores as weights (weighted
//! non-maximum suppression), and so are the results of the views.

use super::detection::Detection;

/// Intersection over union from which two boxes are the same face.
const SAME_FACE: f32 = 0.3;

/// Intersection over union from which a box counts in the average.
const ALIKE: f32 = 0.6;

/// Weighted non-maximum suppression of the responses of one view.
pub fn suppressed(responses: Vec<Detection>) -> Vec<Detection> {
    let groups = groups(responses.into_iter().map(|response| (response, false)).collect());
    groups.into_iter().map(|group| averaged(&group)).collect()
}

/// The faces of all views. Each result comes with whether its view confirms others: two views that
/// agree independently are both wrong only with the product of their errors.
pub fn merged(results: Vec<(Detection, bool)>) -> Vec<Detection> {
    let face = |group: Vec<(Detection, bool)>| {
        let best = |confirms: bool| {
            let scores = group.iter().filter(|(_, own)| *own == confirms).map(|(found, _)| found.score);
            scores.fold(0.0, f32::max)
        };
        let score = 1.0 - (1.0 - best(false)) * (1.0 - best(true));
        Detection { score, ..averaged(&group) }
    };
    groups(results).into_iter().map(face).collect()
}

/// The detections, divided into those of one face; the one with the highest score is first.
fn groups(mut all: Vec<(Detection, bool)>) -> Vec<Vec<(Detection, bool)>> {
    all.retain(|(found, _)| {
        let finite = [found.x, found.y, found.width, found.height].iter().all(|value| value.is_finite());
        finite && found.width >= 1.0 && found.height >= 1.0
    });
    all.sort_by(|(a, _), (b, _)| b.score.total_cmp(&a.score));
    let mut groups: Vec<Vec<(Detection, bool)>> = Vec::new();
    for one in all {
        match groups.iter_mut().find(|group| group[0].0.overlap(&one.0) >= SAME_FACE) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups
}

/// The first of a group, at the average place of those that are alike.
fn averaged(group: &[(Detection, bool)]) -> Detection {
    let first = group[0].0;
    let alike: Vec<&Detection> =
        group.iter().map(|(found, _)| found).filter(|found| found.overlap(&first) >= ALIKE).collect();
    let sum: f32 = alike.iter().map(|found| found.score).sum();
    if alike.len() < 2 || sum <= 0.0 {
        return first;
    }
    let mean =
        |value: &dyn Fn(&Detection) -> f32| alike.iter().map(|found| value(found) * found.score).sum::<f32>() / sum;
    let point = |number: usize, axis: usize| mean(&|found| found.landmarks.map_or(0.0, |points| points[number][axis]));
    Detection {
        x: mean(&|found| found.x),
        y: mean(&|found| found.y),
        width: mean(&|found| found.width),
        height: mean(&|found| found.height),
        score: first.score,
        landmarks: first.landmarks.map(|_| std::array::from_fn(|number| [point(number, 0), point(number, 1)])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, score: f32) -> Detection {
        Detection { x, y: 0.0, width: 50.0, height: 50.0, score, landmarks: Some([[x, 0.0]; 5]) }
    }

    #[test]
    fn overlapping_responses_are_averaged() {
        let found = suppressed(vec![face(100.0, 0.4), face(14.0, 0.3), face(10.0, 0.9), face(30.0, 0.5)]);
        assert_eq!(found.len(), 2);
        // The one at 30 is the same face, but too far away for the average.
        assert!((found[0].x - 11.0).abs() < 1e-4 && found[0].score == 0.9, "{found:?}");
        assert!((found[0].landmarks.unwrap()[4][0] - 11.0).abs() < 1e-4);
        assert_eq!(found[1], face(100.0, 0.4));
    }

    #[test]
    fn views_that_agree_are_more_certain() {
        let score = |results: Vec<(Detection, bool)>| merged(results)[0].score;
        assert!((score(vec![(face(0.0, 0.6), false), (face(2.0, 0.5), true)]) - 0.8).abs() < 1e-6);
        // Two tiles show the same pixels.
        assert!((score(vec![(face(0.0, 0.6), false), (face(2.0, 0.5), false)]) - 0.6).abs() < 1e-6);
        assert!((score(vec![(face(0.0, 0.5), true)]) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn boxes_without_extent_are_dropped() {
        let flat = Detection { width: 0.2, ..face(0.0, 0.9) };
        let endless = Detection { width: f32::INFINITY, ..face(0.0, 0.9) };
        assert_eq!(suppressed(vec![flat, endless]), []);
    }
}

//! A table about the images of a data set: fixes, or people's votes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moue_fuzz::{Source, fer2013};
use moue_train::config::{DataOptions, VoteMode};
use moue_train::data::Votes;
use std::sync::LazyLock;

const IMAGES: usize = 8;

static SOURCE: LazyLock<Source> = LazyLock::new(|| {
    let source = Source::new("faces.csv");
    source.check(fer2013(IMAGES).as_bytes());
    source
});

fuzz_target!(init: moue_fuzz::one_thread(), |bytes: &[u8]| {
    let path = SOURCE.put("annotations.csv", bytes);
    if let Ok(data) = SOURCE.open(&DataOptions { fixes: Some(path.clone()), ..DataOptions::default() }) {
        let fixes = data.fixes().expect("the file has fixes");
        assert_eq!(data.len() + fixes.dropped, IMAGES);
        assert!(data.labels().iter().all(|&label| (label as usize) < data.classes().len()));
    }
    if let Ok(data) = SOURCE.open(&DataOptions { votes: Some(path.clone()), ..DataOptions::default() }) {
        assert!(data.len() <= IMAGES);
    }
    let data = SOURCE.open(&DataOptions::default()).expect("the data set is valid");
    let Ok(votes) = Votes::open(&path).and_then(|votes| votes.matched(&data)) else { return };
    let classes = data.classes().len();
    for image in 0..data.len() {
        for mode in [VoteMode::CrossEntropy, VoteMode::Majority] {
            if let Some(Ok(shares)) = votes.distribution(image, classes, mode) {
                assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{shares:?}");
                assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{shares:?}");
            }
        }
    }
});

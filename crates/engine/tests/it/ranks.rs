//! Training with a communicator of a single rank.

use crate::nets;
use moue_engine::{Communicator, Gradient, Precision};
use std::sync::{Arc, Mutex};

/// A communicator of one process.
#[derive(Default)]
struct Alone(Mutex<Vec<Gradient>>);

impl Communicator for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn gather(&self, values: &[f64]) -> Vec<f64> {
        values.to_vec()
    }

    fn begin_sum(&self, gradient: Gradient) {
        self.0.lock().unwrap().push(gradient);
    }

    fn finish_sums(&self) -> Vec<Gradient> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn abort(&self, code: i32) -> ! {
        std::process::exit(code)
    }
}

#[test]
fn one_rank_is_bit_identical_to_no_communicator() {
    // 70 images are three grains.
    let train = |communicator: Option<Arc<dyn Communicator>>, precision| {
        let mut training = nets::Training::new(70);
        training.network.set_precision(precision);
        // Sums are assigned to parameters by name.
        let mut number = 0;
        training.network.visit_mut(|parameter| {
            number += 1;
            parameter.name = format!("{number}.{}", parameter.name);
        });
        if let Some(communicator) = communicator {
            training.network.join(communicator);
        }
        (0..3).for_each(|step| training.step(&nets::images(70, step)));
        let mut bits = Vec::new();
        training.network.visit(|parameter| bits.extend(parameter.value.iter().map(|value| value.to_bits())));
        bits
    };
    for precision in [Precision::F32, Precision::Bf16] {
        assert_eq!(train(Some(Arc::new(Alone::default())), precision), train(None, precision));
    }
}

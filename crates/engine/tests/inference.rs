//! A network made ready to predict beside the network itself.

mod nets;

use moue_engine::{InferenceNetwork, Pass};

#[test]
fn it_answers_as_the_network_does() {
    let mut training = nets::Training::new(8);
    (0..3).for_each(|step| training.step(&nets::images(8, step)));
    let x = nets::images(5, 9);
    let expected = training.network.forward(&x, Pass::Inference).data().to_vec();
    let mut ready = InferenceNetwork::new(&training.network);
    let got = ready.run(&x).data();
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{got} instead of {expected}");
    }
}

#[test]
fn an_answer_does_not_depend_on_the_batch() {
    let mut training = nets::Training::new(8);
    training.step(&nets::images(8, 1));
    let mut ready = InferenceNetwork::new(&training.network);
    let x = nets::images(300, 9);
    let all = ready.run(&x).data().to_vec();
    for image in [0, 7, 150, 299] {
        let one = moue_engine::Tensor::from_slice(
            1,
            nets::INPUT,
            &x.data()[image * nets::INPUT.len()..][..nets::INPUT.len()],
        );
        assert_eq!(ready.run(&one).data(), &all[image * nets::CLASSES..][..nets::CLASSES]);
    }
}

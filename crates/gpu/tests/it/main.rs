//! The integration tests of the crate, on the best adapter of this machine: often Mesa's software Vulkan.

mod layers;
// The definitions of the layers and a network of all kinds of layers, as in the engine's tests.
#[allow(dead_code)]
#[path = "../../../engine/tests/it/nets/mod.rs"]
mod nets;
mod networks;
#[allow(dead_code)]
#[path = "../../../engine/tests/it/reference/mod.rs"]
mod reference;
mod training;

use moue_engine::{Network, Tensor};
use moue_gpu::{Device, Error, GpuNetwork};
use std::sync::{Arc, OnceLock};

/// The device of all tests; `None` where there is none.
fn device() -> Option<Arc<Device>> {
    static DEVICE: OnceLock<Option<Arc<Device>>> = OnceLock::new();
    let opened = || match Device::open(None) {
        Ok(device) => Some(Arc::new(device)),
        Err(Error::NoAdapter) => None,
        Err(error) => panic!("{error}"),
    };
    let device = DEVICE.get_or_init(opened).clone();
    if device.is_none() {
        println!("SKIPPED: no adapter; Debian's package mesa-vulkan-drivers has one in software");
    }
    device
}

/// The outputs of a network on the GPU, which are bit-identical when repeated.
fn outputs(device: Arc<Device>, network: &Network, x: &Tensor) -> Tensor {
    let gpu = GpuNetwork::new(device, network).unwrap();
    let y = gpu.run(x).unwrap();
    let bits = |y: &Tensor| y.data().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&gpu.run(x).unwrap()), bits(&y));
    y
}

/// Every value within 1e-4 of the largest one.
fn assert_close(got: &[f32], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(1e-6, |max: f64, v| max.max(v.abs()));
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(*got) - expected).abs() / scale;
        assert!(error < 1e-4, "value {i} is {got}, but the reference is {expected}");
    }
}

//! The device that computes a network: the CPU, or a GPU in builds with the feature `gpu`.
//!
//! This is the only file that knows whether the feature is there. A [`Classifier`](crate::Classifier) runs its network
//! through it.

use moue_engine::{InferenceNetwork, Network, Tensor, WorkspacePool};
use serde::Serialize;
use std::fmt;
use std::str::FromStr;
#[cfg(feature = "gpu")]
use std::sync::{Arc, OnceLock};

/// A device as a person selects it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The processor.
    #[default]
    Cpu,
    /// A GPU where there is one that is not software, else the processor.
    Auto,
    /// The adapter of this number; without one the first discrete GPU, or else the first of the best kind.
    Gpu(Option<usize>),
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Auto => f.write_str("auto"),
            Self::Gpu(None) => f.write_str("gpu"),
            Self::Gpu(Some(index)) => write!(f, "gpu:{index}"),
        }
    }
}

/// There is no device of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no device `{0}`; use cpu, gpu, auto, or gpu:N with a number that `moue doctor` lists")]
pub struct UnknownDevice(String);

impl FromStr for DeviceChoice {
    type Err = UnknownDevice;

    fn from_str(name: &str) -> Result<Self, UnknownDevice> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "auto" => Ok(Self::Auto),
            "gpu" => Ok(Self::Gpu(None)),
            _ => {
                let index = name.strip_prefix("gpu:").and_then(|index| index.parse().ok());
                index.map(|index| Self::Gpu(Some(index))).ok_or_else(|| UnknownDevice(name.to_owned()))
            }
        }
    }
}

/// Why a device cannot compute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The build has no code for GPUs.
    #[error(
        "this build computes on the CPU only; install moue with its feature `gpu`: `cargo install moue-cli --features gpu`"
    )]
    NotBuilt,
    /// A GPU computes in f32 only.
    #[error("a GPU computes in f32, not in {0}; use the precision f32")]
    Precision(crate::Precision),
    /// The GPU failed, or there is none.
    #[cfg(feature = "gpu")]
    #[error(transparent)]
    Gpu(#[from] moue_gpu::Error),
}

impl DeviceError {
    /// Whether a GPU had too little memory.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(moue_gpu::Error::OutOfMemory { .. }) => true,
            _ => false,
        }
    }
}

/// A GPU of this machine, or a program in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gpu {
    /// Its number N in `gpu:N`.
    pub index: usize,
    /// Name of the device.
    pub name: String,
    /// The API: `vulkan`, `metal` or `dx12`.
    pub backend: &'static str,
    /// `discrete`, `integrated`, `virtual`, `other` or `software`.
    pub kind: &'static str,
    /// Name and version of the driver.
    pub driver: String,
}

/// The GPUs of this machine; none in a build without the feature `gpu`.
#[must_use]
pub fn gpus() -> Vec<Gpu> {
    #[cfg(feature = "gpu")]
    {
        let described = |adapter: moue_gpu::Adapter| {
            let moue_gpu::Adapter { index, name, backend, kind, driver } = adapter;
            Gpu { index, name, backend, kind: kind.name(), driver }
        };
        moue_gpu::adapters().into_iter().map(described).collect()
    }
    #[cfg(not(feature = "gpu"))]
    Vec::new()
}

/// A device that is ready to compute. Clones share it.
#[derive(Clone, Default)]
pub struct Device(Inner);

#[derive(Clone, Default)]
enum Inner {
    #[default]
    Cpu,
    #[cfg(feature = "gpu")]
    Gpu(Arc<OpenGpu>),
}

#[cfg(feature = "gpu")]
pub(crate) struct OpenGpu {
    device: Arc<moue_gpu::Device>,
    /// The first error of a computation.
    failed: OnceLock<DeviceError>,
}

impl Device {
    /// Opens a device.
    ///
    /// # Errors
    /// When the build has no code for GPUs, or there is no such GPU, or its driver does not open it. With
    /// [`DeviceChoice::Auto`] only the latter.
    pub fn open(choice: DeviceChoice) -> Result<Self, DeviceError> {
        match choice {
            DeviceChoice::Cpu => Ok(Self::default()),
            DeviceChoice::Auto => {
                let hardware = gpus().into_iter().any(|gpu| gpu.kind != "software");
                if hardware { Self::open_gpu(None) } else { Ok(Self::default()) }
            }
            DeviceChoice::Gpu(index) => Self::open_gpu(index),
        }
    }

    #[cfg(feature = "gpu")]
    fn open_gpu(index: Option<usize>) -> Result<Self, DeviceError> {
        let device = Arc::new(moue_gpu::Device::open(index)?);
        Ok(Self(Inner::Gpu(Arc::new(OpenGpu { device, failed: OnceLock::new() }))))
    }

    #[cfg(not(feature = "gpu"))]
    fn open_gpu(_: Option<usize>) -> Result<Self, DeviceError> {
        Err(DeviceError::NotBuilt)
    }

    /// Whether this is the processor.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        matches!(self.0, Inner::Cpu)
    }

    /// The GPU that this is, if it is one.
    #[cfg(feature = "gpu")]
    #[must_use]
    pub fn gpu(&self) -> Option<&Arc<moue_gpu::Device>> {
        match &self.0 {
            Inner::Cpu => None,
            Inner::Gpu(gpu) => Some(&gpu.device),
        }
    }

    /// Records why the GPU no longer computes.
    #[cfg_attr(not(feature = "gpu"), expect(unused_variables))]
    pub(crate) fn fail(&self, error: &DeviceError) {
        #[cfg(feature = "gpu")]
        if let Inner::Gpu(gpu) = &self.0 {
            // Another thread may have met an error first.
            let _ = gpu.failed.set(error.clone());
        }
    }

    /// Why the GPU no longer computes, if it has failed: from then on, the CPU computes in its place.
    #[must_use]
    pub fn error(&self) -> Option<&DeviceError> {
        match &self.0 {
            Inner::Cpu => None,
            #[cfg(feature = "gpu")]
            Inner::Gpu(gpu) => gpu.failed.get(),
        }
    }
}

/// `cpu`, or the name of the GPU with its API and kind.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Cpu => f.write_str("cpu"),
            #[cfg(feature = "gpu")]
            Inner::Gpu(gpu) => gpu.device.adapter().fmt(f),
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({self})")
    }
}

/// A network that is prepared on a device.
pub(crate) enum Prepared {
    Cpu(InferenceNetwork),
    #[cfg(feature = "gpu")]
    Gpu {
        network: Box<moue_gpu::GpuNetwork>,
        gpu: Arc<OpenGpu>,
        /// Computes when the GPU has failed.
        cpu: OnceLock<InferenceNetwork>,
    },
}

impl Prepared {
    /// Prepares a network in f32 on a device.
    pub fn new(network: &Network, device: &Device) -> Result<Self, DeviceError> {
        match &device.0 {
            Inner::Cpu => Ok(Self::Cpu(InferenceNetwork::new(network))),
            #[cfg(feature = "gpu")]
            Inner::Gpu(gpu) => {
                let network = moue_gpu::GpuNetwork::new(Arc::clone(&gpu.device), network)?;
                Ok(Self::Gpu { network: Box::new(network), gpu: Arc::clone(gpu), cpu: OnceLock::new() })
            }
        }
    }

    /// The outputs for a batch. When the GPU fails, this and all further batches are computed on the CPU: a long run is
    /// not lost, and [`Device::error`] returns the reason. `network` is the one that was prepared.
    #[cfg_attr(not(feature = "gpu"), expect(unused_variables))]
    pub fn run(&self, x: &Tensor, network: &Network, workspaces: &WorkspacePool) -> Vec<f32> {
        let cpu = match self {
            Self::Cpu(cpu) => cpu,
            #[cfg(feature = "gpu")]
            Self::Gpu { network: prepared, gpu, cpu } => {
                if gpu.failed.get().is_none() {
                    match prepared.run(x) {
                        Ok(outputs) => return outputs.data().to_vec(),
                        // Another thread may have met an error first.
                        Err(error) => drop(gpu.failed.set(error.into())),
                    }
                }
                cpu.get_or_init(|| InferenceNetwork::new(network))
            }
        };
        workspaces.with(|workspace| {
            let outputs = cpu.run_in(x, workspace);
            let rows = outputs.data().to_vec();
            workspace.give(outputs);
            rows
        })
    }

    /// Frees the memory that is kept for further batches.
    pub fn release_memory(&self) {
        match self {
            Self::Cpu(cpu) => cpu.release_memory(),
            #[cfg(feature = "gpu")]
            Self::Gpu { network, .. } => network.release_memory(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_chosen_by_name() {
        for (name, choice) in [
            ("cpu", DeviceChoice::Cpu),
            ("auto", DeviceChoice::Auto),
            ("gpu", DeviceChoice::Gpu(None)),
            ("gpu:3", DeviceChoice::Gpu(Some(3))),
        ] {
            assert_eq!(name.parse(), Ok(choice));
            assert_eq!(choice.to_string(), name);
        }
        for name in ["", "gpu:", "gpu:-1", "cuda", "GPU"] {
            let error = name.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("there is no device `{name}`; use cpu, gpu, auto")), "{error}");
        }
    }

    #[test]
    fn the_cpu_is_always_there() {
        let device = Device::open(DeviceChoice::Cpu).unwrap();
        assert!(device.is_cpu());
        assert_eq!(device.to_string(), "cpu");
        assert_eq!(format!("{device:?}"), "Device(cpu)");
    }

    #[test]
    #[cfg(feature = "gpu")]
    fn a_gpu_that_fails_is_replaced_by_the_cpu() {
        let Ok(device) = Device::open(DeviceChoice::Gpu(None)) else {
            println!("SKIPPED: no adapter");
            return;
        };
        let open = || crate::Model::open("tiny").unwrap();
        let faces: Vec<u8> = (0..3 * 48 * 48).map(|i| (i % 251) as u8).collect();
        let cpu = crate::Classifier::new(open()).face_probabilities(&faces).unwrap();
        let gpu = crate::Classifier::prepare(open(), crate::PrecisionChoice::Auto, &device).unwrap();
        let close = |one: &[f32]| one.iter().zip(&cpu).all(|(one, other)| (one - other).abs() < 1e-4);
        let computed = gpu.face_probabilities(&faces).unwrap();
        assert!(close(&computed) && computed != cpu);
        assert_eq!(device.error(), None);
        let Inner::Gpu(handle) = &device.0 else { unreachable!("it is a GPU") };
        handle.device.destroy();
        assert_eq!(gpu.face_probabilities(&faces).unwrap(), cpu);
        assert!(matches!(device.error(), Some(DeviceError::Gpu(moue_gpu::Error::Lost { .. }))));
        let error = crate::Classifier::prepare(open(), crate::PrecisionChoice::Bf16, &device).err().unwrap();
        assert_eq!(error.to_string(), "a GPU computes in f32, not in bf16; use the precision f32");
    }

    #[test]
    #[cfg(not(feature = "gpu"))]
    fn a_build_without_the_feature_names_it() {
        let error = Device::open(DeviceChoice::Gpu(None)).unwrap_err().to_string();
        assert!(error.contains("`cargo install moue-cli --features gpu`"), "{error}");
        assert!(Device::open(DeviceChoice::Auto).unwrap().is_cpu());
        assert_eq!(gpus(), []);
    }
}

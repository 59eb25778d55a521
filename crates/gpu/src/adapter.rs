//! The adapters of this machine and the choice of one.

use crate::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The APIs that are searched for adapters.
const BACKENDS: wgpu::Backends = wgpu::Backends::VULKAN.union(wgpu::Backends::METAL).union(wgpu::Backends::DX12);

/// The kind of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU of a virtual machine.
    Virtual,
    /// The driver does not say.
    Other,
    /// A program that computes on the processor.
    Software,
}

impl Kind {
    /// The kind in reports: `discrete`, `integrated`, `virtual`, `other` or `software`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Other => "other",
            Self::Software => "software",
        }
    }
}

/// An adapter that runs compute shaders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// Its number, from 0.
    pub index: usize,
    /// Name of the device.
    pub name: String,
    /// The API: `vulkan`, `metal` or `dx12`.
    pub backend: &'static str,
    /// The kind of the device.
    pub kind: Kind,
    /// Name and version of the driver.
    pub driver: String,
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.name, self.backend, self.kind.name())
    }
}

/// The adapters of this machine, in the order of the drivers.
#[must_use]
pub fn adapters() -> Vec<Adapter> {
    found().into_iter().map(|(adapter, _)| adapter).collect()
}

/// The adapter of this number; without one the first discrete GPU, or else the first of the best kind.
pub(crate) fn select(index: Option<usize>) -> Result<(Adapter, wgpu::Adapter), Error> {
    let mut found = found();
    let at = match index {
        Some(index) if index < found.len() => index,
        Some(index) if !found.is_empty() => {
            let names: Vec<_> = found.iter().map(|(adapter, _)| format!("{}: {adapter}", adapter.index)).collect();
            return Err(Error::NoSuchAdapter { index, found: names.join(", ") });
        }
        _ => best(found.iter().map(|(adapter, _)| adapter.kind)).ok_or(Error::NoAdapter)?,
    };
    Ok(found.swap_remove(at))
}

/// The index of the first of the best kind.
fn best(kinds: impl Iterator<Item = Kind>) -> Option<usize> {
    kinds.enumerate().min_by_key(|&(_, kind)| kind).map(|(index, _)| index)
}

fn found() -> Vec<(Adapter, wgpu::Adapter)> {
    // No flags: those of a debug build look for validation layers.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: BACKENDS,
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let all = ready(instance.enumerate_adapters(BACKENDS)).unwrap_or_default();
    let compute = wgpu::DownlevelFlags::COMPUTE_SHADERS;
    let able = all.into_iter().filter(|adapter| adapter.get_downlevel_capabilities().flags.contains(compute));
    able.enumerate().map(|(index, adapter)| (described(index, &adapter.get_info()), adapter)).collect()
}

fn described(index: usize, info: &wgpu::AdapterInfo) -> Adapter {
    Adapter {
        index,
        name: info.name.clone(),
        backend: match info.backend {
            wgpu::Backend::Metal => "metal",
            wgpu::Backend::Dx12 => "dx12",
            _ => "vulkan",
        },
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => Kind::Discrete,
            wgpu::DeviceType::IntegratedGpu => Kind::Integrated,
            wgpu::DeviceType::VirtualGpu => Kind::Virtual,
            wgpu::DeviceType::Cpu => Kind::Software,
            wgpu::DeviceType::Other => Kind::Other,
        },
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
    }
}

/// The value of a future that is ready, as all of `wgpu`'s are outside of a browser.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_adapter_of_the_best_kind_is_selected() {
        let kinds = [Kind::Software, Kind::Integrated, Kind::Discrete, Kind::Discrete];
        assert_eq!(best(kinds.into_iter()), Some(2));
        assert_eq!(best(kinds[..2].iter().copied()), Some(1));
        assert_eq!(best(kinds[..1].iter().copied()), Some(0));
        assert_eq!(best([].into_iter()), None);
    }

    #[test]
    fn a_missing_adapter_is_an_error_that_lists_the_others() {
        let error = select(Some(99)).err();
        match adapters().first() {
            None => assert_eq!(error, Some(Error::NoAdapter)),
            Some(first) => {
                let text = error.unwrap().to_string();
                assert!(text.starts_with(&format!("there is no adapter 99; found: 0: {first}")), "{text}");
            }
        }
    }
}

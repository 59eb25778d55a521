//! The argument that selects a device.

use clap::Args;
use moue::DeviceChoice;

#[derive(Args)]
pub struct DeviceArgs {
    /// Device of the network: cpu, gpu, gpu:N with a number that `moue doctor` lists, or auto (a GPU if there is one)
    #[arg(long = "device", value_name = "DEVICE", default_value = "cpu", env = "MOUE_DEVICE", hide_env_values = true)]
    pub choice: DeviceChoice,
}

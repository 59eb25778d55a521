//! Products of tiles: the operands, the copies of maps that tiles are read from, and AMX.
//!
//! A tile has 16 rows of 64 bytes. `bf16` and `int8` define the products and what follows them.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod amx;
pub mod block;
pub mod layout;

#[cfg(test)]
pub use tests::run_with;

#[cfg(test)]
mod tests {
    use crate::precision::Kernels;

    /// Runs tests of this program again, in processes with the kernels that are not in use.
    pub fn run_with(all: &[Kernels], tests: &str) {
        const CHILD: &str = "MOUE_TEST_KERNELS_CHILD";
        if std::env::var_os(CHILD).is_some() {
            return;
        }
        for &kernels in all {
            if kernels == Kernels::in_use() {
                continue;
            }
            if !Kernels::available().any(|available| available == kernels) {
                eprintln!("SKIPPED: this processor or system does not support the kernels {}", kernels.name());
                continue;
            }
            let status = std::process::Command::new(std::env::current_exe().unwrap())
                .arg(tests)
                .env("MOUE_KERNELS", kernels.name())
                .env(CHILD, "1")
                .status();
            assert!(status.unwrap().success(), "{}", kernels.name());
        }
    }
}

//! The `moue` command, run as a program.

mod command;
mod onnx;
mod page;
mod own_classes;
mod place;
mod predict;
#[cfg(unix)]
mod serve;
mod shell;
#[cfg(unix)]
mod snapshots;

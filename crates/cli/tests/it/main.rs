//! The `moue` command, run as a program.

mod command;
mod onnx;
mod page;
mod place;
mod predict;
mod schema;
#[cfg(unix)]
mod serve;
mod shell;
#[cfg(unix)]
mod snapshots;

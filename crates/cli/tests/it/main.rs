//! The `moue` command, run as a program.

#[cfg(unix)]
mod audit;
#[cfg(unix)]
mod book;
mod command;
mod device;
#[cfg(unix)]
mod docs;
mod errors;
mod folders;
#[cfg(unix)]
mod interruption;
mod mistakes;
mod numbers;
mod onnx;
mod own_classes;
mod page;
mod place;
mod precision;
mod predict;
mod schema;
#[cfg(unix)]
mod serve;
mod shell;
#[cfg(unix)]
mod snapshots;
mod tune;
mod votes;
#[cfg(unix)]
mod watch;

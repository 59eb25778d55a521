//! Chores of the repository.
//!
//! `cargo run -p xtask -- web [CARGO ARGUMENTS…]` builds the page and its package into
//! `crates/server/dist`; `cargo run -p xtask -- check` tells whether that is up to date.
//! `cargo run -p xtask -- structure` checks how the repository is built up.

mod inputs;
mod shared;
mod structure;
mod web;

const USAGE: &str = "usage: cargo run -p xtask -- web [CARGO ARGUMENTS…] | check | structure";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((chore, cargo)) if chore == "web" => web::build(cargo),
        Some((chore, [])) if chore == "check" => inputs::check(),
        Some((chore, [])) if chore == "structure" => structure::check(),
        _ => anyhow::bail!(USAGE),
    }
}

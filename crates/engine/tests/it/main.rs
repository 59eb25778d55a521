//! Integration tests of the engine. Tests that count allocations are a separate program.

mod inference;
mod int8;
mod layers;
mod levels;
mod nets;
mod precision;
mod ranks;
mod reference;

//! The engine's tests, except those that count allocations, which need a program of their own.

mod inference;
mod layers;
mod levels;
mod nets;
mod ranks;
mod reference;

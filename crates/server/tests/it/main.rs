//! Tests of the service without a network.

mod client;
mod page;
mod service;

//! Tests of the service without a network.

mod client;
mod connections;
mod page;
mod service;

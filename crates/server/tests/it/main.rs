//! Tests of the service without a network.

mod client;
mod connections;
mod local;
mod page;
mod service;

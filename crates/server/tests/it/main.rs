//! The service, without a network in between.

mod client;
mod page;
mod service;

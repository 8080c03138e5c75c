//! Everfold: a WebAssembly-pluggable event store host.
//!
//! The rooms, in the order a command passes them, are described in `ARCHITECTURE.md`.

pub mod cluster;
pub mod config;
pub mod model;
pub mod modules;
pub mod pipeline;
pub mod runtime;
pub mod store;
pub mod telemetry;

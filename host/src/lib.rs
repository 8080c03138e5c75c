//! Everfold: a WebAssembly-pluggable event store host.

pub mod cluster;
pub mod config;
pub mod telemetry;

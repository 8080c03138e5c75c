//! Everfold: a WebAssembly-pluggable event store host.
//!
//! The rooms, in the order a command passes them, are described in `ARCHITECTURE.md`.

pub mod http;
pub mod model;

//! Everfold: a WebAssembly-pluggable event store host.

//! Everything that takes a database or a module to test, in one binary.

#![expect(clippy::unwrap_used, reason = "a test that can't go on panics where it stands")]

mod cluster;
mod doctor;
mod guarantees;
mod http_commands;
mod http_operations;
mod http_reads;
mod log;
mod metrics;
mod modules;
mod runtime;
mod support;
mod traces;

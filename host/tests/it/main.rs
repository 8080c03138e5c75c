//! Everything that takes a database or a module to test, in one binary.

#![expect(clippy::unwrap_used, reason = "a test that can't go on panics where it stands")]

mod bulk;
mod cluster;
mod guarantees;
mod http_commands;
mod http_operations;
mod http_reads;
mod log;
mod modules;
mod runtime;
mod support;

//! Everything that takes a database or a module to test, in one binary.

#![expect(clippy::unwrap_used, reason = "a test that can't go on panics where it stands")]

mod bulk;
mod cluster;
mod doctor;
mod errors;
mod examples;
mod guarantees;
mod http_commands;
mod http_description;
mod http_operations;
mod http_reads;
mod limits;
mod log;
mod metrics;
mod modules;
mod properties;
mod races;
mod reads;
mod runtime;
mod support;
mod tour;
mod traces;

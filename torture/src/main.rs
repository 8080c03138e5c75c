//! Starts hosts on one PostgreSQL, drives them through faults, and checks the whole history afterwards.

pub(crate) mod check;
pub(crate) mod history;
pub(crate) mod vault;

fn main() {}

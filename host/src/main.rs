//! The `everfold` command.
fn main() {}

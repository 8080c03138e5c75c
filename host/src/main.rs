//! The `everfold` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    everfold::cli::run()
}

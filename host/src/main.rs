//! The `everfold` command.

use std::process::ExitCode;

/// A command makes many small allocations, which other threads free: C's allocator takes locks for that, and a tenth of
/// the host's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    everfold::cli::run()
}

//! The program `etherws`. All of it is in the library beside it.

use std::process::ExitCode;

/// That of musl costs a fifth more CPU time for each octet of a tunnel.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    etherws::run()
}

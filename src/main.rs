//! The program `etherws`. All of it is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    etherws::run()
}

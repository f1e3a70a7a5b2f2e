//! The program `etherws`: reads the command line and starts what it asks for.

use std::process::ExitCode;

mod cli;
mod ctl;
mod daemon;
mod logging;
mod rpc;
mod server;

fn main() -> ExitCode {
    match cli::parse() {
        Ok(cli::Invocation::Ctl(args)) => ctl::run(args),
        Ok(other) => {
            eprintln!("etherws: {other:?} is not wired yet");
            ExitCode::FAILURE
        }
        Err(err) => {
            eprintln!("etherws: {err:#}");
            ExitCode::FAILURE
        }
    }
}

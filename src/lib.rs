//! The program `etherws`: reads the command line and starts what it asks for. A library
//! only so that the fuzzer can reach its parsers; who embeds the switch wants
//! `etherws-actors`.

mod acme;
mod api;
mod capture;
mod check;
mod cli;
mod completions;
mod config;
mod ctl;
mod daemon;
mod doctor;
mod extcap;
mod files;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod hosts;
mod hub;
mod logging;
mod manual;
mod netdev;
mod options;
mod parse;
mod passwd;
mod pidfile;
mod privileges;
mod prompt;
mod refusal;
mod run;
mod server;
mod service;
mod setup;
mod state;
mod users;

use std::process::ExitCode;

use cli::Invocation;
use etherws_actors::error::one_line;

/// Exit status if there is a mistake in the configuration file, which another start does not mend
/// (`EX_CONFIG` of sysexits.h).
const FAULTY_FILE: u8 = 78;

/// Runs the program; its arguments are those of the process.
#[must_use]
pub fn run() -> ExitCode {
    completions::answer();
    let ended = cli::parse().and_then(|invocation| match invocation {
        Invocation::Sw(options) => run::start(*options),
        Invocation::Ctl(args) => Ok(ctl::run(args)),
        Invocation::Init(args) => setup::init::run(&args),
        Invocation::Join(args) => setup::join::run(args),
        Invocation::Leave(args) => setup::leave::run(&args),
        Invocation::Doctor(args) => Ok(doctor::run(args)),
        Invocation::Extcap(args) => extcap::run(*args),
        Invocation::Completions(args) => completions::run(&args).map(|()| ExitCode::SUCCESS),
        Invocation::Manual(args) => manual::run(&args).map(|()| ExitCode::SUCCESS),
        Invocation::Check(args) => check::run(&args),
        Invocation::Passwd(args) => passwd::run(&args).map(|()| ExitCode::SUCCESS),
    });
    ended.unwrap_or_else(|error| {
        let faults = error.downcast_ref::<config::Faults>();
        let text = faults.map_or_else(|| one_line(&*error), |faults| faults.report.clone());
        ctl::output::say(&format!("etherws: {text}\n"));
        match faults {
            Some(faults) if faults.is_of_file => ExitCode::from(FAULTY_FILE),
            _ => ExitCode::FAILURE,
        }
    })
}

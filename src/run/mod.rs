//! The program around the switch: opens what it needs, starts the actors and the
//! services, and ends them when it is told to. 0.3's `server` and `client` are the
//! same with one TAP and no control.

mod bindings;
mod listeners;
mod mirrors;
mod operate;
mod renewal;
mod specs;
mod start;
mod task;
mod users;

use std::process::ExitCode;

use actix_rt::System;
use anyhow::{Context as _, Result};
use etherws_actors::{
    kinds::{Client, ClientOptions},
    secret::Secret,
    tick,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use slog::{Logger, debug};

use crate::{
    config::Sw,
    daemon::{self, Role},
    logging,
    pidfile::PidFile,
    privileges, prompt,
    service::Inherited,
};

/// Runs the switch, in the background unless it is to stay in the foreground.
///
/// # Errors
/// A file, a listener or a first port does not open.
pub(crate) fn start(mut options: Sw) -> Result<ExitCode> {
    let asking = options.ports.iter_mut().filter(|_| options.legacy);
    let mut client = asking.into_iter().find_map(|port| port.new.get_mut::<Client>());
    let has_user = client.as_ref().is_some_and(|client| client.user.is_some());
    let ask = || if has_user { prompt::password("Client Password: ") } else { Ok(String::new()) };
    let (ready, password) = if options.logging.foreground {
        (None, ask()?)
    } else {
        match daemon::detach(ask)? {
            Role::Parent(status) => return Ok(status),
            Role::Child(ready, password) => (Some(ready), password),
        }
    };
    if let Some(ClientOptions { user: Some(_), passwd, .. }) = &mut client {
        *passwd = Some(Secret(password));
    }
    let account = options.user.as_deref().map(privileges::find_user).transpose()?;
    // All that needs a privilege which is not kept.
    let _pid_file = options.pid_file.as_deref().map(PidFile::write).transpose()?;
    let (bound, control_socket) = listeners::open(&options, Inherited::take()?, account.as_ref())?;
    // What a file says may be another port below 1024 when it is read again.
    privileges::limit(account.as_ref(), options.source.is_some())?;
    let (log, _guard) = logging::init(&options.logging)?;
    let descriptors = allow_many_sessions(&log);
    let runtime = tick::runtime().context("cannot start the runtime")?;
    let run = start::run(options, bound, control_socket, descriptors, ready, log);
    System::with_tokio_rt(|| runtime).block_on(run)?;
    Ok(ExitCode::SUCCESS)
}

/// What a shell gives a program.
const USUAL_DESCRIPTORS: u64 = 1024;

/// Each session has a file descriptor, and a shell gives a program 1,024 of them:
/// takes as many as the system allows, and says how many there are.
fn allow_many_sessions(log: &Logger) -> usize {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        debug!(log, "no more file descriptors than usual"; "error" => %error);
    }
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(USUAL_DESCRIPTORS, |(soft, _)| soft);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

//! The interface to a service manager, systemd: the sockets that it has opened, and
//! notifications that the switch is ready, reloads, stops, and is alive. Beside `sw`.
//!
//! Without a service manager nothing here does anything; with one it never keeps the switch
//! from running: a notification that fails is logged.

use std::{
    env, io, iter,
    net::TcpListener,
    os::{fd::AsFd, unix::net::UnixListener},
    time::Duration,
};

use actix::Recipient;
use anyhow::{Context as _, Result, bail};
use etherws_actors::{
    error::one_line,
    message::{CountPorts, PortCounts},
    tick,
};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use slog::{Logger, warn};
use socket2::SockRef;
use tokio::time::timeout;

/// Pings per watchdog timeout: one may then wait for half of the timeout, and there is
/// still time for the next.
const PINGS: u32 = 4;

/// How often the status line is updated without a watchdog.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// Sockets that listen already, by what is to be served there.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    /// Instead of the tunnel's host and port.
    pub(crate) tunnel: Vec<TcpListener>,
    /// Instead of control's host and port.
    pub(crate) control: Vec<TcpListener>,
    /// Instead of control's Unix socket.
    pub(crate) control_socket: Option<UnixListener>,
}

impl Inherited {
    /// Takes the sockets that were handed to this process (`sd_listen_fds(3)`). To be
    /// called once, before anything starts a thread: it clears the environment.
    ///
    /// # Errors
    /// One of them has an unknown name, or does not listen.
    pub(crate) fn take() -> Result<Self> {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        // As systemd calls those without a name.
        let names = names.split(':').chain(iter::repeat("unknown"));
        let mut sockets = ListenFd::from_env();
        let mut inherited = Self::default();
        for (index, name) in (0..sockets.len()).zip(names) {
            let unusable = || format!("the inherited socket {name:?} cannot be used");
            match name {
                "tunnel" => {
                    let socket = sockets.take_tcp_listener(index).with_context(unusable)?;
                    inherited.tunnel.extend(socket);
                }
                "control" => match sockets.take_unix_listener(index) {
                    Ok(Some(_)) if inherited.control_socket.is_some() => {
                        bail!("two inherited Unix sockets are named \"control\"; remove one")
                    }
                    Ok(socket) => inherited.control_socket = socket,
                    // What is not one of these two is an error.
                    Err(_) => {
                        let socket = sockets.take_tcp_listener(index).with_context(unusable)?;
                        inherited.control.extend(socket);
                    }
                },
                _ => bail!(
                    "the name {name:?} of an inherited socket is not known; set \
                     FileDescriptorName= in its unit to \"tunnel\" or \"control\""
                ),
            }
        }
        for socket in inherited.tunnel.iter().chain(&inherited.control) {
            usable(socket)?;
        }
        inherited.control_socket.as_ref().map_or(Ok(()), usable)?;
        Ok(inherited)
    }
}

/// Checks that a socket listens, and makes it non-blocking.
fn usable(socket: &impl AsFd) -> Result<()> {
    let socket = SockRef::from(socket);
    if !socket.is_listener()? {
        bail!("an inherited socket does not listen; set Accept=no in its unit");
    }
    socket.set_nonblocking(true).context("cannot use an inherited socket")
}

/// Reports that all listeners serve and the first ports exist, or, after [`reloading`],
/// that the reload is done.
pub(crate) fn ready(log: &Logger) {
    notify(&[NotifyState::Ready], log);
}

/// Reports that files are read again; [`ready`] follows in any case.
pub(crate) fn reloading(log: &Logger) {
    match NotifyState::monotonic_usec_now() {
        // In this order: systemd 253 wants the time with it.
        Ok(now) => notify(&[NotifyState::Reloading, now], log),
        Err(error) => warn!(log, "cannot read the monotonic clock"; "error" => one_line(&error)),
    }
}

/// Reports that the switch stops on request.
pub(crate) fn stopping(log: &Logger) {
    notify(&[NotifyState::Stopping], log);
}

fn notify(states: &[NotifyState<'_>], log: &Logger) {
    log_failure(&sd_notify::notify(states), log);
}

fn log_failure(result: &io::Result<()>, log: &Logger) {
    if let Err(error) = result {
        warn!(log, "cannot notify the service manager"; "error" => one_line(error));
    }
}

/// Pings the watchdog for as long as the Switch answers, and updates the line that
/// `systemctl status` shows.
pub(crate) async fn watch(switch: Recipient<CountPorts>, log: Logger) {
    if env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let limit = sd_notify::watchdog_enabled();
    ping(&switch, limit, async |counts| {
        let status = status(counts);
        // It may block, where the manager does not read: not on this thread.
        let notify = move || match limit {
            Some(_) => sd_notify::notify(&[NotifyState::Watchdog, NotifyState::Status(&status)]),
            None => sd_notify::notify(&[NotifyState::Status(&status)]),
        };
        if let Ok(result) = tokio::task::spawn_blocking(notify).await {
            log_failure(&result, &log);
        }
    })
    .await;
}

/// Asks the Switch how many ports it has, `PINGS` times in `limit`, and gives `alive` what it
/// answers in half of that time; ends with the Switch.
async fn ping(
    switch: &Recipient<CountPorts>,
    limit: Option<Duration>,
    alive: impl AsyncFn(PortCounts),
) {
    let mut turns = tick::every(limit.map_or(STATUS_INTERVAL, |limit| limit / PINGS));
    loop {
        match timeout(limit.unwrap_or(STATUS_INTERVAL) / 2, switch.send(CountPorts)).await {
            Ok(Ok(counts)) => alive(counts).await,
            Ok(Err(_)) => return,
            // Its silence is what the watchdog notices.
            Err(_) => {}
        }
        turns.tick().await;
    }
}

fn status(PortCounts { all, up, sessions }: PortCounts) -> String {
    let counted = |count, word| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    format!("{}, {up} up; {}", counted(all, "port"), counted(sessions, "session"))
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future};

    use actix::{Actor, Context, Handler, ResponseFuture};

    use super::*;

    /// A Switch that is stuck after some answers.
    struct Stuck {
        answers: u32,
    }

    impl Actor for Stuck {
        type Context = Context<Self>;
    }

    impl Handler<CountPorts> for Stuck {
        type Result = ResponseFuture<PortCounts>;

        fn handle(&mut self, _: CountPorts, _: &mut Self::Context) -> Self::Result {
            match self.answers.checked_sub(1) {
                Some(left) => {
                    self.answers = left;
                    Box::pin(future::ready(PortCounts::default()))
                }
                None => Box::pin(future::pending()),
            }
        }
    }

    #[test]
    fn only_a_switch_that_answers_is_alive() {
        actix_rt::System::new().block_on(async {
            let switch = Stuck { answers: 3 }.start().recipient();
            let limit = Duration::from_millis(40);
            let alive = Cell::new(0);
            let pings = ping(&switch, Some(limit), async |_| alive.set(alive.get() + 1));
            // Three answers in three quarters of the limit, and none in all the rest.
            assert!(timeout(limit * 5, pings).await.is_err(), "it goes on asking");
            assert_eq!(alive.get(), 3);
        });
    }
}

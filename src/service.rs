//! What a service manager, systemd, and the program tell each other: the sockets that it
//! has opened for us; that we serve, load anew, end, and are alive. Stands beside `sw`.
//!
//! Without a service manager nothing of this does anything, and with one it never keeps
//! the switch from running: what cannot be told is in the log.

use std::{
    env, io, iter,
    net::TcpListener,
    os::{fd::AsFd, unix::net::UnixListener},
    time::Duration,
};

use actix::Recipient;
use anyhow::{Context as _, Result, bail};
use etherws_actors::{
    message::{ListPorts, PortInfo},
    state::PortState,
};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use slog::{Logger, warn};
use socket2::SockRef;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// The number of pings in the time after which systemd takes us for dead: one may then
/// wait for half of it, and there is still time for the next.
const PINGS: u32 = 4;

/// How often the status line is told where nobody watches: as often as somebody looks.
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
    /// One of them has a name that is none of ours, or does not listen.
    pub(crate) fn take() -> Result<Self> {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        // As systemd calls those without a name.
        let names = names.split(':').chain(iter::repeat("unknown"));
        let mut sockets = ListenFd::from_env();
        let mut inherited = Self::default();
        for (index, name) in (0..sockets.len()).zip(names) {
            let unusable = || format!("the inherited socket {name:?} is of no use for it");
            match name {
                "tunnel" => {
                    let socket = sockets.take_tcp_listener(index).with_context(unusable)?;
                    inherited.tunnel.extend(socket);
                }
                "control" => match sockets.take_unix_listener(index) {
                    Ok(Some(_)) if inherited.control_socket.is_some() => {
                        bail!("two Unix sockets are called \"control\": leave one out")
                    }
                    Ok(socket) => inherited.control_socket = socket,
                    // What is not one of these two is an error.
                    Err(_) => {
                        let socket = sockets.take_tcp_listener(index).with_context(unusable)?;
                        inherited.control.extend(socket);
                    }
                },
                _ => bail!(
                    "an inherited socket is called {name:?}: call it \"tunnel\" or \"control\" \
                     with FileDescriptorName= in its unit"
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

/// Sees to it that a socket listens, and that nobody waits for it.
fn usable(socket: &impl AsFd) -> Result<()> {
    let socket = SockRef::from(socket);
    if !socket.is_listener()? {
        bail!("an inherited socket does not listen: set Accept=no in its unit");
    }
    socket.set_nonblocking(true).context("an inherited socket cannot be used")
}

/// Tells that all listeners serve and the first ports are there, or, after
/// [`reloading`], that what was asked for is done.
pub(crate) fn ready(log: &Logger) {
    tell(&[NotifyState::Ready], log);
}

/// Tells that files are read again; [`ready`] follows, whatever becomes of it.
pub(crate) fn reloading(log: &Logger) {
    match NotifyState::monotonic_usec_now() {
        // In this order: systemd 253 wants the time with it.
        Ok(now) => tell(&[NotifyState::Reloading, now], log),
        Err(error) => warn!(log, "no monotonic clock"; "error" => %error),
    }
}

/// Tells that we end because we were asked to.
pub(crate) fn stopping(log: &Logger) {
    tell(&[NotifyState::Stopping], log);
}

fn tell(states: &[NotifyState<'_>], log: &Logger) {
    told(&sd_notify::notify(states), log);
}

fn told(result: &io::Result<()>, log: &Logger) {
    if let Err(error) = result {
        warn!(log, "the service manager cannot be told what we do"; "error" => %error);
    }
}

/// Tells for as long as the Switch lives that it does, by asking it, and in the line that
/// `systemctl status` shows, what it has.
pub(crate) async fn watch(switch: Recipient<ListPorts>, log: Logger) {
    if env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let limit = sd_notify::watchdog_enabled();
    ping(&switch, limit, async |ports| {
        let status = status(&ports);
        // It may block, where the manager does not read: not on this thread.
        let notify = move || match limit {
            Some(_) => sd_notify::notify(&[NotifyState::Watchdog, NotifyState::Status(&status)]),
            None => sd_notify::notify(&[NotifyState::Status(&status)]),
        };
        if let Ok(result) = tokio::task::spawn_blocking(notify).await {
            told(&result, &log);
        }
    })
    .await;
}

/// Asks the Switch for its ports, `PINGS` times in `limit`, and gives `alive` what it
/// answers in half of that time; ends with the Switch.
async fn ping(
    switch: &Recipient<ListPorts>,
    limit: Option<Duration>,
    alive: impl AsyncFn(Vec<PortInfo>),
) {
    let mut turns = interval(limit.map_or(STATUS_INTERVAL, |limit| limit / PINGS));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        match timeout(limit.unwrap_or(STATUS_INTERVAL) / 2, switch.send(ListPorts)).await {
            Ok(Ok(ports)) => alive(ports).await,
            Ok(Err(_)) => return,
            // Its silence is what the manager hears.
            Err(_) => {}
        }
    }
}

fn status(ports: &[PortInfo]) -> String {
    let up = ports.iter().filter(|port| port.state == PortState::Up).count();
    let sessions = ports.iter().filter(|port| port.kind == "server").count();
    format!("{} ports, {up} of them up; {sessions} are sessions", ports.len())
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

    impl Handler<ListPorts> for Stuck {
        type Result = ResponseFuture<Vec<PortInfo>>;

        fn handle(&mut self, _: ListPorts, _: &mut Self::Context) -> Self::Result {
            match self.answers.checked_sub(1) {
                Some(left) => {
                    self.answers = left;
                    Box::pin(future::ready(Vec::new()))
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

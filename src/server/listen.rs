//! Listening sockets and the loop that accepts from them.
//!
//! All runs on one Arbiter: a handoff between threads costs some 16 µs, as much as
//! a whole batch of frames on its way through the switch.

use std::{
    future::{Future, poll_fn},
    io, mem,
    net::{
        self, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener,
        ToSocketAddrs,
    },
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix_rt::net::TcpStream;
use anyhow::{Context as _, Result, bail};
use etherws_actors::error::one_line;
use slog::{Logger, warn};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc;

use super::{
    counters::Count,
    endpoint::Endpoint,
    pending::{Connection, Place},
};

/// Connections that wait to be accepted, as many as the system allows unless told otherwise:
/// who connects in masses must not fill it before we come to it.
const BACKLOG: i32 = 4096;

/// Pause after an error that accepting again at once would only repeat, as when
/// file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves one accepted connection, and where it comes from, to its end.
pub(crate) type Serve =
    Rc<dyn Fn(TcpStream, SocketAddr, Place) -> Pin<Box<dyn Future<Output = ()>>>>;

/// A connection on its way to another thread.
type Sent = (net::TcpStream, SocketAddr, Connection);

/// Opens a listening socket for every address of `host`: all addresses, IPv4 and
/// IPv6, where it is empty. Port 0 takes a free port, the same for all of them.
///
/// # Errors
/// The name does not resolve, or an address cannot be listened on.
pub(crate) fn bind(host: &str, port: u16) -> Result<Vec<TcpListener>> {
    let addresses: Vec<SocketAddr> = if host.is_empty() {
        vec![
            SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into(),
            SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0).into(),
        ]
    } else {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let mut found: Vec<_> = (bare, port)
            .to_socket_addrs()
            .with_context(|| format!("listen address {host:?} does not resolve"))?
            .collect();
        found.dedup();
        found
    };
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut assigned = port;
    for mut address in addresses {
        address.set_port(assigned);
        match bind_one(address) {
            Ok(listener) => {
                assigned =
                    listener.local_addr().context("listening socket without address")?.port();
                listeners.push(listener);
            }
            // A host without IPv6 listens on IPv4 alone.
            Err(error) if host.is_empty() && address.is_ipv6() && is_no_ipv6(&error) => {}
            Err(error) => {
                let hint = match error.kind() {
                    io::ErrorKind::AddrInUse => {
                        "; stop the program that has it, or choose another port"
                    }
                    io::ErrorKind::PermissionDenied => {
                        "; ports below 1024 need root or CAP_NET_BIND_SERVICE"
                    }
                    io::ErrorKind::AddrNotAvailable => "; it is not an address of this host",
                    _ => "",
                };
                bail!("cannot listen on {address}: {error}{hint}");
            }
        }
    }
    if listeners.is_empty() {
        bail!("listen address {host:?} resolves to no address");
    }
    Ok(listeners)
}

fn is_no_ipv6(error: &io::Error) -> bool {
    use nix::libc::{EADDRNOTAVAIL, EAFNOSUPPORT};
    matches!(error.raw_os_error(), Some(EAFNOSUPPORT | EADDRNOTAVAIL))
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted switch must not wait for its old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // The IPv4 addresses have a socket of their own, so that peers show as IPv4.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Where connections are served.
#[derive(Clone)]
pub(crate) enum Worker {
    /// On this Arbiter.
    Local(Serve),
    /// On another, behind [`serve_remote`].
    Remote(mpsc::Sender<Sent>),
}

impl Worker {
    async fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        connection: Connection,
    ) -> io::Result<()> {
        match self {
            Self::Local(serve) => {
                let served = serve(stream, peer, connection.place());
                actix_rt::spawn(connection.serve(served));
                Ok(())
            }
            Self::Remote(sender) => {
                let gone = |_| io::Error::other("its thread has ended");
                sender.send((stream.into_std()?, peer, connection)).await.map_err(gone)
            }
        }
    }
}

/// Serves what is sent to a [`Worker::Remote`]; runs on that Arbiter.
pub(crate) async fn serve_remote(mut streams: mpsc::Receiver<Sent>, serve: Serve) {
    while let Some((stream, peer, connection)) = streams.recv().await {
        if let Ok(stream) = TcpStream::from_std(stream) {
            let served = serve(stream, peer, connection.place());
            actix_rt::spawn(connection.serve(served));
        }
    }
}

/// Accepts connections for as long as the task lives, and gives them to `workers` in
/// turn.
pub(crate) async fn accept(
    listener: actix_rt::net::TcpListener,
    workers: Vec<Worker>,
    endpoint: Arc<Endpoint>,
    log: Logger,
) {
    let mut turns = workers.iter().cycle();
    loop {
        let (stream, peer) = next(&endpoint, &log, |cx| listener.poll_accept(cx)).await;
        endpoint.counters.add(Count::Accepted);
        let Some(worker) = turns.next() else { return };
        let connection = endpoint.pending.enter(peer.ip().into());
        if let Err(error) = worker.serve(stream, peer, connection).await {
            warn!(log, "cannot serve a connection"; "peer" => %peer, "error" => one_line(&error));
        }
    }
}

/// The next connection that `accept` gives, however long there are no file descriptors
/// for it.
pub(super) async fn next<S>(
    endpoint: &Endpoint,
    log: &Logger,
    mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<S>>,
) -> S {
    let mut failing = false;
    loop {
        match poll_fn(|cx| endpoint.reserve.accept(endpoint, || accept(cx))).await {
            Ok(accepted) => return accepted,
            // The peer was gone before we came to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                if !mem::replace(&mut failing, true) {
                    warn!(log, "cannot accept a connection; trying again"; "error" => one_line(&error));
                }
            }
        }
        actix_rt::time::sleep(ACCEPT_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_host_listens_on_ipv4_and_ipv6_with_one_port() {
        let listeners = bind("", 0).expect("some port is free");
        let ports: Vec<_> =
            listeners.iter().map(|l| l.local_addr().expect("bound").port()).collect();
        assert!(ports.iter().all(|&p| p == ports[0] && p != 0), "{ports:?}");
        assert!(listeners[0].local_addr().expect("bound").is_ipv4());
    }

    #[test]
    fn an_address_in_use_is_named() {
        let first = bind("127.0.0.1", 0).expect("some port is free");
        let address = first[0].local_addr().expect("bound");
        let error = bind("127.0.0.1", address.port()).expect_err("in use").to_string();
        assert!(error.contains(&address.to_string()), "{error}");
    }

    #[test]
    fn an_ipv6_address_may_stand_in_brackets() {
        assert!(bind("[::1]", 0).is_ok() || bind("::1", 0).is_err());
    }
}

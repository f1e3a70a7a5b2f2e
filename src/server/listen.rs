//! Listening sockets and the loop that accepts from them.
//!
//! All runs on one Arbiter: a handoff between threads costs some 16 µs, as much as
//! a whole batch of frames on its way through the switch.

use std::{
    fs::File,
    future::Future,
    io,
    net::{
        self, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener,
        ToSocketAddrs,
    },
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_rt::net::TcpStream;
use anyhow::{Context, Result, bail};
use etherws_actors::tunnel::tcp;
use slog::{Logger, debug, warn};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc;

use super::{Site, pending::Connection};

/// Connections that wait to be accepted, as in actix-server.
const BACKLOG: i32 = 1024;

/// Pause after an error that accepting again at once would only repeat, as when
/// file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves one accepted connection to its end.
pub(crate) type Serve = Rc<dyn Fn(TcpStream) -> Pin<Box<dyn Future<Output = ()>>>>;

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
                    io::ErrorKind::AddrNotAvailable => "; it is no address of this host",
                    _ => "",
                };
                bail!("cannot listen on {address}: {error}{hint}");
            }
        }
    }
    if listeners.is_empty() {
        bail!("listen address {host:?} has no address");
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
pub(crate) enum Place {
    /// On this Arbiter.
    Here(Serve),
    /// On another, behind [`elsewhere`].
    There(mpsc::Sender<(net::TcpStream, Connection)>),
}

impl Place {
    async fn serve(&self, stream: TcpStream, connection: Connection) -> io::Result<()> {
        match self {
            Self::Here(serve) => {
                actix_rt::spawn(connection.serve(serve(stream)));
                Ok(())
            }
            Self::There(sender) => {
                let gone = |_| io::Error::other("the thread for it has ended");
                sender.send((stream.into_std()?, connection)).await.map_err(gone)
            }
        }
    }
}

/// Serves what is sent to a [`Place::There`]; runs on that Arbiter.
pub(crate) async fn elsewhere(
    mut streams: mpsc::Receiver<(net::TcpStream, Connection)>,
    serve: Serve,
) {
    while let Some((stream, connection)) = streams.recv().await {
        if let Ok(stream) = TcpStream::from_std(stream) {
            actix_rt::spawn(connection.serve(serve(stream)));
        }
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    use nix::libc::{EMFILE, ENFILE};
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

/// A file descriptor that control keeps for the time when there is no other: whoever
/// comes to see what is wrong can still come in.
#[derive(Debug)]
struct Reserve {
    is_wanted: bool,
    descriptor: Option<File>,
}

impl Reserve {
    const fn new(is_wanted: bool) -> Self {
        Self { is_wanted, descriptor: None }
    }

    fn fill(&mut self) {
        if self.is_wanted && self.descriptor.is_none() {
            self.descriptor = File::open("/dev/null").ok();
        }
    }

    /// Gives it up, if there is one.
    fn release(&mut self) -> bool {
        self.descriptor.take().is_some()
    }
}

/// Accepts connections for as long as the task lives, and gives them to `places` in
/// turn.
///
/// # Errors
/// The socket cannot be registered with the runtime.
pub(crate) async fn accept(
    listener: TcpListener,
    places: Vec<Place>,
    site: Arc<Site>,
    log: Logger,
) -> io::Result<()> {
    let listener = actix_rt::net::TcpListener::from_std(listener)?;
    let mut turns = places.iter().cycle();
    let mut reserve = Reserve::new(site.control.is_some());
    let mut failing = false;
    loop {
        reserve.fill();
        match listener.accept().await {
            Ok((stream, peer)) => {
                failing = false;
                site.counters.accept();
                // Whatever comes over it may become a tunnel.
                if let Err(error) = tcp::set_options(&stream) {
                    debug!(log, "connection without TCP options"; "peer" => %peer, "error" => %error);
                }
                let Some(place) = turns.next() else { return Ok(()) };
                if let Err(error) = place.serve(stream, site.pending.enter()).await {
                    warn!(log, "connection is not served"; "peer" => %peer, "error" => %error);
                }
            }
            // The peer was gone before we came to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) if is_out_of_descriptors(&error) && reserve.release() => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    warn!(log, "cannot accept a connection; trying again"; "error" => %error);
                }
                actix_rt::time::sleep(ACCEPT_PAUSE).await;
            }
        }
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

//! What is known of a client before its first request: the ends of its connection, and
//! the name that it has shown a certificate for. Kept with the connection by actix,
//! and found again with each of its requests. Decides nothing.

use std::{fmt, net::SocketAddr, sync::Arc};

use actix_http::Extensions;
use actix_rt::net::{ActixStream, TcpStream, UnixStream};
use actix_tls::accept::rustls_0_23::TlsStream;

use super::{auth, source::Source};

/// A client whose connection was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(super) ends: Ends,
    pub(super) certificate: ClientCertificate,
}

/// Both ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Addresses of a TCP connection.
    Tcp { local: SocketAddr, peer: SocketAddr },
    /// A Unix socket: whoever may open its file.
    Unix,
    /// A TCP connection that has ended already.
    Gone,
}

/// What certificate a client has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClientCertificate {
    /// None.
    None,
    /// One without a name that can be used.
    Nameless,
    /// One for this name, verified.
    Named(Arc<str>),
}

impl Peer {
    /// Of whom nothing is known, which cannot be: every stream is described.
    pub(super) const UNKNOWN: Self =
        Self { ends: Ends::Gone, certificate: ClientCertificate::Nameless };

    /// Where it connects from; nowhere on a Unix socket.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self.ends {
            Ends::Tcp { peer, .. } => Some(peer),
            Ends::Unix | Ends::Gone => None,
        }
    }

    /// The same as it counts.
    pub(super) fn source(&self) -> Source {
        self.address().map_or(Source::UNIX, |address| address.ip().into())
    }

    /// Whether it is on this machine.
    pub(super) fn is_local(&self) -> bool {
        match self.ends {
            Ends::Tcp { peer, .. } => peer.ip().to_canonical().is_loopback(),
            Ends::Unix => true,
            Ends::Gone => false,
        }
    }
}

impl fmt::Display for Peer {
    /// As it is logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

/// A stream that tells who is on the other end.
pub(super) trait Accepted: ActixStream {
    fn describe(&self) -> Peer;
}

/// Keeps what it tells with the connection; for `on_connect_ext`.
pub(super) fn keep<T: Accepted>(stream: &T, data: &mut Extensions) {
    data.insert(stream.describe());
}

impl Accepted for TcpStream {
    fn describe(&self) -> Peer {
        let ends = match (self.local_addr(), self.peer_addr()) {
            (Ok(local), Ok(peer)) => Ends::Tcp { local, peer },
            _ => Ends::Gone,
        };
        Peer { ends, certificate: ClientCertificate::None }
    }
}

impl Accepted for TlsStream<TcpStream> {
    fn describe(&self) -> Peer {
        let (tcp, tls) = self.get_ref();
        let certificate = match tls.peer_certificates() {
            None | Some([]) => ClientCertificate::None,
            Some([own, ..]) => auth::certificate_name(own)
                .map_or(ClientCertificate::Nameless, ClientCertificate::Named),
        };
        Peer { certificate, ..tcp.describe() }
    }
}

impl Accepted for UnixStream {
    fn describe(&self) -> Peer {
        Peer { ends: Ends::Unix, certificate: ClientCertificate::None }
    }
}

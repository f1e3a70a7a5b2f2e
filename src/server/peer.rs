//! What is known of a client before its first request: the ends of its connection, where it
//! comes from by the word of a proxy, and the name that it has shown a certificate for. Kept
//! with the connection by actix, and found again with each of its requests. Decides nothing.

use std::{
    fmt, io,
    io::IoSlice,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use actix_http::Extensions;
use actix_rt::net::{ActixStream, Ready, TcpStream};
use actix_tls::accept::rustls_0_23::TlsStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    auth::{self, Marks},
    pending::Place,
    source::Source,
};

/// A client whose connection was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(super) ends: Ends,
    pub(super) via: Via,
    pub(super) certificate: ClientCertificate,
}

/// Both ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Addresses of a TCP connection.
    Tcp { local: SocketAddr, peer: SocketAddr },
    /// A Unix socket: whoever may open its file, and did.
    Unix(Option<Account>),
    /// A TCP connection that has ended already.
    Gone,
}

/// Who stands at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// The client itself, as far as is known.
    Nobody,
    /// A proxy that is trusted: where its client comes from, if it says so. Port 0 where it
    /// does not say which.
    Proxy(Option<SocketAddr>),
}

/// An account of this machine, and a process of it, as the kernel has them (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) pid: Option<i32>,
}

/// What certificate a client has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClientCertificate {
    /// None.
    None,
    /// One without a name that can be used.
    Nameless,
    /// One for this name, verified, with the marks by which it may be revoked.
    Named(Arc<str>, Marks),
}

impl Peer {
    /// At the end of a connection of which no more is known yet.
    pub(super) const fn at(ends: Ends) -> Self {
        Self { ends, via: Via::Nobody, certificate: ClientCertificate::None }
    }

    /// Where it connects from; nowhere on a Unix socket.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match (self.via, self.ends) {
            (Via::Proxy(Some(address)), _) => Some(address),
            (_, Ends::Tcp { peer, .. }) => Some(peer),
            (_, Ends::Unix(_) | Ends::Gone) => None,
        }
    }

    /// The same as it counts.
    pub(super) fn source(&self) -> Source {
        self.address().map_or(Source::UNIX, |address| address.ip().into())
    }

    /// Whether it is on this machine. Who comes through a proxy is not, wherever that is and
    /// whatever it says.
    pub(super) fn is_local(&self) -> bool {
        match self.ends {
            _ if self.via != Via::Nobody => false,
            Ends::Tcp { peer, .. } => peer.ip().to_canonical().is_loopback(),
            Ends::Unix(_) => true,
            Ends::Gone => false,
        }
    }
}

impl fmt::Display for Peer {
    /// As it is logged; without a port that is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) if address.port() == 0 => address.ip().fmt(f),
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

/// The name that the client of a TLS connection has shown.
pub(super) fn certificate(stream: &TlsStream<TcpStream>) -> ClientCertificate {
    match stream.get_ref().1.peer_certificates() {
        None | Some([]) => ClientCertificate::None,
        Some(chain @ [own, ..]) => auth::certificate_name(own)
            .map_or(ClientCertificate::Nameless, |name| {
                ClientCertificate::Named(name, Marks::of_chain(chain))
            }),
    }
}

/// A stream, and who is on the other end.
#[derive(Debug)]
pub(super) struct Client<T> {
    pub(super) stream: T,
    pub(super) peer: Peer,
    pub(super) place: Place,
}

/// Keeps who it is with the connection; for `on_connect_ext`.
pub(super) fn keep<T>(client: &Client<T>, data: &mut Extensions) {
    data.insert(client.peer.clone());
    data.insert(client.place.clone());
}

impl<T: ActixStream> ActixStream for Client<T> {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        self.stream.poll_read_ready(cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        self.stream.poll_write_ready(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Client<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Client<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

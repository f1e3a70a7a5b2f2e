//! The port kind `server`: a tunnel that somebody opened to us.
//!
//! Made by the HTTP server from an accepted upgrade. Opens once: when the tunnel
//! is lost, its client comes again and gets another port.

use std::{any::Any, net::SocketAddr};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    core::{
        holder::Holder,
        links::{LinkGrant, LinkId, LinkRequest, Place},
        state::Details,
    },
    port::{Medium, PortError},
    tunnel::{WebSocket, Wire, codec::Role},
};

/// What the upgrade tells of a new session.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// Where it comes from; with port 0 if that is not known, as behind a proxy.
    pub peer: SocketAddr,
    /// Whether the stream is TLS.
    pub tls: bool,
    /// Whether the peer may be the original's client, which sends no `User-Agent`.
    /// It is never pinged.
    pub original: bool,
    /// What was agreed on.
    pub wire: Wire,
    /// Which link of its client's port it is, if that has several, and what it was granted.
    pub link: Option<(LinkRequest, LinkGrant)>,
    /// Whose session it is: the former one of the same client port ends, and its user is
    /// shown with the port.
    pub holder: Option<Holder>,
}

/// A peer's address as it is shown: without a port that is not known.
#[must_use]
pub fn shown(peer: SocketAddr) -> String {
    if peer.port() == 0 { peer.ip().to_string() } else { peer.to_string() }
}

/// An accepted WebSocket, which becomes a port.
#[derive(Debug)]
pub struct Session<S> {
    peer: SocketAddr,
    holder: Option<Holder>,
    wire: Wire,
    link: Option<LinkRequest>,
    socket: Option<WebSocket<S>>,
    held: Option<Box<dyn Any>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Session<S> {
    /// A session on `stream`, after our answer of 101 to its upgrade; `read` is
    /// what was read of it beyond the request.
    #[must_use]
    pub fn new(stream: S, read: BytesMut, info: SessionInfo) -> Self {
        let mut socket = WebSocket::new(stream, Role::Server, read)
            .with_wire(info.wire)
            .with_grant(info.link.map(|(_, grant)| grant));
        if !info.original {
            socket = socket.with_pings();
        } else if info.tls {
            socket = socket.single_messages();
        }
        let SessionInfo { peer, holder, wire, link, .. } = info;
        let link = link.map(|(request, _)| request);
        Self { peer, holder, wire, link, socket: Some(socket), held: None }
    }

    /// Drops `held` when the session has ended: how its server counts it.
    #[must_use]
    pub fn holding(mut self, held: impl Any) -> Self {
        self.held = Some(Box::new(held));
        self
    }
}

/// A session was opened a second time.
#[derive(Debug, thiserror::Error)]
#[error("the session of {0} has ended; its client must reconnect")]
struct Over(SocketAddr);

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Medium for Session<S> {
    type Link = WebSocket<S>;

    fn kind(&self) -> &'static str {
        "server"
    }

    /// Address and port of the peer, an IPv6 address in brackets; the address alone where its
    /// port is not known.
    fn target(&self) -> String {
        shown(self.peer)
    }

    /// Super-frames that the peer does not take whole are cut as they are written.
    fn takes_offload(&self) -> bool {
        true
    }

    fn restarts(&self) -> bool {
        false
    }

    fn holder(&self) -> Option<Holder> {
        self.holder.clone()
    }

    fn place(&self) -> Place {
        self.link.map_or(Place::ONLY, |link| link.place)
    }

    fn link_id(&self) -> LinkId {
        self.link.map_or(LinkId::ONLY, |link| link.id)
    }

    fn details(&self) -> Details {
        // Shown in tables and logs.
        let user = self.holder.as_ref().and_then(|holder| holder.user.as_ref());
        let user = user.map(|user| ("user", user.escape_debug().to_string()));
        user.into_iter().chain([("wire", self.wire.name().to_owned())]).collect()
    }

    async fn open(&mut self) -> Result<WebSocket<S>, PortError> {
        self.socket.take().ok_or_else(|| Over(self.peer).into())
    }
}

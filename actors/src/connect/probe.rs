//! Goes the way of a tunnel step by step and tells what it saw: for people who want to
//! know why there is none, or why it is slow.
//!
//! Beside [`dial()`](super::dial()), of whose parts it is made. No frame is sent.

use std::net::SocketAddr;

use nix::sys::socket::{getsockopt, sockopt};
use rustls_pki_types::CertificateDer;
use tokio::{
    net::TcpStream,
    time::{Duration, Instant, timeout_at},
};

use super::{
    addresses::{connect_any, resolve},
    dial::{DialError, http_client, upgrade},
    proxy::Proxy,
    stream::{CONNECT_LIMIT, ConnectError, Route, Stream},
    tls::TlsOptions,
    url::ServerUrl,
};
use crate::{connect::Credentials, core::holder::Instance};

/// Octets of the request that shows whether full segments pass: several of them, and half
/// of what common servers take as a head.
const PADDING: usize = 4000;

/// Time for its answer. A segment that was lost is sent again after 0.2 s, 0.6 s, 1.4 s:
/// who has not got it then never will.
const PADDING_LIMIT: Duration = Duration::from_secs(4);

/// What was seen on the way, as far as it went.
#[derive(Debug, Default)]
pub struct Probe {
    /// Host and port of the proxy that stands between.
    pub proxy: Option<String>,
    /// Addresses of the server's name, or of the proxy's.
    pub addresses: Vec<SocketAddr>,
    /// What accepted a connection.
    pub tcp: Option<Tcp>,
    /// Whether the proxy has let us through.
    pub through: bool,
    /// The server's certificate chain, its own first; verified or not.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Version of TLS, `TLSv1_3`.
    pub tls_version: Option<String>,
    /// How long it took until the tunnel was there.
    pub took: Duration,
}

/// A TCP connection, as the kernel knows it.
#[derive(Debug, Clone, Copy)]
pub struct Tcp {
    /// The other end: the server, or the proxy.
    pub peer: SocketAddr,
    /// How long it took: a round trip.
    pub took: Duration,
    /// Octets of a packet that the path is thought to carry; unknown for IPv6.
    pub path_mtu: Option<u32>,
    /// Octets of data in a segment.
    pub segment: Option<u32>,
}

impl Probe {
    /// Tries to open a tunnel, ends it at once, and gives all that was seen with the
    /// reason why it ended early, if it did.
    pub async fn run(
        server: &ServerUrl,
        credentials: Option<&Credentials>,
        instance: Instance,
        route: &Route,
    ) -> (Self, Result<(), DialError>) {
        let started = Instant::now();
        let mut probe = Self::default();
        let deadline = started + CONNECT_LIMIT;
        let steps = probe.steps(server, credentials, instance, route, deadline);
        let done = timeout_at(deadline, steps)
            .await
            .unwrap_or_else(|_| Err(ConnectError::Timeout { url: server.to_string() }.into()));
        probe.took = started.elapsed();
        let broken = matches!(&done, Err(DialError::Connect(ConnectError::Handshake { .. })));
        if broken && probe.certificates.is_empty() {
            // A certificate that is not trusted has dates and names all the same.
            let insecure = TlsOptions { insecure: true, ..route.tls.clone() };
            let any = Route { tls: insecure, ..route.clone() };
            if let Ok(stream) = any.connect(server).await {
                probe.see_tls(&stream);
            }
        }
        (probe, done)
    }

    async fn steps(
        &mut self,
        server: &ServerUrl,
        credentials: Option<&Credentials>,
        instance: Instance,
        route: &Route,
        deadline: Instant,
    ) -> Result<(), DialError> {
        let proxy = Proxy::find(&route.proxy, server, |name| std::env::var(name).ok())
            .map_err(ConnectError::from)?;
        let (host, port) = match &proxy {
            Some(proxy) => (proxy.host.clone(), proxy.port),
            None => (server.dialed_host(), server.port()),
        };
        self.proxy = proxy.as_ref().map(ToString::to_string);
        self.addresses = resolve(&host, port).await?;
        let started = Instant::now();
        let mut tcp = connect_any(&host, &self.addresses, deadline).await?;
        self.tcp = Tcp::of(&tcp, started.elapsed());
        if let Some(proxy) = proxy {
            proxy.connect(&mut tcp, server).await.map_err(ConnectError::from)?;
            self.through = true;
        }
        let stream =
            if server.tls() { route.start_tls(tcp, server).await? } else { Stream::Plain(tcp) };
        self.see_tls(&stream);
        upgrade(stream, server, credentials, instance, deadline).await.map(drop)
    }

    fn see_tls(&mut self, stream: &Stream) {
        let Stream::Tls(stream) = stream else { return };
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().unwrap_or_default();
        self.certificates = chain.iter().map(|one| one.clone().into_owned()).collect();
        self.tls_version = session.protocol_version().map(|version| format!("{version:?}"));
    }
}

impl Tcp {
    fn of(stream: &TcpStream, took: Duration) -> Option<Self> {
        let path_mtu = getsockopt(stream, sockopt::IpMtu).ok();
        Some(Self {
            peer: stream.peer_addr().ok()?,
            took,
            path_mtu: path_mtu.and_then(|mtu| u32::try_from(mtu).ok()),
            segment: getsockopt(stream, sockopt::TcpMaxSeg).ok(),
        })
    }
}

/// What a server says to a request of several full segments.
#[derive(Debug)]
pub struct LargeRequest {
    /// HTTP status of the answer; `None`: nothing came, as when large packets are lost.
    pub status: Option<u16>,
    /// The answer's `Date`.
    pub date: Option<String>,
}

/// Asks `server` by a plain request whose head is larger than any packet. It asks for no
/// tunnel: servers refuse it, but they answer.
///
/// # Errors
/// There is no connection.
pub async fn large_request(
    server: &ServerUrl,
    route: &Route,
) -> Result<LargeRequest, ConnectError> {
    let (client, uri) = http_client(server, route).await?;
    let request = client.get(uri).timeout(PADDING_LIMIT);
    let answer = request.insert_header(("X-Padding", "x".repeat(PADDING))).send().await.ok();
    let date = answer.as_ref().and_then(|answer| answer.headers().get("date"));
    Ok(LargeRequest {
        date: date.and_then(|date| date.to_str().ok()).map(str::to_owned),
        status: answer.map(|answer| answer.status().as_u16()),
    })
}

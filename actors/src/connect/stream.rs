//! A connection to a server: resolve, proxy, TCP, TLS.
//!
//! Stands below the handshakes of tunnels and of control. Nothing here is
//! remembered from one connection to the next: names, proxies and certificates may
//! have changed since.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::PoisonError,
    task::{Context, Poll},
    time::Duration,
};

use actix_rt::net::{ActixStream, Ready};
use nix::sys::socket::{getsockopt, sockopt};
use rustls_pki_types::ServerName;
use slog::{Logger, debug, warn};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    addresses::{connect_any, resolve},
    command::{self, Program, Said},
    proxy::{Protocol, Proxy, ProxyChoice, ProxyError},
    tls::{self, TlsError, TlsOptions},
    url::ServerUrl,
};
use crate::turns::{first_turn, in_turns};

/// Time for a connection with all its handshakes. A server that is there needs a
/// few round trips; a person waits for the answer to `addport`.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How to get to servers.
#[derive(Debug, Clone)]
pub struct Route {
    /// Whom to trust.
    pub tls: TlsOptions,
    /// Which proxy to go through.
    pub proxy: ProxyChoice,
    /// Octets of data in a segment at most, if the path is known to lose longer ones.
    pub mss: Option<u16>,
    /// The network interface that connections leave by, whatever the routing table says.
    pub via: Option<String>,
    /// Which of a name's addresses is the first to be tried, counted from 0.
    pub nth: usize,
    /// Told of certificates that are not checked.
    pub log: Logger,
}

/// There is no connection to the server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name is unknown, or nobody answers who knows.
    #[error("cannot resolve the name {host}; check its spelling and the name servers")]
    Resolve {
        /// The server's or the proxy's.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// An IPv6 address is on an interface that there is not.
    #[error("there is no interface {zone:?} for the address {host}; ip link lists them")]
    Zone {
        /// Behind the `%`.
        zone: String,
        /// The server's or the proxy's, with the zone.
        host: String,
    },
    /// None of the name's addresses accepts.
    #[error("cannot connect to {to}; check that it is running and can be reached")]
    Tcp {
        /// Name and port, or the last of its addresses.
        to: String,
        /// Of the last address.
        source: io::Error,
    },
    /// Nobody listens on the Unix socket, or it is not for us.
    #[error("cannot connect to {}; check that the switch is running, and as which user", .path.display())]
    Unix {
        /// The socket's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program of `proxy-command` cannot be started.
    #[error(
        "cannot start proxy-command {program:?}; give its full path, and see that it may be run"
    )]
    Command {
        /// Its name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The proxy cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The TLS handshake failed.
    #[error("no TLS connection to {url}: {advice}")]
    Handshake {
        /// The server's URL, or the proxy's.
        url: String,
        /// Why, and the way out.
        advice: String,
        /// What TLS has failed with: the advice has said it.
        cause: io::Error,
    },
    /// It took too long.
    #[error("no answer from {url} within {} s; check address, port and firewall", CONNECT_LIMIT.as_secs())]
    Timeout {
        /// The server's URL.
        url: String,
    },
}

/// What was seen on the way, as far as it went.
#[derive(Debug, Default)]
pub struct Seen {
    /// Host and port of the proxy that stands between.
    pub proxy: Option<String>,
    /// Addresses of the server's name, or of the proxy's.
    pub addresses: Vec<SocketAddr>,
    /// What accepted a connection.
    pub tcp: Option<Tcp>,
    /// Whether the proxy has let us through.
    pub through: bool,
    /// What the program of `proxy-command` says.
    pub(super) said: Said,
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

impl Route {
    /// For a server that is trusted by the system's certificates, through the proxy of the
    /// environment.
    #[must_use]
    pub fn new(log: Logger) -> Self {
        let (tls, proxy) = (TlsOptions::default(), ProxyChoice::default());
        Self { tls, proxy, mss: None, via: None, nth: 0, log }
    }

    /// How servers at this URL are reached, in words: the proxy, without its password.
    #[must_use]
    pub fn by(&self, server: &ServerUrl) -> Option<String> {
        match &self.proxy {
            ProxyChoice::Command(words) => words.first().map(|program| format!("{program} ..")),
            _ => self.find_proxy(server).ok().flatten().map(|proxy| proxy.url()),
        }
    }

    fn find_proxy(&self, server: &ServerUrl) -> Result<Option<Proxy>, ProxyError> {
        Proxy::find(&self.proxy, server, |name| std::env::var(name).ok())
    }

    /// Connects to `server`, within [`CONNECT_LIMIT`] altogether.
    pub(super) async fn connect(&self, server: &ServerUrl) -> Result<Stream, ConnectError> {
        let deadline = Instant::now() + CONNECT_LIMIT;
        self.connect_until(server, deadline, &mut Seen::default()).await
    }

    pub(super) async fn connect_until(
        &self,
        server: &ServerUrl,
        deadline: Instant,
        seen: &mut Seen,
    ) -> Result<Stream, ConnectError> {
        timeout_at(deadline, self.steps(server, deadline, seen))
            .await
            .unwrap_or_else(|_| Err(ConnectError::Timeout { url: server.to_string() }))
    }

    async fn steps(
        &self,
        server: &ServerUrl,
        deadline: Instant,
        seen: &mut Seen,
    ) -> Result<Stream, ConnectError> {
        let stream = if let ProxyChoice::Command(command) = &self.proxy {
            let program = command::start(command, server, &seen.said, &self.log)?;
            Stream::Program(Box::new(program))
        } else {
            let proxy = self.find_proxy(server)?;
            let (host, port) = match &proxy {
                Some(proxy) => (proxy.host.clone(), proxy.port),
                None => (server.dialed_host(), server.port()),
            };
            seen.proxy = proxy.as_ref().map(ToString::to_string);
            seen.addresses = resolve(&host, port).await?;
            let started = Instant::now();
            let tcp = connect_any(&host, &seen.addresses, self, deadline).await?;
            seen.tcp = Tcp::of(&tcp, started.elapsed());
            let mut stream = Stream::Tcp(tcp);
            if let Some(proxy) = proxy {
                debug!(self.log, "through a proxy"; "proxy" => proxy.url());
                if proxy.protocol == Protocol::Https {
                    let tls = self.tls.for_proxy();
                    stream = start_tls(stream, &tls, &proxy.host, &proxy.url()).await?;
                }
                proxy.connect(&mut stream, server).await?;
                seen.through = true;
            }
            stream
        };
        if !server.tls() {
            return Ok(stream);
        }
        if self.tls.insecure && self.tls.pins.is_empty() {
            warn!(self.log, "the server's certificate is not checked"; "url" => %server);
        }
        let host = server.host();
        let name = self.tls.name.as_ref().unwrap_or(&host);
        start_tls(stream, &self.tls, name, &server.to_string()).await
    }
}

/// TLS with a peer of this name; `url` is for errors.
async fn start_tls(
    stream: Stream,
    tls: &TlsOptions,
    name: &str,
    url: &str,
) -> Result<Stream, ConnectError> {
    let options = tls.clone();
    // Reading the system's certificates takes milliseconds, in which other
    // ports would stand still.
    let config = tokio::task::spawn_blocking(move || tls::client_config(&options));
    let failed = |cause, advice: Option<String>| {
        let advice = advice.map_or_else(
            || tls::advice(&cause, tls),
            |why| {
                // That would not help against a pin.
                let more = if tls.pins.is_empty() { ", or take any with --insecure" } else { "" };
                format!("{why}{more}")
            },
        );
        ConnectError::Handshake { url: url.to_owned(), advice, cause }
    };
    let config = config.await.map_err(|error| failed(error.into(), None))?;
    let (config, why) = config?;
    // Here and not in awc, which takes an IPv6 address with its brackets for
    // a name.
    let name = name.split('%').next().unwrap_or_default().to_owned();
    let name = ServerName::try_from(name)
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error), None))?;
    drop(first_turn().await);
    let handshake = TlsConnector::from(config).connect(name, stream);
    // The limit on the whole way holds in any case.
    let stream = in_turns(handshake, CONNECT_LIMIT).await;
    let stream = stream.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()));
    let stream = stream.map_err(|source| {
        let why = why.lock().unwrap_or_else(PoisonError::into_inner).take();
        failed(source, why)
    })?;
    Ok(Stream::Tls(Box::new(stream)))
}

/// Connects to a Unix socket.
pub(super) async fn connect_unix(path: &Path) -> Result<Stream, ConnectError> {
    let unix = UnixStream::connect(path).await;
    unix.map(Stream::Unix).map_err(|source| ConnectError::Unix { path: path.to_owned(), source })
}

/// A connection to a server, whatever it goes through.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// Standard input and output of a program.
    Program(Box<Program>),
    /// TLS over one of these; over itself, if the proxy speaks it as well.
    Tls(Box<TlsStream<Stream>>),
}

impl ActixStream for Stream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        match self {
            Self::Tcp(stream) => ActixStream::poll_read_ready(stream, cx),
            Self::Unix(stream) => ActixStream::poll_read_ready(stream, cx),
            Self::Program(program) => ActixStream::poll_read_ready(&program.stream, cx),
            Self::Tls(stream) => ActixStream::poll_read_ready(stream.get_ref().0, cx),
        }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        match self {
            Self::Tcp(stream) => ActixStream::poll_write_ready(stream, cx),
            Self::Unix(stream) => ActixStream::poll_write_ready(stream, cx),
            Self::Program(program) => ActixStream::poll_write_ready(&program.stream, cx),
            Self::Tls(stream) => ActixStream::poll_write_ready(stream.get_ref().0, cx),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Program(program) => Pin::new(&mut program.stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Program(program) => Pin::new(&mut program.stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Program(program) => Pin::new(&mut program.stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    /// TLS that stands above writes its records so: also the last one, that says why it ends.
    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Program(program) => program.stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Program(program) => Pin::new(&mut program.stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Program(program) => Pin::new(&mut program.stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

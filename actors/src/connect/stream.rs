//! A connection to a server: resolve, proxy, TCP, TLS.
//!
//! Stands below the handshakes of tunnels and of control. Nothing here is
//! remembered from one connection to the next: names, proxies and certificates may
//! have changed since.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use actix_rt::net::{ActixStream, Ready};
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
    proxy::{Proxy, ProxyChoice, ProxyError},
    tls::{self, TlsError, TlsOptions},
    url::ServerUrl,
};

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
    /// The proxy cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The TLS handshake failed.
    #[error("no TLS connection to {url}: {advice}")]
    Handshake {
        /// The server's URL.
        url: String,
        /// The way out.
        advice: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It took too long.
    #[error("no answer from {url} within {} s; check address, port and firewall", CONNECT_LIMIT.as_secs())]
    Timeout {
        /// The server's URL.
        url: String,
    },
}

impl Route {
    /// Connects to `server`, within [`CONNECT_LIMIT`] altogether.
    pub(super) async fn connect(&self, server: &ServerUrl) -> Result<Stream, ConnectError> {
        let deadline = Instant::now() + CONNECT_LIMIT;
        let connect = self.connect_until(server, deadline);
        timeout_at(deadline, connect)
            .await
            .unwrap_or_else(|_| Err(ConnectError::Timeout { url: server.to_string() }))
    }

    async fn connect_until(
        &self,
        server: &ServerUrl,
        deadline: Instant,
    ) -> Result<Stream, ConnectError> {
        let proxy = Proxy::find(&self.proxy, server, |name| std::env::var(name).ok())?;
        let (host, port) = match &proxy {
            Some(proxy) => (proxy.host.clone(), proxy.port),
            None => (server.dialed_host(), server.port()),
        };
        let addresses = resolve(&host, port).await?;
        let mut tcp = connect_any(&host, &addresses, deadline).await?;
        if let Some(proxy) = proxy {
            debug!(self.log, "through a proxy"; "proxy" => %proxy);
            proxy.connect(&mut tcp, server).await?;
        }
        if !server.tls() {
            return Ok(Stream::Plain(tcp));
        }
        self.start_tls(tcp, server).await
    }

    pub(super) async fn start_tls(
        &self,
        tcp: TcpStream,
        server: &ServerUrl,
    ) -> Result<Stream, ConnectError> {
        if self.tls.insecure {
            warn!(self.log, "the server's certificate is not checked"; "url" => %server);
        }
        let options = self.tls.clone();
        // Reading the system's certificates takes milliseconds, in which other
        // ports would stand still.
        let config = tokio::task::spawn_blocking(move || tls::client_config(&options));
        let failed = |source| ConnectError::Handshake {
            url: server.to_string(),
            advice: tls::advice(&source),
            source,
        };
        let config = config.await.map_err(|error| failed(error.into()))??;
        // Here and not in awc, which takes an IPv6 address with its brackets for
        // a name.
        let name = ServerName::try_from(server.host())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let stream = TlsConnector::from(config).connect(name, tcp).await.map_err(failed)?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// Connects to a Unix socket.
pub(super) async fn connect_unix(path: &Path) -> Result<Stream, ConnectError> {
    let unix = UnixStream::connect(path).await;
    unix.map(Stream::Unix).map_err(|source| ConnectError::Unix { path: path.to_owned(), source })
}

/// A connection as [`Route::connect`] makes it.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl ActixStream for Stream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        match self {
            Self::Plain(stream) => ActixStream::poll_read_ready(stream, cx),
            Self::Unix(stream) => ActixStream::poll_read_ready(stream, cx),
            Self::Tls(stream) => ActixStream::poll_read_ready(stream.get_ref().0, cx),
        }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        match self {
            Self::Plain(stream) => ActixStream::poll_write_ready(stream, cx),
            Self::Unix(stream) => ActixStream::poll_write_ready(stream, cx),
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
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
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
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

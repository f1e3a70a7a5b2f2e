//! The port kind `client`: a tunnel that we open, and open again when it is lost, to
//! the first of its servers that can be reached.

use std::{fmt, path::PathBuf};

use awc::BoxedSocket;
use slog::{Logger, debug};

use crate::{
    connect::{
        ClientCertificate, Credentials, DialError, ProxyChoice, Route, Scheme, ServerUrl,
        TlsOptions, UrlError, dial,
        proxy::{self, ProxyError},
        tls::{self, TlsError},
    },
    core::{error::one_line, holder::Instance},
    port::{Medium, PortError},
    tunnel::WebSocket,
};

/// How to reach a WebSocket server.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientOptions {
    /// `ws://` or `wss://`.
    pub url: String,
    /// Other URLs of the same segment, tried in turn when one cannot be reached.
    pub more_urls: Vec<String>,
    /// Name and password for HTTP Basic authentication.
    pub credentials: Option<Credentials>,
    /// PEM file of the CA certificates that the server's must verify against;
    /// the system's without it.
    pub cacerts: Option<PathBuf>,
    /// Take any certificate.
    pub insecure: bool,
    /// Our own, for a server that asks for one.
    pub certificate: Option<ClientCertificate>,
    /// HTTP proxy to go through, `http://[user:password@]host:port`. Without it
    /// the environment's `http_proxy`, `https_proxy` and `no_proxy` count.
    pub proxy: Option<String>,
}

impl fmt::Debug for ClientOptions {
    /// Leaves the proxy out: its URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("url", &self.url)
            .field("more_urls", &self.more_urls)
            .field("credentials", &self.credentials)
            .field("cacerts", &self.cacerts)
            .field("insecure", &self.insecure)
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// Most servers of one port: each may take ten seconds to be given up, and whoever
/// waits for `addport` waits for all of them.
pub const MAX_SERVERS: usize = 8;

/// Servers to open a tunnel to, one at a time.
#[derive(Debug)]
pub struct Client {
    /// At least one.
    servers: Vec<ServerUrl>,
    /// The one in use, or the next to be tried.
    at: usize,
    credentials: Option<Credentials>,
    /// By which a server knows that we come again.
    instance: Instance,
    route: Route,
}

/// Options that cannot work, however often it is tried.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No URL of a tunnel.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// More servers than anybody would wait for.
    #[error("{0} URLs are given for one port; give at most {MAX_SERVERS}")]
    Servers(usize),
    /// HTTP Basic authentication ends the name at its first colon (RFC 7617, 2).
    #[error("the user name {user:?} holds a colon; leave it out")]
    Colon {
        /// As given.
        user: String,
    },
    /// Certificates or our own key cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No URL of a proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// No id for the port.
    #[error("the system gives no random numbers")]
    Random(#[from] getrandom::Error),
}

impl Client {
    /// Checks what can be checked before there is a connection.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn new(options: ClientOptions, log: Logger) -> Result<Self, ClientError> {
        let ClientOptions { url, more_urls, credentials, cacerts, insecure, certificate, proxy } =
            options;
        let urls = [url].into_iter().chain(more_urls);
        let servers = urls
            .map(|url| ServerUrl::parse(&url, Scheme::WebSocket))
            .collect::<Result<Vec<_>, _>>()?;
        if servers.len() > MAX_SERVERS {
            return Err(ClientError::Servers(servers.len()));
        }
        if let Some(Credentials { user, .. }) = &credentials
            && user.contains(':')
        {
            return Err(ClientError::Colon { user: user.clone() });
        }
        if let Some(path) = &cacerts {
            tls::read_certificates(path)?;
        }
        if let Some(certificate) = &certificate {
            certificate.read()?;
        }
        let proxy = match proxy {
            Some(url) => {
                proxy::check(&url)?;
                ProxyChoice::Url(url)
            }
            None => ProxyChoice::Environment,
        };
        let route = Route { tls: TlsOptions { cacerts, insecure, certificate }, proxy, log };
        let instance = Instance::random()?;
        Ok(Self { servers, at: 0, credentials, instance, route })
    }
}

/// None of several servers gives a tunnel.
#[derive(Debug, thiserror::Error)]
struct NoServer(Vec<DialError>);

impl fmt::Display for NoServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "none of {} servers gives a tunnel", self.0.len())?;
        self.0.iter().try_for_each(|error| write!(f, "; {}", one_line(error)))
    }
}

impl Medium for Client {
    type Link = WebSocket<BoxedSocket>;

    fn kind(&self) -> &'static str {
        "client"
    }

    fn target(&self) -> String {
        self.servers[self.at].to_string()
    }

    /// Super-frames are cut as they are written.
    fn takes_offload(&self) -> bool {
        true
    }

    /// Behind the server is a switch, which hears of nothing while there is no tunnel.
    fn announces(&self) -> bool {
        true
    }

    /// Tries all servers, beginning with the one that was in use: a server that
    /// restarts keeps its clients.
    async fn open(&mut self) -> Result<Self::Link, PortError> {
        let mut failures = Vec::new();
        for _ in 0..self.servers.len() {
            let server = &self.servers[self.at];
            let dialed = dial(server, self.credentials.as_ref(), self.instance, &self.route);
            match dialed.await {
                Ok(tunnel) => return Ok(tunnel),
                Err(error) if self.servers.len() == 1 => return Err(error.into()),
                Err(error) => {
                    debug!(self.route.log, "a server gives no tunnel"; "reason" => one_line(&error));
                    failures.push(error);
                    self.at = (self.at + 1) % self.servers.len();
                }
            }
        }
        Err(NoServer(failures).into())
    }
}

#[cfg(test)]
mod tests {
    use slog::{Discard, o};

    use super::*;

    fn client(options: ClientOptions) -> Result<Client, String> {
        let log = Logger::root(Discard, o!());
        Client::new(options, log).map_err(|error| one_line(&error))
    }

    fn options(url: &str) -> ClientOptions {
        ClientOptions { url: url.to_owned(), ..ClientOptions::default() }
    }

    #[test]
    fn the_target_is_the_url_as_given() {
        let url = "WS://Host:80/p?q";
        assert_eq!(client(options(url)).map(|client| client.target()), Ok(url.to_owned()));
    }

    #[test]
    fn options_that_cannot_work_are_refused_before_anything_is_dialed() {
        let secret = || "secret".to_owned();
        let named = |user: &str| Some(Credentials { user: user.to_owned(), password: secret() });
        let url = "wss://host/";
        for (options, part) in [
            (options("http://host/"), "ws:// nor wss://"),
            (options("ws://user:secret@host/"), "--user"),
            (
                ClientOptions { more_urls: vec!["http://host/".to_owned()], ..options(url) },
                "ws:// nor wss://",
            ),
            (ClientOptions { more_urls: vec![url.to_owned(); 8], ..options(url) }, "9 URLs"),
            (ClientOptions { credentials: named("a:b"), ..options(url) }, "\"a:b\" holds a colon"),
            (
                ClientOptions { cacerts: Some("/no/such/file".into()), ..options(url) },
                "/no/such/file",
            ),
            (
                ClientOptions { proxy: Some("ftp://u:secret@h".to_owned()), ..options(url) },
                "--proxy",
            ),
        ] {
            let error = client(options).expect_err(part);
            assert!(error.contains(part), "{error}");
            assert!(!error.contains("secret") && !error.contains('\n'), "{error}");
        }
    }
}

//! The port kind `client`: a tunnel that we open, and open again when it is lost.

use awc::BoxedSocket;
use slog::Logger;

use super::{Medium, PortError};
use crate::{
    control::{ClientOptions, Credentials},
    tunnel::{
        ProxyChoice, Route, Scheme, ServerUrl, TlsOptions, UrlError, WebSocket, dial,
        proxy::{self, ProxyError},
        tls::{self, TlsError},
    },
};

/// A server to open a tunnel to.
#[derive(Debug)]
pub struct Client {
    server: ServerUrl,
    credentials: Option<Credentials>,
    route: Route,
}

/// Options that cannot work, however often it is tried.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No URL of a tunnel.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// HTTP Basic authentication ends the name at its first colon (RFC 7617, 2).
    #[error("the user name {user:?} holds a colon; leave it out")]
    Colon {
        /// As given.
        user: String,
    },
    /// The CA certificates cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No URL of a proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

impl Client {
    /// Checks what can be checked before there is a connection.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn new(options: ClientOptions, log: Logger) -> Result<Self, ClientError> {
        let ClientOptions { url, credentials, cacerts, insecure, proxy } = options;
        let server = ServerUrl::parse(&url, Scheme::WebSocket)?;
        if let Some(Credentials { user, .. }) = &credentials
            && user.contains(':')
        {
            return Err(ClientError::Colon { user: user.clone() });
        }
        if let Some(path) = &cacerts {
            tls::read_certificates(path)?;
        }
        let proxy = match proxy {
            Some(url) => {
                proxy::check(&url)?;
                ProxyChoice::Url(url)
            }
            None => ProxyChoice::Environment,
        };
        let route = Route { tls: TlsOptions { cacerts, insecure }, proxy, log };
        Ok(Self { server, credentials, route })
    }
}

impl Medium for Client {
    type Link = WebSocket<BoxedSocket>;

    fn kind(&self) -> &'static str {
        "client"
    }

    fn target(&self) -> String {
        self.server.to_string()
    }

    /// Super-frames are cut as they are written.
    fn takes_offload(&self) -> bool {
        true
    }

    async fn open(&mut self) -> Result<Self::Link, PortError> {
        Ok(dial(&self.server, self.credentials.as_ref(), &self.route).await?)
    }
}

#[cfg(test)]
mod tests {
    use slog::{Discard, o};

    use super::*;

    fn client(options: ClientOptions) -> Result<Client, String> {
        let log = Logger::root(Discard, o!());
        Client::new(options, log).map_err(|error| crate::error::one_line(&error))
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

//! HTTP proxies: which one a connection goes through, and the CONNECT that opens
//! the way (RFC 9110, 9.3.6).
//!
//! Stands between name resolution and TLS. A proxy's password is in no error.

use std::{fmt, io};

use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::url::ServerUrl;

/// Longest reply to a CONNECT, in octets: as much as common servers allow a head.
const MAX_REPLY_LEN: usize = 8 * 1024;

/// Where a proxy listens that names no port, as Python's HTTP client has it.
const DEFAULT_PORT: u16 = 80;

/// Which proxy to go through.
#[derive(Clone, Default)]
pub enum ProxyChoice {
    /// That of `http_proxy` (for ws and http) or `https_proxy` (for wss and https)
    /// unless `no_proxy` names the host; each in small letters or in capitals.
    #[default]
    Environment,
    /// This one: `[http://][user:password@]host[:port]`.
    Url(String),
    /// None.
    Direct,
}

impl fmt::Debug for ProxyChoice {
    /// Leaves the URL out: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "Environment",
            Self::Url(_) => "Url",
            Self::Direct => "Direct",
        })
    }
}

/// The proxy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Neither a URL nor host and port.
    #[error("{origin} is not a proxy URL; write http://[user:password@]host:port")]
    Invalid {
        /// Where it comes from; not its value, which may hold a password.
        origin: &'static str,
    },
    /// TLS to the proxy, or SOCKS.
    #[error("the {scheme} proxy {proxy} is not supported; name one that speaks http://")]
    Scheme {
        /// What it is to speak.
        scheme: String,
        /// Its host and port.
        proxy: String,
    },
    /// It did not answer with 2xx.
    #[error("proxy {proxy} refuses to connect to {server}: status {status}{}", hint(*.status))]
    Refused {
        /// Host and port of the proxy.
        proxy: String,
        /// Host and port of the server.
        server: String,
        /// HTTP status.
        status: u16,
    },
    /// It does not speak HTTP.
    #[error("proxy {proxy} does not answer as an HTTP proxy; check its address")]
    NoHttp {
        /// Host and port of the proxy.
        proxy: String,
    },
    /// The connection to it was lost.
    #[error("the connection to proxy {proxy} was lost")]
    Lost {
        /// Host and port of the proxy.
        proxy: String,
        /// How.
        source: io::Error,
    },
}

const fn hint(status: u16) -> &'static str {
    match status {
        401 | 407 => "; give its user and password: http://user:password@host:port",
        403 | 405 => "; it has to allow CONNECT to this port",
        _ => "",
    }
}

/// Checks a proxy's URL as [`ProxyChoice::Url`] takes it.
///
/// # Errors
/// See [`ProxyError`].
pub fn check(url: &str) -> Result<(), ProxyError> {
    Proxy::parse(OPTION, url).map(drop)
}

/// Where a URL comes from that is not in the environment.
const OPTION: &str = "the value of --proxy";

/// A proxy to go through.
#[derive(Clone)]
pub(super) struct Proxy {
    /// An IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Value of `Proxy-Authorization`.
    authorization: Option<Vec<u8>>,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Proxy {
    /// Finds the proxy for `server`; `variable` reads the environment.
    pub(super) fn find(
        choice: &ProxyChoice,
        server: &ServerUrl,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ProxyError> {
        let set = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| {
                variable(name).filter(|value| !value.is_empty()).map(|value| (name, value))
            })
        };
        match choice {
            ProxyChoice::Direct => Ok(None),
            ProxyChoice::Url(url) => Self::parse(OPTION, url).map(Some),
            // No proxy is on this link for us.
            ProxyChoice::Environment if server.has_zone() => Ok(None),
            ProxyChoice::Environment => {
                let names = if server.tls() {
                    ["https_proxy", "HTTPS_PROXY"]
                } else {
                    ["http_proxy", "HTTP_PROXY"]
                };
                let Some((name, value)) = set(names) else { return Ok(None) };
                let no_proxy = set(["no_proxy", "NO_PROXY"]).map(|(_, value)| value);
                let no_proxy = no_proxy.unwrap_or_default();
                // The matcher does not hold `*` against addresses.
                if no_proxy.split(',').any(|host| host.trim() == "*") {
                    return Ok(None);
                }
                let excepting = Matcher::builder().all("http://proxy").no(no_proxy).build();
                let server = format!("http://{}/", server.host_port());
                match server.parse() {
                    Ok(server) if excepting.intercept(&server).is_none() => Ok(None),
                    _ => Self::parse(name, &value).map(Some),
                }
            }
        }
    }

    /// Reads a proxy's URL; `origin` is where it comes from.
    pub(super) fn parse(origin: &'static str, url: &str) -> Result<Self, ProxyError> {
        let invalid = || ProxyError::Invalid { origin };
        // The matcher percent-decodes user and password and takes a bare host:port.
        let matcher = Matcher::builder().all(url.trim().to_owned()).build();
        let any = "http://host/".parse().map_err(|_| invalid())?;
        let found = matcher.intercept(&any).ok_or_else(invalid)?;
        let uri = found.uri();
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(invalid)?;
        // Not `Uri::port`, which takes a wrong port for none.
        let authority = uri.authority().ok_or_else(invalid)?.as_str();
        let port = match authority.strip_prefix(host) {
            Some("") => Some(DEFAULT_PORT),
            Some(port) => port.trim_start_matches(':').parse().ok().filter(|port| *port > 0),
            None => None,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = port.ok_or_else(invalid)?;
        let authorization = found.basic_auth().map(|value| value.as_bytes().to_vec());
        let proxy = Self { host, port, authorization };
        match uri.scheme_str() {
            Some("http") => Ok(proxy),
            scheme => {
                let scheme = scheme.unwrap_or_default().to_owned();
                Err(ProxyError::Scheme { scheme, proxy: proxy.to_string() })
            }
        }
    }

    /// Has the proxy at the other end of `stream` connect to `server`.
    pub(super) async fn connect(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        server: &ServerUrl,
    ) -> Result<(), ProxyError> {
        let lost = |source| ProxyError::Lost { proxy: self.to_string(), source };
        let server = server.host_port();
        let mut request = format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await.map_err(lost)?;
        stream.flush().await.map_err(lost)?;
        let mut reply = Vec::new();
        while !reply.ends_with(b"\r\n\r\n") {
            // What follows is the server's: not an octet of it may be taken here.
            match stream.read_u8().await {
                Ok(octet) if reply.len() < MAX_REPLY_LEN => reply.push(octet),
                Ok(_) => return Err(ProxyError::NoHttp { proxy: self.to_string() }),
                Err(error) => return Err(lost(error)),
            }
        }
        match status(&reply) {
            Some(200..=299) => Ok(()),
            Some(status) => Err(ProxyError::Refused { proxy: self.to_string(), server, status }),
            None => Err(ProxyError::NoHttp { proxy: self.to_string() }),
        }
    }
}

/// The status of a reply, `HTTP/1.1 200 OK`.
fn status(reply: &[u8]) -> Option<u16> {
    let reply = std::str::from_utf8(reply.get(..12)?).ok()?;
    let (version, status) = reply.split_once(' ')?;
    version.starts_with("HTTP/1.").then(|| status.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::url::Scheme;

    fn server(url: &str) -> ServerUrl {
        ServerUrl::parse(url, Scheme::WebSocket).expect(url)
    }

    fn find(url: &str, environment: &[(&str, &str)]) -> Option<String> {
        let variable = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Proxy::find(&ProxyChoice::Environment, &server(url), variable)
            .expect("a usable proxy")
            .map(|proxy| proxy.to_string())
    }

    #[test]
    fn the_environment_decides_by_scheme_and_host() {
        let set = &[("http_proxy", "http://p:1"), ("HTTPS_PROXY", "q:2")];
        assert_eq!(find("ws://h/", set).as_deref(), Some("p:1"));
        assert_eq!(find("wss://h/", set).as_deref(), Some("q:2"));
        assert_eq!(find("wss://h/", &set[..1]), None);
        assert_eq!(find("ws://h/", &[("http_proxy", "")]), None);
        let no = |hosts| [("http_proxy", "p:1"), ("no_proxy", hosts)];
        for hosts in ["h.example", ".example", "example", "*", "x, h.example"] {
            assert_eq!(find("ws://h.example:8088/", &no(hosts)), None, "{hosts}");
        }
        assert_eq!(find("ws://[::1]:8088/", &no("::1")), None);
        assert_eq!(find("ws://192.0.2.1/", &no("*")), None);
        assert_eq!(find("ws://127.0.0.1:8088/", &no("127.0.0.0/8")), None);
        assert_eq!(find("ws://h.example/", &no("other")).as_deref(), Some("p:1"));
    }

    #[test]
    fn a_proxys_url_is_read_in_all_its_forms() {
        for (url, shown, authorization) in [
            ("127.0.0.1:8088", "127.0.0.1:8088", None),
            ("http://proxy", "proxy:80", None),
            ("http://proxy:3128/", "proxy:3128", None),
            ("http://[::1]:3128", "[::1]:3128", None),
            ("http://u:p%40ss@proxy:3128", "proxy:3128", Some("Basic dTpwQHNz")),
            ("u:p@proxy:3128", "proxy:3128", Some("Basic dTpw")),
        ] {
            let proxy = Proxy::parse("--proxy", url).expect(url);
            let found = proxy.authorization.as_deref();
            assert_eq!((&*proxy.to_string(), found), (shown, authorization.map(str::as_bytes)));
        }
    }

    #[test]
    fn an_unusable_proxy_is_refused_without_its_password() {
        for url in [
            "",
            "http://",
            "http://:8080",
            "http://u:secret@",
            "http://u:secret@h:0",
            "http://u:secret@h:99999",
            "ftp://u:secret@h",
            "https://u:secret@h:443",
            "socks5://u:secret@h",
            "no such thing secret",
        ] {
            let choice = ProxyChoice::Url(url.to_owned());
            let result = Proxy::find(&choice, &server("ws://h/"), |_| None);
            let Err(error) = result else { panic!("{url} was taken") };
            let error = format!("{error} {error:?} {choice:?}");
            assert!(error.contains("http://") && !error.contains("secret"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_reply_is_bounded_and_must_be_http() {
        for reply in [&[b'x'; MAX_REPLY_LEN + 1][..], b"SSH-2.0-x\r\n\r\n", b"\r\n\r\n"] {
            let (mut near, mut far) = tokio::io::duplex(2 * MAX_REPLY_LEN);
            far.write_all(reply).await.expect("room for the reply");
            let proxy = Proxy::parse("--proxy", "p:1").expect("a proxy");
            let error = proxy.connect(&mut near, &server("ws://h/")).await.expect_err("no HTTP");
            assert!(matches!(error, ProxyError::NoHttp { .. }), "{error}");
        }
    }
}

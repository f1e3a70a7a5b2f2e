//! Proxies: which one a connection goes through, and how it opens the way.
//!
//! Stands between name resolution and TLS. A proxy's password is in no error.

mod bypass;
mod http;
mod socks;

use std::{fmt, io, net::Ipv6Addr};

use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncWrite};
use url::Host;

use super::{Credentials, url::ServerUrl};

/// Which proxy to go through.
#[derive(Clone, Default)]
pub enum ProxyChoice {
    /// That of `http_proxy` (for ws and http) or `https_proxy` (for wss and https), or else of
    /// `all_proxy`, unless `no_proxy` names the host; each in small letters or in capitals.
    #[default]
    Environment,
    /// This one: `[SCHEME://][user:password@]host[:port]`, with `http`, `https` or `socks5`.
    Url(String),
    /// None.
    Direct,
    /// A program, whose standard input and output are the connection to the server. In its
    /// arguments `%h` is the server's host, `%p` its port, and `%%` a percent sign.
    Command(Vec<String>),
}

impl ProxyChoice {
    /// What a person has written: a URL, or `direct`.
    #[must_use]
    pub fn new(text: String) -> Self {
        if text == "direct" { Self::Direct } else { Self::Url(text) }
    }
}

impl fmt::Debug for ProxyChoice {
    /// Leaves URL and arguments out: they may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "Environment",
            Self::Url(_) => "Url",
            Self::Direct => "Direct",
            Self::Command(_) => "Command",
        })
    }
}

/// The proxy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Neither a URL nor host and port.
    #[error(
        "{origin} is not a proxy URL; write http://[user:password@]host:port, or https:// or socks5://"
    )]
    Invalid {
        /// Where it comes from; not its value, which may hold a password.
        origin: &'static str,
    },
    /// Some other protocol.
    #[error(
        "the {scheme} proxy {proxy} is not supported; name one that speaks http://, https:// or socks5://"
    )]
    Scheme {
        /// What it is to speak.
        scheme: String,
        /// Its host and port.
        proxy: String,
    },
    /// It does not connect to the server.
    #[error("proxy {proxy} refuses to connect to {server}: {said}")]
    Refused {
        /// Host and port of the proxy.
        proxy: String,
        /// Host and port of the server.
        server: String,
        /// What it said, and the way out.
        said: String,
    },
    /// It does not speak its protocol.
    #[error(
        "proxy {proxy} does not answer as {speaks} proxy; check its address, and what it speaks: http://, https:// or socks5://"
    )]
    NotOne {
        /// Host and port of the proxy.
        proxy: String,
        /// What was tried, with its article.
        speaks: &'static str,
    },
    /// It answers in TLS.
    #[error("proxy {proxy} speaks TLS; write its URL with https://")]
    SpeaksTls {
        /// Host and port of the proxy.
        proxy: String,
    },
    /// The connection to it was lost.
    #[error("the connection to proxy {proxy} was lost before it had answered")]
    Lost {
        /// Host and port of the proxy.
        proxy: String,
        /// How.
        source: io::Error,
    },
}

/// Checks a proxy as [`ProxyChoice::new`] takes it.
///
/// # Errors
/// See [`ProxyError`].
pub fn check(text: &str) -> Result<(), ProxyError> {
    if text == "direct" { Ok(()) } else { Proxy::parse(OPTION, text).map(drop) }
}

/// Where a URL comes from that is not in the environment.
const OPTION: &str = "the value of --proxy";

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    /// The same over TLS.
    Https,
    Socks5,
}

impl Protocol {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
        }
    }

    /// Where one listens that names no port; 80 as Python's HTTP client has it.
    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Socks5 => 1080,
        }
    }
}

/// A proxy to go through. [`Display`](fmt::Display) gives host and port.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) protocol: Protocol,
    /// An IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    login: Option<Credentials>,
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
    /// Finds the proxy for `server`; `variable` reads the environment. A program is none.
    pub(super) fn find(
        choice: &ProxyChoice,
        server: &ServerUrl,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ProxyError> {
        let set = |name: &&'static str| {
            variable(name).filter(|value| !value.is_empty()).map(|value| (*name, value))
        };
        match choice {
            ProxyChoice::Direct | ProxyChoice::Command(_) => Ok(None),
            ProxyChoice::Url(url) => Self::parse(OPTION, url).map(Some),
            // No proxy is on this link for us.
            ProxyChoice::Environment if server.has_zone() => Ok(None),
            ProxyChoice::Environment => {
                let names = if server.tls() {
                    ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
                } else {
                    ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
                };
                let Some((name, value)) = names.iter().find_map(set) else { return Ok(None) };
                let no_proxy = ["no_proxy", "NO_PROXY"].iter().find_map(set);
                if no_proxy.is_some_and(|(_, entries)| bypass::is_excepted(&entries, server)) {
                    return Ok(None);
                }
                Self::parse(name, &value).map(Some)
            }
        }
    }

    /// Reads a proxy's URL; `origin` is where it comes from.
    pub(super) fn parse(origin: &'static str, url: &str) -> Result<Self, ProxyError> {
        let invalid = || ProxyError::Invalid { origin };
        let url = url.trim();
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, authority),
        };
        let (host, port) = host_and_port(address).ok_or_else(invalid)?;
        let protocol = match &*scheme.to_ascii_lowercase() {
            "http" => Protocol::Http,
            "https" => Protocol::Https,
            // Which of both is who resolves names, and that is always the proxy.
            "socks5" | "socks5h" => Protocol::Socks5,
            scheme => {
                return Err(ProxyError::Scheme {
                    scheme: scheme.to_owned(),
                    proxy: address.to_owned(),
                });
            }
        };
        let login = login.map(|login| {
            let text = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            Credentials { user: text(user), password: text(password) }
        });
        Ok(Self { protocol, host, port: port.unwrap_or_else(|| protocol.default_port()), login })
    }

    /// The same as a URL, without user and password.
    pub(super) fn url(&self) -> String {
        format!("{}://{self}", self.protocol.name())
    }

    /// Has the proxy at the other end of `stream` connect to `server`.
    pub(super) async fn connect(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        server: &ServerUrl,
    ) -> Result<(), ProxyError> {
        match self.protocol {
            Protocol::Http | Protocol::Https => http::connect(self, stream, server).await,
            Protocol::Socks5 => socks::connect(self, stream, server).await,
        }
    }
}

/// Host, an IPv6 address without its brackets, and port if there is one.
fn host_and_port(address: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            let (ip, zone) = host.split_once('%').unwrap_or((host, ""));
            ip.parse::<Ipv6Addr>().ok()?;
            let zone = zone.strip_prefix("25").unwrap_or(zone);
            let host = if zone.is_empty() { ip.to_owned() } else { format!("{ip}%{zone}") };
            (host, port)
        }
        None => {
            let (host, port) = address.split_at(address.find(':').unwrap_or(address.len()));
            (Host::parse(host).ok()?.to_string(), port)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(port) => Some(port.parse().ok().filter(|port| *port > 0)?),
        None if port.is_empty() => None,
        None => return None,
    };
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

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
        let set = &[("http_proxy", "http://p:1"), ("HTTPS_PROXY", "q:2"), ("no_proxy", "x")];
        assert_eq!(find("ws://h/", set).as_deref(), Some("p:1"));
        assert_eq!(find("wss://h/", set).as_deref(), Some("q:2"));
        assert_eq!(find("ws://x/", set), None);
        assert_eq!(find("wss://h/", &set[..1]), None);
        assert_eq!(find("ws://h/", &[("http_proxy", "")]), None);
        assert_eq!(find("ws://[fe80::1%25lo]/", set), None, "no proxy is on this link");
        let all = &[("ALL_PROXY", "socks5://s"), ("http_proxy", "p:1"), ("NO_PROXY", "h:81")];
        assert_eq!(find("ws://h/", all).as_deref(), Some("p:1"));
        assert_eq!(find("wss://h/", all).as_deref(), Some("s:1080"));
        assert_eq!(find("wss://h:81/", all), None);
    }

    #[test]
    fn a_proxys_url_is_read_in_all_its_forms() {
        for (url, shown, login) in [
            ("127.0.0.1:8088", "http://127.0.0.1:8088", None),
            ("http://proxy", "http://proxy:80", None),
            ("http://proxy:3128/", "http://proxy:3128", None),
            ("http://[::1]:3128", "http://[::1]:3128", None),
            ("https://proxy/", "https://proxy:443", None),
            ("https://proxy:80", "https://proxy:80", None),
            ("SOCKS5://proxy", "socks5://proxy:1080", None),
            ("socks5h://[fe80::1%25eth0]", "socks5://[fe80::1%eth0]:1080", None),
            ("http://u:p%40ss@proxy:3128", "http://proxy:3128", Some(("u", "p@ss"))),
            ("u:p@proxy:3128", "http://proxy:3128", Some(("u", "p"))),
            ("u:p@x:y@proxy", "http://proxy:80", Some(("u", "p@x:y"))),
            ("u@proxy", "http://proxy:80", Some(("u", ""))),
        ] {
            let proxy = Proxy::parse("--proxy", url).expect(url);
            let found = proxy.login.as_ref().map(|login| (&*login.user, &*login.password));
            assert_eq!((&*proxy.url(), found), (shown, login), "{url}");
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
            "http://u:secret@[::1",
            "http://u:secret@[::1]8",
            "http://u:secret@1:2:3",
            "ftp://u:secret@h",
            "socks4://u:secret@h",
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
    async fn a_refusal_says_what_the_proxy_wants_and_whether_it_was_given() {
        let ntlm = "HTTP/1.1 407 x\r\nProxy-Authenticate: Negotiate\r\n\
                    Proxy-Authenticate: NTLM\r\n\r\n";
        let basic = "HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n";
        let digest =
            "HTTP/1.1 407 x\r\nProxy-Authenticate: Digest realm=\"x\", nonce=\"y\"\r\n\r\n";
        for (login, reply, parts) in [
            ("", ntlm, ["requires Negotiate or NTLM", "cntlm"]),
            (
                "u:secret@",
                ntlm,
                ["requires Negotiate or NTLM", "only knows Basic, which was tried"],
            ),
            ("", basic, ["requires Basic", "no user and password were given"]),
            ("u:secret@", basic, ["requires Basic", "the user or the password is wrong"]),
            ("u:secret@", digest, ["requires Digest", "only knows Basic"]),
            ("", "HTTP/1.1 407 x\r\n\r\n", ["requires a user and a password", "were given"]),
            ("", "HTTP/1.1 403 x\r\n\r\nnot on Sundays\n", ["not on Sundays", "allow CONNECT"]),
            ("", "HTTP/1.1 504 x\r\n\r\n", ["status 504", "cannot reach the server"]),
        ] {
            let (mut near, mut far) = tokio::io::duplex(4096);
            far.write_all(reply.as_bytes()).await.expect("room for the reply");
            far.shutdown().await.expect("room for the end");
            let proxy = Proxy::parse("--proxy", &format!("{login}p:1")).expect("a proxy");
            let error = proxy.connect(&mut near, &server("ws://h/")).await.expect_err(reply);
            let error = error.to_string();
            for part in parts {
                assert!(error.contains(part), "{part} in {error}");
            }
            assert!(error.starts_with("proxy p:1 refuses to connect to h:80"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_reply_must_be_http() {
        for (reply, part) in [
            (&b"SSH-2.0-x\r\n\r\n"[..], "an HTTP proxy"),
            (b"\r\n\r\n", "an HTTP proxy"),
            (b"\x15\x03\x01", "with https://"),
        ] {
            let (mut near, mut far) = tokio::io::duplex(4096);
            far.write_all(reply).await.expect("room for the reply");
            let proxy = Proxy::parse("--proxy", "p:1").expect("a proxy");
            let error = proxy.connect(&mut near, &server("ws://h/")).await.expect_err("no HTTP");
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}

//! The URL of a server: what is taken, and what of it goes where.
//!
//! Stands before all dialing. Nothing with a password in it gets past here. A URL is shown
//! without what may be a secret in it, anywhere: by [`shown`].

use std::fmt;

use url::{Host, Url};

use crate::core::secret::shown;

/// Which schemes a URL may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `ws` and `wss`.
    WebSocket,
    /// `http` and `https`.
    Http,
}

impl Scheme {
    /// Without and with TLS.
    const fn names(self) -> [&'static str; 2] {
        match self {
            Self::WebSocket => ["ws", "wss"],
            Self::Http => ["http", "https"],
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WebSocket => "a WebSocket URL",
            Self::Http => "an HTTP URL",
        })
    }
}

/// A URL that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No URL at all.
    #[error("{url:?} is not a valid URL; write {scheme}://host[:port]/path")]
    Invalid {
        /// As given.
        url: String,
        /// Scheme for the example.
        scheme: &'static str,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// Neither of the two schemes.
    #[error("{url:?} is not {scheme}; write {}://HOST[:PORT]/PATH or {}://..", .scheme.names()[0], .scheme.names()[1])]
    Scheme {
        /// As given.
        url: String,
        /// What was wanted.
        scheme: Scheme,
    },
    /// No port is number 0.
    #[error("{url:?} names port 0; leave the port out, or give one from 1 to 65535")]
    Port {
        /// As given.
        url: String,
    },
    /// A WebSocket's URL has no fragment (RFC 6455, 3).
    #[error("{url:?} has a fragment; leave out # and what follows, or write it as %23")]
    Fragment {
        /// As given.
        url: String,
    },
    /// It would show up wherever the URL does.
    #[error("the URL of {host} holds a user name or password; give them with {option} instead")]
    Credentials {
        /// Host of the URL.
        host: String,
        /// The command line's option.
        option: &'static str,
    },
}

/// A server's URL, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    text: String,
    tls: bool,
    host: Host<String>,
    /// The interface on which an IPv6 address is.
    zone: Option<String>,
    port: u16,
    authority: String,
    target: String,
}

impl ServerUrl {
    /// Checks a URL.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn parse(text: &str, scheme: Scheme) -> Result<Self, UrlError> {
        let given = || shown_as_given(text);
        let names = scheme.names();
        let named = |name: &&str| {
            text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
                && text[name.len()..].starts_with("://")
        };
        if !names.iter().any(named) {
            return Err(UrlError::Scheme { url: given(), scheme });
        }
        let (bare, zone) = without_zone(text);
        let url = Url::parse(&bare).map_err(|source| UrlError::Invalid {
            url: given(),
            scheme: names[0],
            source,
        })?;
        let tls = url.scheme() == names[1];
        // Both are there for these schemes.
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            let source = url::ParseError::EmptyHost;
            return Err(UrlError::Invalid { url: given(), scheme: names[0], source });
        };
        if !url.username().is_empty() || url.password().is_some() {
            let option = match scheme {
                Scheme::WebSocket => "--user",
                Scheme::Http => "--ctluser",
            };
            return Err(UrlError::Credentials { host: host.to_string(), option });
        }
        if port == 0 {
            return Err(UrlError::Port { url: given() });
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment { url: given() });
        }
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let target = target(text, &url);
        let host = host.to_owned();
        Ok(Self { text: text.to_owned(), tls, host, zone, port, authority, target })
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub const fn tls(&self) -> bool {
        self.tls
    }

    /// Host as resolvers and certificates know it: an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        }
    }

    /// The host as resolvers know it, with the zone of a link-local address:
    /// `fe80::1%eth0`. Nobody else may be told of the zone.
    pub(super) fn dialed_host(&self) -> String {
        match &self.zone {
            Some(zone) => format!("{}%{zone}", self.host()),
            None => self.host(),
        }
    }

    /// Whether its address means something on one link of this host only.
    pub(super) const fn has_zone(&self) -> bool {
        self.zone.is_some()
    }

    /// The same server, port and target over TLS.
    #[must_use]
    pub fn with_tls(&self) -> Self {
        let host = match &self.zone {
            Some(zone) => format!("[{}%25{zone}]", self.host()),
            None => self.host.to_string(),
        };
        let port = if self.port == 443 { String::new() } else { format!(":{}", self.port) };
        let authority = format!("{}{port}", self.host);
        let text = format!("wss://{host}{port}{}", self.target);
        Self { text, tls: true, authority, ..self.clone() }
    }

    /// What a redirect is relative to.
    pub(super) fn with_http_scheme(&self) -> String {
        let scheme = Scheme::Http.names()[usize::from(self.tls)];
        format!("{scheme}://{}{}", self.authority, self.target)
    }

    /// Port, 1 to 65535.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Host and port, as a proxy is asked for them; an IPv6 address in brackets.
    #[must_use]
    pub fn host_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Host, with the port where it is not the scheme's own: the `Host` header.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query as given; `/` without a path.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.text))
    }
}

/// The text without the zone of an IPv6 address, and the zone: `[fe80::1%25eth0]` (RFC 6874),
/// also with a bare `%`.
fn without_zone(text: &str) -> (String, Option<String>) {
    let zone = || {
        let start = text.find("://")? + 3;
        let end = start + text[start..].find(['/', '?', '#']).unwrap_or(text.len() - start);
        let close = start + text[start..end].find(']')?;
        let open = start + text[start..close].find('[')?;
        let at = open + text[open..close].find('%')?;
        let given = &text[at + 1..close];
        let zone = given.strip_prefix("25").unwrap_or(given);
        let is_name = |octet: u8| octet.is_ascii_graphic() && octet != b'%';
        let valid = !zone.is_empty() && zone.bytes().all(is_name);
        valid.then(|| (format!("{}{}", &text[..at], &text[close..]), Some(zone.to_owned())))
    };
    zone().unwrap_or_else(|| (text.to_owned(), None))
}

/// Path and query as they were written: a server may tell `/a/./b` from `/a/b`.
/// Only what may not stand in a request is encoded.
fn target(text: &str, url: &Url) -> String {
    let text = text.trim();
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let given = rest.find(['/', '?']).map_or("", |at| &rest[at..]);
    if given.starts_with('/') && given.bytes().all(|octet| octet.is_ascii_graphic()) {
        return given.to_owned();
    }
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// A text that is to be a URL as it may be shown, also without a scheme.
fn shown_as_given(text: &str) -> String {
    const SCHEME: &str = "://";
    if text.contains(SCHEME) {
        return shown(text).into_owned();
    }
    shown(&format!("{SCHEME}{text}"))[SCHEME.len()..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ServerUrl, UrlError> {
        ServerUrl::parse(text, Scheme::WebSocket)
    }

    #[test]
    fn a_default_port_is_no_part_of_the_host_header() {
        for (text, authority, host_port, target) in [
            ("ws://h", "h", "h:80", "/"),
            ("ws://h:80/p?q=1", "h", "h:80", "/p?q=1"),
            ("wss://h:443/", "h", "h:443", "/"),
            ("wss://h:80/", "h:80", "h:80", "/"),
            ("WS://H:8088/a/../b//c?x=%20", "h:8088", "h:8088", "/a/../b//c?x=%20"),
            ("ws://[::1]:8088/", "[::1]:8088", "[::1]:8088", "/"),
            ("ws://[2001:DB8::1]", "[2001:db8::1]", "[2001:db8::1]:80", "/"),
            ("ws://h?q", "h", "h:80", "/?q"),
            ("ws://h/a b", "h", "h:80", "/a%20b"),
        ] {
            let url = parse(text).expect(text);
            assert_eq!(
                (url.authority(), &*url.host_port(), url.target()),
                (authority, host_port, target),
                "{text}"
            );
            assert_eq!(url.to_string(), shown(text));
        }
        assert_eq!(parse("ws://[::1]").expect("IPv6").host(), "::1");
    }

    #[test]
    fn a_zone_is_dialed_and_not_told_to_the_server() {
        for (text, dialed) in [
            ("ws://[fe80::1%25eth0]/", "fe80::1%eth0"),
            ("ws://[fe80::1%25eth0.5]:80/p%25q", "fe80::1%eth0.5"),
            ("ws://[fe80::1%3]/", "fe80::1%3"),
            ("ws://[fe80::1%252]/", "fe80::1%2"),
            ("ws://[fe80::1]/a[%25b]", "fe80::1"),
        ] {
            let url = parse(text).expect(text);
            assert_eq!((&*url.dialed_host(), url.authority()), (dialed, "[fe80::1]"), "{text}");
            assert_eq!((&*url.host(), &*url.host_port()), ("fe80::1", "[fe80::1]:80"), "{text}");
            assert_eq!(url.to_string(), text);
        }
        for text in ["ws://[fe80::1%25]/", "ws://[fe80::1%25a b]/", "ws://[h%25eth0]/"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_server_is_refused_by_name() {
        for (text, part) in [
            ("", "write ws://HOST[:PORT]/PATH or wss://"),
            ("h:80", "is not a WebSocket URL"),
            ("http://h/", "is not a WebSocket URL"),
            ("ws:h", "is not a WebSocket URL"),
            ("ws://", "is not a valid URL"),
            ("ws://:80/", "is not a valid URL"),
            ("ws://h:99999/", "is not a valid URL"),
            ("ws://[::1/", "is not a valid URL"),
            ("ws://h:0/", "port 0"),
            ("ws://h/#x", "fragment"),
            ("ws://user:secret@h/", "--user"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("secret") && !error.contains('\n'), "{error}");
        }
        let error = ServerUrl::parse("ws://h/", Scheme::Http).expect_err("a tunnel's");
        assert!(error.to_string().contains("write http://HOST[:PORT]/PATH or https://"));
    }

    #[test]
    fn a_url_is_shown_without_what_may_be_secret() {
        for (text, wanted) in [
            ("wss://h/lan", "wss://h/lan"),
            (
                "wss://h:8/lan?token=x1&room=x2&x3",
                "wss://h:8/lan?token=(secret)&room=(secret)&(secret)",
            ),
            ("wss://h?token=x1=/x2", "wss://h?token=(secret)"),
            ("wss://h/?", "wss://h/?"),
            ("http://u:x1@p:3128", "http://p:3128"),
            ("socks5://x1@x2@p", "socks5://p"),
            ("ws://[fe80::1%25eth0]/a@b", "ws://[fe80::1%25eth0]/a@b"),
            ("ewp%d", "ewp%d"),
            ("mail me?a@b", "mail me?a@b"),
        ] {
            assert_eq!(shown(text), wanted);
            if let Ok(url) = parse(text) {
                assert_eq!(url.to_string(), wanted);
            }
        }
        for text in ["ftp://h/?token=x1", "ws://h:0/?token=x1", "u:x1@h", "ws://h/?t=x1#x1"] {
            let error = parse(text).expect_err(text).to_string();
            assert!(!error.contains("x1"), "{error}");
        }
    }

    #[test]
    fn a_password_is_in_no_error() {
        for text in ["ftp://user:secret@h/", "ws://user:secret@h:99999/", "user:secret@h"] {
            let error = parse(text).expect_err(text).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}

//! Where a client comes from that a reverse proxy has sent here: by the proxy's word, if it is
//! trusted, in the one header that is configured. Chains are read from the right, past trusted
//! proxies: what stands further left the client may have written itself. Whatever is not
//! understood, or not there at all, says nothing: the proxy's own address counts, and nobody is
//! local through it. Pure.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use super::{
    peer::{Ends, Peer, Via},
    request::Headers,
};
use crate::options::{ForwardedHeader, Proxies};

/// Proxies that may stand one behind the other.
const MAX_HOPS: usize = 32;

impl Proxies {
    /// Who has sent a request with these headers over the connection of `peer`.
    pub(super) fn client<'a>(&self, peer: &'a Peer, headers: &Headers<'_>) -> Cow<'a, Peer> {
        let trusted = match (peer.address(), peer.ends) {
            (Some(address), _) => self.trusts(address.ip()),
            (None, Ends::Unix(_)) => self.unix,
            (None, _) => false,
        };
        if !trusted {
            return Cow::Borrowed(peer);
        }
        let lines = headers.all(self.header.name()).map(|line| str::from_utf8(line).ok());
        let lines: Option<Vec<_>> = lines.collect();
        let address = lines.and_then(|lines| match (&self.header, &lines[..]) {
            (ForwardedHeader::Single(_), [line]) => node(line.trim()),
            (ForwardedHeader::Single(_), _) => None,
            (ForwardedHeader::List(_), lines) => self.first_foreign(
                lines.iter().rev().flat_map(|line| line.rsplit(',')).map(str::trim),
                node,
            ),
            (ForwardedHeader::Forwarded, lines) => {
                let all = elements(&lines.join(","))?;
                self.first_foreign(all.iter().rev().map(String::as_str), node)
            }
        });
        // Without one that is understood, by the proxy it still is.
        let address = address.or(match peer.via {
            Via::Proxy(address) => address,
            Via::Nobody => None,
        });
        Cow::Owned(Peer { via: Via::Proxy(address), ..peer.clone() })
    }

    /// The last of `nodes`, which come last to first, that is no trusted proxy; or the first
    /// of all.
    fn first_foreign<'a>(
        &self,
        nodes: impl Iterator<Item = &'a str>,
        node: impl Fn(&str) -> Option<SocketAddr>,
    ) -> Option<SocketAddr> {
        let mut last = None;
        // Of a list some may be empty (RFC 9110, 5.6.1).
        for (hop, text) in nodes.filter(|text| !text.is_empty()).enumerate() {
            let address = node(text).filter(|_| hop < MAX_HOPS)?;
            last = Some(address);
            if !self.trusts(address.ip()) {
                break;
            }
        }
        last
    }
}

/// An address, with its port if that is there: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`,
/// `[2001:db8::1]`, `[2001:db8::1]:80`. Neither names nor zones.
fn node(text: &str) -> Option<SocketAddr> {
    let address = |text: &str| text.parse::<IpAddr>().ok();
    let (ip, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((ip, rest))) => (IpAddr::V6(ip.parse::<Ipv6Addr>().ok()?), rest),
        Some(None) => return None,
        None => match text.rsplit_once(':') {
            Some((ip, _)) if !ip.contains(':') => (address(ip)?, &text[ip.len()..]),
            _ => (address(text)?, ""),
        },
    };
    let port = match port.strip_prefix(':') {
        // One that is hidden (RFC 7239, 6.3) is none.
        Some(port) if port.starts_with('_') => 0,
        Some(port) => port.parse().ok()?,
        None if port.is_empty() => 0,
        None => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

/// What stands behind `for=` in each element of `Forwarded` (RFC 7239, 4); `unknown` where
/// nothing does. `None`: it is not of this form as a whole, and what a client has begun in it
/// must not swallow what a proxy has added.
fn elements(text: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let mut rest = text.trim();
    let mut client = None;
    let mut pairs = 0;
    loop {
        if !rest.starts_with([',', ';']) && !rest.is_empty() {
            let (name, value) = rest.split_once('=')?;
            let is_token = |c: char| c.is_ascii_alphanumeric() || "-_.!#$%&'*+^`|~".contains(c);
            if name.is_empty() || !name.chars().all(is_token) {
                return None;
            }
            let value = match value.strip_prefix('"') {
                Some(quoted) => {
                    let (value, behind) = unquote(quoted)?;
                    rest = behind;
                    value
                }
                None => {
                    // A colon or brackets without quotes are wrong, and common.
                    let end = value.find([',', ';', ' ', '\t', '"']).unwrap_or(value.len());
                    rest = &value[end..];
                    value[..end].to_owned()
                }
            };
            if name.eq_ignore_ascii_case("for") && client.replace(value).is_some() {
                return None;
            }
            pairs += 1;
        }
        rest = rest.trim_start();
        let is_end = rest.is_empty();
        if is_end || rest.starts_with(',') {
            if pairs > 0 {
                all.push(client.take().unwrap_or_else(|| "unknown".to_owned()));
            }
            pairs = 0;
        }
        if is_end {
            return Some(all);
        }
        rest = rest.strip_prefix([',', ';'])?.trim_start();
    }
}

/// The value of a quoted string behind its first quote, and what is behind its last.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => value.push(chars.next()?.1),
            (_, c) => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxies(header: &str) -> Proxies {
        let trusted = ["127.0.0.1/32", "10.0.0.0/8", "2001:db8:1::/48"];
        let trusted = trusted.map(|net| net.parse().unwrap()).to_vec();
        Proxies { trusted, header: ForwardedHeader::named(header), ..Proxies::default() }
    }

    fn from(peer: &str) -> Peer {
        let [local, peer] = ["127.0.0.1:80", peer].map(|text| text.parse().unwrap());
        let ends = Ends::Tcp { local, peer };
        Peer::at(ends)
    }

    /// How a request is shown that comes from a proxy on loopback with these lines.
    fn shown(header: &str, lines: &[&str]) -> String {
        let headers: Vec<_> = lines.iter().map(|line| (header, line.as_bytes())).collect();
        let (headers, peer) = (headers.into_iter().collect(), from("127.0.0.1:9"));
        let client = proxies(header).client(&peer, &headers);
        assert!(!client.is_local(), "{lines:?}");
        client.to_string()
    }

    #[test]
    fn a_list_is_read_from_the_right_past_trusted_proxies() {
        for (lines, wanted) in [
            (&[][..], "127.0.0.1:9"),
            (&["203.0.113.5"], "203.0.113.5"),
            (&["203.0.113.5:4711"], "203.0.113.5:4711"),
            (&["6.6.6.6, 203.0.113.5"], "203.0.113.5"),
            (&["6.6.6.6, 203.0.113.5, 10.1.2.3,10.0.0.1"], "203.0.113.5"),
            (&["6.6.6.6", "203.0.113.5", "10.1.2.3"], "203.0.113.5"),
            (&["203.0.113.5, , "], "203.0.113.5"),
            (&["::ffff:203.0.113.5, ::ffff:10.0.0.1"], "203.0.113.5"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["[2001:db8::1]:443, 2001:db8:1::9"], "[2001:db8::1]:443"),
            // All of them trusted: it is the first one's own.
            (&["10.0.0.9, 10.0.0.1"], "10.0.0.9"),
            // Never local, whatever it says.
            (&["127.0.0.1"], "127.0.0.1"),
            // What is left of a stranger does not matter.
            (&["nonsense, 203.0.113.5"], "203.0.113.5"),
        ] {
            assert_eq!(shown("x-forwarded-for", lines), wanted, "{lines:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_the_proxys() {
        for line in [
            "",
            "unknown",
            "_hidden",
            "203.0.113.5, unknown",
            "nonsense, 10.0.0.1",
            "203.0.113.5:x",
            "203.0.113.5:70000",
            "203.0.113.5.6",
            "203.0.113.5 6.6.6.6",
            "[203.0.113.5]",
            "[2001:db8::1",
            "[2001:db8::1]x",
            "fe80::1%eth0",
            "[fe80::1%25eth0]:80",
            "for=203.0.113.5",
            "\u{2160}",
        ] {
            assert_eq!(shown("x-forwarded-for", &[line]), "127.0.0.1:9", "{line:?}");
        }
        let long = vec!["10.0.0.1"; 40].join(",");
        assert_eq!(shown("x-forwarded-for", &[&long]), "127.0.0.1:9");
    }

    #[test]
    fn forwarded_is_read_by_its_grammar() {
        for (lines, wanted) in [
            (&["for=203.0.113.5"][..], "203.0.113.5"),
            (&["For=\"203.0.113.5:80\";proto=https;by=_x"], "203.0.113.5:80"),
            (
                &["proto=http; for=\"[2001:db8::1]:_port\" , by=10.0.0.1;for=10.0.0.1"],
                "2001:db8::1",
            ),
            (&["for=6.6.6.6, for=203.0.113.5", "for=10.0.0.1"], "203.0.113.5"),
            (&["for=203.0.113.5:80"], "203.0.113.5:80"),
            (&["for=\"203.0.113.5\\:80\""], "203.0.113.5:80"),
            // Nobody hides behind quotes that he has opened.
            (&["for=6.6.6.6, for=\"", "for=203.0.113.5"], "127.0.0.1:9"),
            (&["for=6.6.6.6, for=\"", "for=\"203.0.113.5\""], "127.0.0.1:9"),
            (&["for=6.6.6.6;x=\"", "for=\"203.0.113.5\";by=\"x\""], "127.0.0.1:9"),
            (&["for=unknown"], "127.0.0.1:9"),
            (&["for=_hidden"], "127.0.0.1:9"),
            (&["for=203.0.113.5, by=10.0.0.1"], "127.0.0.1:9"),
            (&["for=6.6.6.6;for=203.0.113.5"], "127.0.0.1:9"),
            (&["203.0.113.5"], "127.0.0.1:9"),
            (&["for=203.0.113.5 x"], "127.0.0.1:9"),
            (&["=;="], "127.0.0.1:9"),
        ] {
            assert_eq!(shown("forwarded", lines), wanted, "{lines:?}");
        }
    }

    #[test]
    fn a_single_address_is_one() {
        assert_eq!(shown("x-real-ip", &["203.0.113.5"]), "203.0.113.5");
        assert_eq!(shown("x-real-ip", &["203.0.113.5, 6.6.6.6"]), "127.0.0.1:9");
        assert_eq!(shown("x-real-ip", &["203.0.113.5", "6.6.6.6"]), "127.0.0.1:9");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let header = |name: &'static str| [(name, &b"203.0.113.5"[..])].into_iter().collect();
        let list = proxies("x-forwarded-for");
        let stranger = from("192.0.2.9:1");
        let told = list.client(&stranger, &header("x-forwarded-for"));
        assert_eq!((told.to_string().as_str(), told.is_local()), ("192.0.2.9:1", false));
        // On this machine, and no proxy: as local as it was.
        let none = Proxies::default();
        let here = from("127.0.0.1:9");
        assert!(none.client(&here, &header("x-forwarded-for")).is_local());
        // By another header than the one that is believed: nobody is local through a proxy.
        let other = list.client(&here, &header("x-real-ip"));
        assert_eq!((other.to_string().as_str(), other.is_local()), ("127.0.0.1:9", false));
        // Nor by none: a proxy that adds no header passes on whoever asks it.
        let silent = list.client(&here, &Headers::default());
        assert_eq!((silent.to_string().as_str(), silent.is_local()), ("127.0.0.1:9", false));
        let unix = Peer { ends: Ends::Unix(None), ..from("127.0.0.1:9") };
        assert!(list.client(&unix, &header("x-forwarded-for")).is_local());
        let socket = Proxies { unix: true, ..Proxies::default() };
        let told = socket.client(&unix, &header("x-forwarded-for"));
        assert_eq!((told.to_string().as_str(), told.is_local()), ("203.0.113.5", false));
        assert!(!socket.client(&unix, &Headers::default()).is_local());
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_the_proxy_has_added_counts(
            name in prop::sample::select(vec!["forwarded", "x-forwarded-for", "x-real-ip"]),
            line in "[ -~]{0,60}|(for=|[\"\\\\,;:=\\[\\]]|[0-9.]|10\\.0\\.0\\.1|a){0,30}",
        ) {
            let own = if name == "forwarded" { "for=\"203.0.113.5\"" } else { "203.0.113.5" };
            let lines = if name == "x-real-ip" { vec![own] } else { vec![line.as_str(), own] };
            let shown = shown(name, &lines);
            prop_assert!(["203.0.113.5", "127.0.0.1:9"].contains(&shown.as_str()), "{}", shown);
        }
    }
}

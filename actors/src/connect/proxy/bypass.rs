//! `no_proxy`: which servers are reached without the proxy of the environment, in the forms
//! that other programs know.

use std::net::IpAddr;

use crate::connect::url::ServerUrl;

/// Whether one of the entries, with commas or spaces between them, is for `server`:
///
/// | entry | for |
/// | --- | --- |
/// | `*` | all servers |
/// | `example.org`, `.example.org` | this name, and those that end in it behind a dot |
/// | `*.example.org`, `192.168.*` | what the pattern matches |
/// | `192.0.2.1`, `[2001:db8::1]`, `10.0.0.0/8`, `fd00::/8` | an address, or those of a prefix |
/// | any of these with `:PORT` | the same, if the server has this port |
pub(super) fn is_excepted(no_proxy: &str, server: &ServerUrl) -> bool {
    let host = server.host();
    let host = host.trim_end_matches('.');
    no_proxy
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|entry| !entry.is_empty())
        .any(|entry| matches(entry, host, server.port()))
}

fn matches(entry: &str, host: &str, port: u16) -> bool {
    let (name, wanted) = with_port(entry);
    if wanted.is_some_and(|wanted| wanted != port) {
        return false;
    }
    let name = name.to_ascii_lowercase();
    if name.contains('*') {
        return is_like(&name, host);
    }
    match host.parse::<IpAddr>() {
        Ok(address) => is_within(&name, address),
        Err(_) => {
            let name = name.trim_matches('.');
            let before = host.strip_suffix(name);
            !name.is_empty() && before.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        }
    }
}

/// `h:80`, `[::1]:80`; an IPv6 address without brackets has no port.
fn with_port(entry: &str) -> (&str, Option<u16>) {
    let (name, port) = match entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, port)) => (name, port.strip_prefix(':')),
        None => match entry.split_once(':') {
            Some((name, port)) if !port.contains(':') => (name, Some(port)),
            _ => (entry, None),
        },
    };
    match port.map(str::parse) {
        None => (name, None),
        Some(Ok(port)) => (name, Some(port)),
        // No such port, and so for no server.
        Some(Err(_)) => (name, Some(0)),
    }
}

/// Whether the pattern, in which `*` stands for anything, is all of the text.
fn is_like(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    let mut tails = text.char_indices().map(|(at, _)| &text[at..]).chain([""]);
    if rest.contains('*') {
        // Few: names are short, and patterns come from the environment.
        return tails.any(|tail| is_like(rest, tail));
    }
    text.ends_with(rest)
}

/// Whether the address is this one, or begins with this prefix.
fn is_within(entry: &str, address: IpAddr) -> bool {
    let (network, length) = match entry.split_once('/') {
        Some((network, length)) => (network, length.parse().ok()),
        None => (entry, Some(128)),
    };
    let (Ok(network), Some(length)) = (network.parse::<IpAddr>(), length) else { return false };
    let bits = |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32_u32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let ((network, width), (address, other)) = (bits(network), bits(address));
    let differing = (network ^ address).leading_zeros();
    width == other && differing >= length.min(width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::url::Scheme;

    #[test]
    fn entries_have_the_forms_that_other_programs_know() {
        for (entries, taken, others) in [
            ("*", &["h.example", "192.0.2.1", "[::1]"][..], &[][..]),
            ("example", &["example", "h.example", "example:81"], &["notexample", "example.org"]),
            (".example, x", &["example", "a.h.example", "x"], &["notexample"]),
            ("EXAMPLE.", &["h.example."], &["h.exampl"]),
            ("*.example", &["a.b.example"], &["example", "example.x"]),
            ("h*.ex*e", &["h1.example"], &["g1.example", "h1.example.org"]),
            ("a\t b", &["a", "b"], &["c"]),
            ("h:81", &["h:81", "x.h:81"], &["h", "h:82"]),
            ("h:x", &[], &["h", "h:81"]),
            ("192.0.2.1", &["192.0.2.1:81"], &["192.0.2.11", "1.192.0.2"]),
            ("192.0.2.1:81", &["192.0.2.1:81"], &["192.0.2.1"]),
            ("192.168.*", &["192.168.3.4"], &["192.16.8.1"]),
            ("10.0.0.0/8,fd00::/9", &["10.255.0.1", "[fd7f::1]"], &["11.0.0.1", "[fd80::]"]),
            ("0.0.0.0/0", &["203.0.113.9"], &["[::1]", "h"]),
            ("::1", &["[::1]:81"], &["[::2]", "h"]),
            ("[::1]:81", &["[::1]:81"], &["[::1]"]),
            (",, /, ., :, 1/x", &[], &["h", "192.0.2.1"]),
        ] {
            for (hosts, wanted) in [(taken, true), (others, false)] {
                for host in hosts {
                    let url = ServerUrl::parse(&format!("ws://{host}/"), Scheme::WebSocket);
                    let url = url.expect(host);
                    assert_eq!(is_excepted(entries, &url), wanted, "{entries:?} for {host}");
                }
            }
        }
    }
}

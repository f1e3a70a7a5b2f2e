//! What keeps control from those who come to it by a detour: pages that a browser has
//! loaded from elsewhere, and peers that it was never meant for. Stands before control
//! asks for a password. Knows no user.

use std::net::IpAddr;

use actix_http::StatusCode;

use super::{
    peer::Ends,
    refusal::{Refusal, Refused},
    request::{Headers, Request},
    upgrade::is_foreign,
};

/// What a page from elsewhere is told.
const FOREIGN: &str = "Control refuses pages from other origins";

/// Which requests for control may be looked at.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// Names of the switch besides `localhost` and the connection's own address.
    pub(crate) names: Vec<String>,
}

impl Guard {
    /// Whether `request` may be looked at.
    ///
    /// # Errors
    /// It may not: it is for another host, or a page elsewhere has sent it.
    pub(super) fn check(&self, request: &Request<'_>) -> Result<(), Refusal> {
        if !self.is_ours(request) {
            let text = "\"Host\" is not a name of this switch: see --ctlname of etherws sw";
            let refusal = Refusal::new(Refused::Origin, text);
            return Err(refusal.status(StatusCode::MISDIRECTED_REQUEST));
        }
        if is_foreign(&request.headers, &[]) {
            return Err(Refusal::new(Refused::Origin, FOREIGN));
        }
        Ok(())
    }

    /// Whether `Host` names this switch. A page whose name its owner has pointed to our
    /// address (DNS rebinding) has that name there.
    fn is_ours(&self, request: &Request<'_>) -> bool {
        let Ends::Tcp { local, .. } = request.peer.ends else {
            return matches!(request.peer.ends, Ends::Unix(_));
        };
        let mut hosts = request.headers.all("host");
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let Some(host) = str::from_utf8(host).ok().and_then(bare_host) else { return false };
        let is_local = |address: IpAddr| address.to_canonical() == local.ip().to_canonical();
        let same = |name: &str| name.eq_ignore_ascii_case(host);
        host.parse().is_ok_and(is_local)
            || same("localhost")
            || self.names.iter().any(|name| same(name))
    }
}

/// The host in `host:port`, without the brackets of IPv6; the port may be left out.
fn bare_host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(address) => address.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_port = |port: &str| port.bytes().all(|octet| octet.is_ascii_digit());
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(host)
}

/// Whether the body is JSON by its own words. What else a page may send elsewhere
/// without being asked by its browser (a form, plain text) is not.
///
/// # Errors
/// It is not: 415.
pub(super) fn check_content_type(headers: &Headers<'_>) -> Result<(), Refusal> {
    let value = headers.text("content-type").unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default();
    if kind.trim().eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let text = "\"Content-Type\" must be \"application/json\"";
    Err(Refusal::request(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
}

/// Whether a GET comes from our own page or from no page at all, as far as the browser says
/// (Fetch Metadata, `Sec-Fetch-Site`): others could have it start what they may not see,
/// with the password that it knows. A link may lead to `page`, the page itself.
///
/// # Errors
/// Another page has sent it.
pub(super) fn check_fetch(headers: &Headers<'_>, page: bool) -> Result<(), Refusal> {
    let says = |name, wanted: &[&str]| headers.text(name).is_some_and(|it| wanted.contains(&it));
    // Browsers are silent over plain HTTP between machines.
    let silent = headers.get("sec-fetch-site").is_none();
    let ours = says("sec-fetch-site", &["same-origin", "none"]);
    let link =
        page && says("sec-fetch-mode", &["navigate"]) && says("sec-fetch-dest", &["document"]);
    if silent || ours || link {
        return Ok(());
    }
    Err(Refusal::new(Refused::Origin, FOREIGN))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{peer::Peer, request::Method},
        *,
    };

    fn tcp(local: &str, peer: &str) -> Peer {
        let [local, peer] =
            [local, peer].map(|address| (address.parse::<IpAddr>().unwrap(), 1).into());
        Peer::at(Ends::Tcp { local, peer })
    }

    fn headers<'a>(all: &[(&'a str, &'a str)]) -> Headers<'a> {
        all.iter().map(|(name, value)| (*name, value.as_bytes())).collect()
    }

    fn status(guard: &Guard, peer: &Peer, all: &[(&str, &str)]) -> u16 {
        let headers = headers(all);
        let request = Request { method: Method::Get, path: "/", query: None, headers, peer };
        guard.check(&request).map_or_else(|refusal| refusal.code().as_u16(), |()| 200)
    }

    #[test]
    fn host_must_name_the_switch() {
        let guard = Guard { names: vec!["switch.example".to_owned()] };
        let v4 = tcp("192.0.2.1", "192.0.2.9");
        for (host, wanted) in [
            ("192.0.2.1", 200),
            ("192.0.2.1:7867", 200),
            ("localhost:1", 200),
            ("LocalHost", 200),
            ("Switch.Example:7867", 200),
            ("192.0.2.2", 421),
            ("127.0.0.1", 421),
            ("evil.example", 421),
            ("switch.example.evil.example", 421),
            ("localhost@evil.example", 421),
            ("evil.example@localhost", 421),
            ("localhost/evil.example", 421),
            ("localhost:80:80", 421),
            ("localhost:evil.example", 421),
            ("", 421),
        ] {
            assert_eq!(status(&guard, &v4, &[("host", host)]), wanted, "{host}");
        }
        let v6 = tcp("::1", "::1");
        assert_eq!(status(&guard, &v6, &[("host", "[::1]:7867")]), 200);
        assert_eq!(status(&guard, &v6, &[("host", "[::2]:7867")]), 421);
        assert_eq!(status(&guard, &v6, &[]), 421);
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(status(&guard, &v6, &two), 421);
        let unix = Peer::at(Ends::Unix(None));
        assert_eq!(status(&guard, &unix, &[("host", "whatever")]), 200);
    }

    #[test]
    fn a_page_must_come_from_here() {
        let guard = Guard::default();
        let loopback = tcp("127.0.0.1", "127.0.0.1");
        for (origin, wanted) in [
            ("http://localhost:7867", 200),
            ("http://localhost:80", 403),
            ("http://evil.example", 403),
            ("null", 403),
        ] {
            let all = [("host", "localhost:7867"), ("origin", origin)];
            assert_eq!(status(&guard, &loopback, &all), wanted, "{origin}");
        }
    }

    #[test]
    fn another_page_may_link_to_ours_and_no_more() {
        for (site, mode, dest, page, wanted) in [
            ("same-origin", "cors", "empty", false, true),
            ("none", "navigate", "document", false, true),
            ("cross-site", "navigate", "document", true, true),
            ("cross-site", "navigate", "document", false, false),
            ("same-site", "navigate", "document", false, false),
            ("cross-site", "navigate", "iframe", true, false),
            ("cross-site", "no-cors", "image", true, false),
            ("same-site", "no-cors", "script", false, false),
            ("cross-site", "cors", "empty", false, false),
            ("what-comes-next", "no-cors", "empty", false, false),
        ] {
            let all =
                [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
            let headers = headers(&all);
            assert_eq!(check_fetch(&headers, page).is_ok(), wanted, "{site} {mode} {dest} {page}");
        }
        assert!(check_fetch(&Headers::default(), false).is_ok());
    }

    #[test]
    fn a_body_must_say_that_it_is_json() {
        let check = |value| check_content_type(&headers(&[("content-type", value)])).is_ok();
        assert!(check("application/json"));
        assert!(check("Application/JSON; charset=utf-8"));
        for other in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
            assert!(!check(other), "{other}");
        }
        assert!(check_content_type(&Headers::default()).is_err());
    }
}

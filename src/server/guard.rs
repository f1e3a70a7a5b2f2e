//! What keeps control from those who come to it by a detour: pages that a browser has
//! loaded from elsewhere, and peers that it was never meant for. Stands before control
//! asks for a password. Knows no user.

use actix_http::{
    header::{self, HeaderMap},
    uri::Authority,
};
use actix_web::http::StatusCode;

use super::{
    counters::Refused,
    peer::{Ends, Peer},
    refusal::Refusal,
    tunnel::check_origin,
};

/// Which requests for control may be looked at.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// Names of the switch besides `localhost` and the connection's own address.
    pub(crate) names: Vec<String>,
    /// Whether peers on other machines are kept out.
    pub(crate) local_only: bool,
}

impl Guard {
    /// Whether a request of `peer` may be looked at.
    ///
    /// # Errors
    /// It may not: its peer is on another machine, or a page elsewhere has sent it.
    pub(super) fn check(&self, peer: &Peer, headers: &HeaderMap) -> Result<(), Refusal> {
        let refuse = |status, text| Err(Refusal::new(status, text, Refused::Origin));
        if self.local_only && !is_local(peer.ends) {
            let text = "Control is open to its own machine alone: see --ctlopen of etherws sw";
            return refuse(StatusCode::FORBIDDEN, text);
        }
        if !self.is_ours(peer.ends, headers) {
            let text = "\"Host\" is no name of this switch: see --ctlname of etherws sw";
            return refuse(StatusCode::MISDIRECTED_REQUEST, text);
        }
        check_origin(headers, &[]).or_else(|_| {
            refuse(StatusCode::FORBIDDEN, "Control is not for pages from other origins")
        })
    }

    /// Whether `Host` names this switch. A page whose name its owner has pointed to our
    /// address (DNS rebinding) has that name there.
    fn is_ours(&self, ends: Ends, headers: &HeaderMap) -> bool {
        let Ends::Tcp { local, .. } = ends else { return matches!(ends, Ends::Unix) };
        let mut hosts = headers.get_all(header::HOST);
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        // A name and a port, but no user before them.
        let Some(authority) = authority.filter(|text| !text.as_str().contains('@')) else {
            return false;
        };
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<std::net::IpAddr>()
            && address.to_canonical() == local
        {
            return true;
        }
        let same = |name: &str| name.eq_ignore_ascii_case(bare);
        same("localhost") || self.names.iter().any(|name| same(name))
    }
}

fn is_local(ends: Ends) -> bool {
    match ends {
        Ends::Tcp { peer, .. } => peer.is_loopback(),
        Ends::Unix => true,
        Ends::Gone => false,
    }
}

/// Whether the body is JSON by its own words. What else a page may send elsewhere
/// without being asked by its browser (a form, plain text) is not.
///
/// # Errors
/// It is not: 415.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next()).unwrap_or_default();
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
pub(super) fn check_fetch(headers: &HeaderMap, page: bool) -> Result<(), Refusal> {
    let says = |name, wanted: &[&str]| {
        headers.get(name).is_some_and(|value| wanted.iter().any(|word| value == *word))
    };
    // Browsers are silent over plain HTTP between machines.
    let silent = !headers.contains_key("sec-fetch-site");
    let ours = says("sec-fetch-site", &["same-origin", "none"]);
    let link =
        page && says("sec-fetch-mode", &["navigate"]) && says("sec-fetch-dest", &["document"]);
    if silent || ours || link {
        return Ok(());
    }
    let text = "Control is not for pages from other origins";
    Err(Refusal::new(StatusCode::FORBIDDEN, text, Refused::Origin))
}

#[cfg(test)]
mod tests {
    use actix_http::header::HeaderValue;

    use super::{super::peer::Shown, *};

    fn tcp(local: &str, peer: &str) -> Peer {
        let [local, peer] = [local, peer].map(|address| address.parse().unwrap());
        Peer { ends: Ends::Tcp { local, peer }, certificate: Shown::Nothing }
    }

    fn headers(host: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        headers
    }

    fn status(guard: &Guard, peer: &Peer, headers: &HeaderMap) -> u16 {
        guard.check(peer, headers).map_or_else(|refusal| refusal.status().as_u16(), |()| 200)
    }

    #[test]
    fn host_must_name_the_switch() {
        let guard = Guard { names: vec!["switch.example".to_owned()], local_only: false };
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
            ("", 421),
        ] {
            assert_eq!(status(&guard, &v4, &headers(host)), wanted, "{host}");
        }
        let v6 = tcp("::1", "::1");
        assert_eq!(status(&guard, &v6, &headers("[::1]:7867")), 200);
        assert_eq!(status(&guard, &v6, &headers("[::2]:7867")), 421);
        assert_eq!(status(&guard, &v6, &HeaderMap::new()), 421);
        let mut two = headers("localhost");
        two.append(header::HOST, HeaderValue::from_static("evil.example"));
        assert_eq!(status(&guard, &v6, &two), 421);
        let unix = Peer { ends: Ends::Unix, certificate: Shown::Nothing };
        assert_eq!(status(&guard, &unix, &headers("whatever")), 200);
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
            let mut headers = headers("localhost:7867");
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            assert_eq!(status(&guard, &loopback, &headers), wanted, "{origin}");
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
            let mut headers = HeaderMap::new();
            for (name, value) in
                [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)]
            {
                let name = header::HeaderName::from_static(name);
                headers.insert(name, HeaderValue::from_static(value));
            }
            assert_eq!(check_fetch(&headers, page).is_ok(), wanted, "{site} {mode} {dest} {page}");
        }
        assert!(check_fetch(&HeaderMap::new(), false).is_ok());
    }

    #[test]
    fn other_machines_are_kept_out_where_they_are_to_be() {
        let guard = Guard { local_only: true, ..Guard::default() };
        let host = headers("localhost");
        assert_eq!(status(&guard, &tcp("127.0.0.1", "127.0.0.1"), &host), 200);
        assert_eq!(status(&guard, &tcp("192.0.2.1", "192.0.2.9"), &host), 403);
    }

    #[test]
    fn a_body_must_say_that_it_is_json() {
        let check = |value| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            check_content_type(&headers).is_ok()
        };
        assert!(check("application/json"));
        assert!(check("Application/JSON; charset=utf-8"));
        for other in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
            assert!(!check(other), "{other}");
        }
        assert!(check_content_type(&HeaderMap::new()).is_err());
    }
}

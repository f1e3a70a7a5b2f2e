//! Checks of the path to a tunnel's server: name, proxy, TCP, TLS, WebSocket, clocks, and
//! whether full-size packets arrive.

use std::net::IpAddr;

use etherws_actors::{
    connect::{DialError, Pin, Route, Scheme, ServerUrl, Tcp, TunnelRequest, probe::Probe},
    error::one_line,
    holder::Instance,
    kinds::{Client, ClientOptions, Kind as _, Via},
};
use jiff::{Timestamp, fmt::rfc2822};
use slog::{Discard, Logger, o};

use super::{Finding, files, is_loopback};

/// MTU of Ethernet, which tunnels usually pass: less is worth a warning.
const USUAL_MTU: u32 = 1500;

/// Most octets of the headers of a TCP segment: IPv6's 40, TCP's
/// 20, and its timestamps' 12.
const HEADERS: u32 = 72;

/// Least segment that a path of [`USUAL_MTU`] carries.
const USUAL_SEGMENT: u32 = USUAL_MTU - HEADERS;

/// Seconds that clocks may differ: certificates are often used in the minute in which they
/// were issued.
const CLOCKS_DIFFER: i64 = 60;

/// A server, the route to it, and what is said there.
#[derive(Debug)]
pub(crate) struct Tunnel {
    server: ServerUrl,
    request: TunnelRequest,
    route: Route,
}

impl Tunnel {
    /// `url` is `ws://` or `wss://`; one of the options' or another one.
    ///
    /// # Errors
    /// It is not, or the options cannot be so.
    pub(crate) fn new(url: &str, options: &ClientOptions) -> Result<Self, String> {
        let mut checked = ClientOptions { url: url.to_owned(), ..options.clone() };
        if let Some(error) = Client::check(&mut checked, Via::Control).into_iter().next() {
            return Err(one_line(&error));
        }
        let server = ServerUrl::parse(url, Scheme::WebSocket).map_err(|error| one_line(&error))?;
        let route = checked.route(Logger::root(Discard, o!()));
        Ok(Self { server, request: checked.request(), route })
    }
}

impl Tunnel {
    /// Whether `target`, as a port shows it, is this server.
    pub(super) fn is_at(&self, target: &str) -> bool {
        self.server.to_string() == target
    }
}

/// Opens a tunnel and ends it in good order, and reports how far it got.
pub(super) async fn look(tunnel: &Tunnel) -> Vec<Finding> {
    let Tunnel { server, request, route } = tunnel;
    let instance = match Instance::random() {
        Ok(instance) => instance,
        Err(error) => {
            let text = format!("{server}: cannot get random numbers: {error}");
            return vec![Finding::fail("tunnel", text, "see getrandom(2)")];
        }
    };
    let (probe, done) = Probe::run(server, request, instance, route).await;
    let mut findings = seen(server, &probe);
    findings.push(match done {
        Ok(()) => {
            let took = probe.took.as_millis();
            Finding::ok("tunnel", format!("{server} accepted the tunnel after {took} ms"))
        }
        Err(error) => failed(&error),
    });
    findings.extend(probe.large.map(|passes| large(server, passes)));
    findings.extend(clocks(server, probe.date.as_deref(), Timestamp::now()));
    findings
}

/// Looks at the way to a server, without asking for anything there.
pub(super) async fn look_at_way(tunnel: &Tunnel) -> Vec<Finding> {
    let (probe, done) = Probe::way(&tunnel.server, &tunnel.route).await;
    let mut findings = seen(&tunnel.server, &probe);
    findings.extend(done.err().map(|error| failed(&error)));
    findings
}

/// Why there is no tunnel.
fn failed(error: &DialError) -> Finding {
    let advice = match error {
        DialError::Refused { .. } => "the server refused the tunnel, for the reason above",
        DialError::SpeaksTls { .. } => "correct the URL",
        DialError::Program { .. } => "see what the program of proxy-command says",
        DialError::NoWebSocket { .. } => {
            "check path and port; a proxy must forward the Upgrade header"
        }
        DialError::Connect(_) => "fix this first: nothing beyond it could be checked",
    };
    Finding::fail("tunnel", one_line(error), advice)
}

/// The way, and the server's certificate.
fn seen(server: &ServerUrl, probe: &Probe) -> Vec<Finding> {
    let mut findings = way(server, probe);
    if let Some(own) = probe.certificates.first() {
        let name = format!("the certificate of {}", server.host());
        findings.extend(files::dates(&name, &probe.certificates, files::now()));
        findings.push(names(server, &files::names(own)));
        if let Some(pin) = Pin::of(own) {
            findings.push(Finding::ok(
                "certificate-key",
                format!("its key is {pin}, as --pin takes it"),
            ));
        }
    }
    findings
}

/// Name, proxy and TCP.
fn way(server: &ServerUrl, probe: &Probe) -> Vec<Finding> {
    let mut findings = Vec::new();
    let way = &probe.way;
    if let Some(proxy) = &way.proxy {
        let through = if way.through { ", which connected" } else { "" };
        let text = format!("{server} is reached through proxy {proxy}{through}");
        findings.push(Finding::ok("proxy", text));
    }
    let whose = way.proxy.as_ref().map_or_else(|| server.host(), Clone::clone);
    // An address needs no lookup.
    if !way.addresses.is_empty() && whose.parse::<IpAddr>().is_err() {
        let addresses: Vec<_> = way.addresses.iter().map(|one| one.ip().to_string()).collect();
        findings.push(Finding::ok("name", format!("{whose} is {}", addresses.join(", "))));
    }
    let Some(Tcp { peer, took, path_mtu, segment }) = &way.tcp else { return findings };
    let micros = took.as_micros();
    let text = format!(
        "{peer} accepted the connection after {}.{} ms",
        micros / 1000,
        micros % 1000 / 100
    );
    findings.push(Finding::ok("tcp", text));
    if let Some(version) = &probe.tls_version {
        findings.push(Finding::ok("tls", format!("{} uses {version}", server.host())));
    }
    if let Some(segment) = *segment {
        let mtu = path_mtu.map_or_else(String::new, |mtu| format!(", MTU {mtu}"));
        let text = format!("the path to {peer} carries segments of {segment} octets{mtu}");
        let advice = "this only costs speed: frames of any size pass a tunnel, in pieces";
        findings.push(if segment < USUAL_SEGMENT {
            Finding::warn("path-mtu", text, advice)
        } else {
            Finding::ok("path-mtu", text)
        });
    }
    findings
}

/// Whether the server's certificate is for the name in the URL.
fn names(server: &ServerUrl, names: &[String]) -> Finding {
    let host = server.host();
    let check = "certificate-name";
    let shown = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
    if names.iter().any(|name| is_for(name, &host)) {
        return Finding::ok(check, format!("the certificate is for {shown}"));
    }
    let advice = "use one of its names in the URL, or have it reissued for this one";
    Finding::fail(check, format!("the certificate is for {shown}, not for {host}"), advice)
}

/// RFC 9525, 6.3: a `*` stands for the first label, whole.
fn is_for(name: &str, host: &str) -> bool {
    let same = name.eq_ignore_ascii_case(host);
    let wild = name.strip_prefix("*.").zip(host.split_once('.'));
    same || wild.is_some_and(|(rest, (_, domain))| rest.eq_ignore_ascii_case(domain))
}

/// A path that loses full-size packets lets handshakes pass, and nothing else.
fn large(server: &ServerUrl, passes: bool) -> Finding {
    let check = "large-packets";
    if passes {
        return Finding::ok(check, format!("full-size packets reach {}", server.host()));
    }
    Finding::fail(
        check,
        format!("full-size packets do not reach {}; small ones do", server.host()),
        "a router drops them silently (is ICMP filtered?): set sysctl \
         net.ipv4.tcp_mtu_probing=1 on both ends, or lower the MTU of the outgoing interface",
    )
}

/// The validity of certificates and tokens depends on the clock.
fn clocks(server: &ServerUrl, date: Option<&str>, now: Timestamp) -> Option<Finding> {
    let theirs = rfc2822::DateTimeParser::new().parse_timestamp(date?).ok()?;
    let ahead = now.as_second() - theirs.as_second();
    let host = server.host();
    if ahead.abs() <= CLOCKS_DIFFER {
        return (!is_loopback(&host)).then(|| {
            Finding::ok("clocks", format!("this machine's clock and that of {host} agree"))
        });
    }
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    let text = format!("this machine's clock is {} s {way} that of {host}", ahead.abs());
    let advice = "correct the wrong one, and synchronize it with systemd-timesyncd, chrony or ntpd";
    Some(Finding::warn("clocks", text, advice))
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    fn server() -> ServerUrl {
        ServerUrl::parse("wss://h.example/", Scheme::WebSocket).unwrap()
    }

    #[test]
    fn a_name_is_matched_as_tls_does() {
        for (name, matches) in [
            ("h.example", true),
            ("H.EXAMPLE", true),
            ("*.example", true),
            ("example", false),
            ("*.h.example", false),
        ] {
            assert_eq!(is_for(name, "h.example"), matches, "{name}");
        }
        assert!(!is_for("*.example", "a.b.example"));
        let finding = names(&server(), &["other".to_owned()]);
        assert_eq!(finding.level, Level::Fail);
        assert!(finding.text.contains("other, not for h.example"), "{finding:?}");
    }

    #[test]
    fn clocks_that_differ_are_reported() {
        let now = "2026-11-22T04:00:00Z".parse().unwrap();
        let of = |date| clocks(&server(), date, now);
        assert_eq!(of(Some("Sun, 22 Nov 2026 03:59:30 GMT")).unwrap().level, Level::Ok);
        let ahead = of(Some("Sun, 22 Nov 2026 02:00:00 GMT")).unwrap();
        assert!(ahead.level == Level::Warn && ahead.text.contains("7200 s ahead"), "{ahead:?}");
        assert_eq!(of(None), None);
        assert_eq!(of(Some("yesterday")), None);
    }

    #[test]
    fn no_answer_to_a_large_request_is_a_fault() {
        let level = |passes| large(&server(), passes).level;
        assert_eq!((level(true), level(false)), (Level::Ok, Level::Fail));
    }
}

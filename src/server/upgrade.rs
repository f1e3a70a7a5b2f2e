//! The tunnel service: checks a request that asks for an upgrade (RFC 6455, 4.2), and makes
//! a session port of its stream once it has been answered. How the request came and how the
//! answer is written is the edge's business (`http`).

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock, atomic::Ordering::Relaxed},
    time::Duration,
};

use actix_codec::{AsyncRead, AsyncWrite};
use actix_http::{
    StatusCode,
    header::{self, HeaderValue},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::BytesMut;
use etherws_actors::{
    error::one_line,
    holder::{Holder, INSTANCE_HEADER, Instance},
    kinds::{Session, SessionInfo, shown},
    links::{LINK_HEADER, LinkGrant, LinkRequest},
    message::DelPort,
    monitor::{Event, Kind},
    state::Stop,
    supervisor,
    tunnel::{SUBPROTOCOL, SUBPROTOCOL_HEADER, Wire},
};
use slog::{Logger, info, warn};

use super::{
    auth::Identity,
    counters::Count,
    endpoint::{Endpoint, Service, TunnelService},
    refusal::{Refusal, Refused},
    request::{Headers, Method, Request},
    sessions::Slot,
};

/// What a plain GET of the tunnel is told; the original's words.
pub(super) const NOT_A_WEBSOCKET: &str = "Can \"Upgrade\" only to \"WebSocket\".";

/// What a request for a WebSocket is told that forgets the one word.
pub(super) const NO_UPGRADE: &str = "\"Connection\" must be \"Upgrade\".";

/// Whether a request asks for an upgrade: `Connection` has the option, and not `close`.
pub(super) fn asks(headers: &Headers<'_>) -> bool {
    let lines = headers.all("connection").filter_map(|line| str::from_utf8(line).ok());
    let mut options = lines.flat_map(|line| line.split(',').map(str::trim));
    let mut upgrade = false;
    let closes = options.any(|option| {
        upgrade |= option.eq_ignore_ascii_case("upgrade");
        option.eq_ignore_ascii_case("close")
    });
    upgrade && !closes
}

/// Which handshakes may become tunnels.
#[derive(Debug, Default)]
pub(crate) struct Handshake {
    /// Origins besides the listener's own from which a browser may come; `*`: any.
    pub(crate) allowed_origins: Vec<String>,
    /// What tunnels carry at most.
    pub(crate) wire: Wire,
    /// Links that a client's port may have; fewer than 2: it is told of none.
    pub(crate) max_links: u8,
}

impl Handshake {
    /// Which link of a port `request` asks for, and what it is granted.
    fn link(&self, request: &Request<'_>, wire: Wire) -> Option<(LinkRequest, LinkGrant)> {
        let asked: LinkRequest = request.headers.text(LINK_HEADER)?.parse().ok()?;
        let grant = LinkGrant { of: asked.place.of.min(self.max_links), switch: own_id() };
        let may_be = wire != Wire::Plain && self.max_links > 1 && asked.place.number < grant.of;
        may_be.then_some((asked, grant))
    }

    /// Whether `request` may be upgraded, whoever has sent it (RFC 6455, 4.2.1 and 10.2).
    ///
    /// # Errors
    /// It is no handshake of WebSocket 13, or from a page elsewhere.
    pub(super) fn check(&self, request: &Request<'_>) -> Result<(), Refusal> {
        let headers = &request.headers;
        let refuse = |text| Err(Refusal::request(StatusCode::BAD_REQUEST, text));
        if request.method != Method::Get {
            return Err(Refusal::method("GET"));
        }
        let protocol = headers.text("upgrade").unwrap_or_default();
        if !protocol.to_ascii_lowercase().contains("websocket") {
            return refuse(NOT_A_WEBSOCKET);
        }
        if !asks(headers) {
            return refuse(NO_UPGRADE);
        }
        if headers.get("sec-websocket-version") != Some(b"13") {
            let text = "Only WebSocket version 13 (RFC 6455) is supported.";
            return Err(Refusal::request(StatusCode::UPGRADE_REQUIRED, text)
                .with(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
        }
        let key = headers.get("sec-websocket-key").filter(|key| key.len() == 24);
        if !key.is_some_and(|key| STANDARD.decode(key).is_ok_and(|octets| octets.len() == 16)) {
            return refuse("\"Sec-WebSocket-Key\" must be 16 octets in base64.");
        }
        if is_foreign(headers, &self.allowed_origins) {
            return Err(Refusal::new(Refused::Origin, "Cross origin websockets not allowed"));
        }
        Ok(())
    }
}

/// Whether a page from elsewhere has sent the request: a browser says where its page comes
/// from, which must be here or an origin that is allowed. Other programs say nothing.
pub(super) fn is_foreign(headers: &Headers<'_>, allowed: &[String]) -> bool {
    let Some(origin) = headers.get("origin") else { return false };
    let Ok(origin) = str::from_utf8(origin) else { return true };
    if allowed.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin)) {
        return false;
    }
    let own = headers.text("host").filter(|own| !own.is_empty());
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    !own.zip(authority).is_some_and(|(own, authority)| authority.eq_ignore_ascii_case(own))
}

/// By which a client sees that all links of a port lead to this switch: drawn once.
fn own_id() -> u128 {
    static ID: OnceLock<u128> = OnceLock::new();
    *ID.get_or_init(LinkGrant::random_switch)
}

/// A tunnel that a request is to become.
pub(super) struct Upgrade<'a> {
    service: &'a TunnelService,
    slot: Arc<Slot>,
    identity: Identity,
    peer: SocketAddr,
    /// Where lines about the session go.
    log: Logger,
    instance: Option<Instance>,
    /// What the tunnel carries.
    wire: Wire,
    /// Which link of its client's port it is, and what that may have.
    link: Option<(LinkRequest, LinkGrant)>,
    /// Whether the peer may be the original's client, which sends no `User-Agent`.
    original: bool,
}

/// The tunnel that `request` may become, and for whom. The password comes first, so that a
/// stranger learns nothing else.
///
/// # Errors
/// It may not be upgraded.
pub(super) async fn check<'a>(
    endpoint: &'a Endpoint,
    request: &Request<'_>,
) -> Result<Upgrade<'a>, Refusal> {
    let refuse = |text| Refusal::request(StatusCode::BAD_REQUEST, text);
    let (service, identity) = endpoint.admit(request).await?;
    let Service::Tunnel(service) = service else {
        return Err(refuse("Control does not upgrade."));
    };
    service.handshake.check(request)?;
    let no_address = || refuse("Tunnels are not served on a Unix socket.");
    let peer = request.peer.address().ok_or_else(no_address)?;
    // One of another form is a stranger's, and no reason to refuse him.
    let instance = request.headers.text(INSTANCE_HEADER).and_then(Instance::parse);
    let mut offers =
        request.headers.all(SUBPROTOCOL_HEADER).flat_map(|line| line.split(|&c| c == b','));
    let is_offered = offers.any(|name| name.trim_ascii() == SUBPROTOCOL.as_bytes());
    let wire = if is_offered { service.handshake.wire } else { Wire::Plain };
    let link = instance.and_then(|_| service.handshake.link(request, wire));
    let number = link.map_or(0, |(link, _)| link.place.number);
    let slot = Arc::new(service.sessions.slot(&identity, peer.ip(), instance, number)?);
    // Whoever was revoked between the two would be found by nobody.
    if service.gate.is_revoked(&identity) {
        return Err(Refusal::unauthorized().of_user(identity.name.clone()));
    }
    // Whoever came in by rules that count no longer is asked again.
    if endpoint.retired.load(Relaxed) {
        let text = "The configuration has just changed; try again";
        return Err(Refusal::later(Refused::Busy, text, Duration::ZERO));
    }
    let original = request.headers.get("user-agent").is_none();
    let log = endpoint.journal.of_session(request.peer, identity.name.as_deref());
    Ok(Upgrade { service, slot, identity, peer, log, instance, wire, link, original })
}

impl Upgrade<'_> {
    /// By which the peer's client port comes again: to be given back.
    pub(super) fn instance(&self) -> Option<Instance> {
        self.instance
    }

    /// What its client's port may have, if it asks for links: to be told in the answer.
    pub(super) fn grant(&self) -> Option<LinkGrant> {
        self.link.map(|(_, grant)| grant)
    }

    /// The subprotocol that is spoken from here on: to be named in the answer.
    pub(super) fn subprotocol(&self) -> Option<&'static str> {
        (self.wire == Wire::SuperFrames).then_some(SUBPROTOCOL)
    }

    /// Makes a session port of `io`, of which `read` was read already.
    pub(super) async fn begin<T>(self, endpoint: &Endpoint, io: T, read: BytesMut)
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let Self { service, slot, identity, peer, log, instance, wire, link, original } = self;
        // Nearly always nothing, in the 8 KiB into which the request was read.
        let read = BytesMut::from(&*read);
        let user = identity.name.clone();
        let holder = Holder { identity: identity.holder(peer.ip()).into(), user, instance };
        let (tls, holder) = (endpoint.tls, Some(holder));
        let info = SessionInfo { peer, tls, original, wire, link, holder };
        let session = Session::new(io, read, info).holding(Arc::clone(&slot));
        let own = service.join.as_ref().zip(identity.name.as_ref());
        let own = own.map(|(join, name)| join.users().settings(name)).unwrap_or_default();
        match supervisor::add_with(&service.switch, session, own, &log).await {
            Ok(port) => {
                endpoint.counters.add(Count::Sessions);
                endpoint.monitor.tell(|| {
                    let session = Event::new(Kind::Session).on(port);
                    session.text("user", &identity).text("peer", shown(peer))
                });
                info!(log, "session"; "port" => %port, "peer" => shown(peer), "user" => %identity);
                if !slot.set_port(port) {
                    service.switch.do_send(DelPort { port, stop: Stop::Unauthorized });
                }
            }
            Err(error) => {
                let reason = one_line(&error);
                warn!(log, "session without a port"; "peer" => shown(peer), "reason" => reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers<'a>(all: &[(&'a str, &'a str)]) -> Headers<'a> {
        all.iter().map(|(name, value)| (*name, value.as_bytes())).collect()
    }

    fn origin(origin: &str, host: &str, allowed: &[&str]) -> bool {
        let allowed: Vec<_> = allowed.iter().map(|&a| a.to_owned()).collect();
        !is_foreign(&headers(&[("origin", origin), ("host", host)]), &allowed)
    }

    #[test]
    fn an_origin_must_be_the_host_or_be_allowed() {
        assert!(origin("http://192.0.2.1:8088", "192.0.2.1:8088", &[]));
        assert!(origin("https://Switch.example", "switch.example", &[]));
        assert!(!origin("http://192.0.2.1:80", "192.0.2.1", &[]));
        assert!(!origin("http://evil.example", "192.0.2.1", &[]));
        assert!(!origin("null", "192.0.2.1", &[]));
        assert!(!origin("http://", "", &[]));
        assert!(!origin("http://192.0.2.1.evil.example", "192.0.2.1", &[]));
        assert!(!origin("http://user@evil.example", "evil.example", &[]));
        assert!(origin("https://copy.sh", "192.0.2.1", &["https://copy.sh"]));
        assert!(origin("null", "192.0.2.1", &["*"]));
    }

    #[test]
    fn no_origin_is_no_browser() {
        assert!(!is_foreign(&Headers::default(), &[]));
    }

    #[test]
    fn an_upgrade_is_an_option_of_the_connection() {
        for (values, wanted) in [
            (&["Upgrade"][..], true),
            (&["keep-alive, upgrade"], true),
            (&["keep-alive", "Upgrade"], true),
            (&["Upgrade, close"], false),
            (&["keep-alive"], false),
            (&["upgraded"], false),
            (&[], false),
        ] {
            let lines: Vec<_> = values.iter().map(|value| ("connection", *value)).collect();
            assert_eq!(asks(&headers(&lines)), wanted, "{values:?}");
        }
    }
}

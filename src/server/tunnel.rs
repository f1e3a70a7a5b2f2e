//! The tunnel service: checks an upgrade request (RFC 6455, 4.2), answers it, and
//! hands the stream to a session port.

use std::{sync::Arc, time::Instant};

use actix_codec::{AsyncRead, AsyncWrite, Encoder, Framed, FramedParts};
use actix_http::{
    HttpMessage, Request,
    body::BodySize,
    h1::{Codec, Message},
    header::{self, HeaderMap},
    ws::{self, HandshakeError},
};
use actix_web::http::{StatusCode, Uri};
use anyhow::Result;
use etherws_actors::{
    error::one_line,
    holder::{Holder, INSTANCE_HEADER, Instance},
    kinds::{Session, SessionInfo},
    message::DelPort,
    monitor::{Event, Kind},
    state::Stop,
    supervisor,
};
use slog::{info, warn};
use tokio::io::AsyncWriteExt;

use super::{
    Site, TunnelService, admit, counters::Refused, identity::Identity, peer::Peer,
    refusal::Refusal, tokens,
};

/// Answers a request that has `Connection: Upgrade`.
///
/// # Errors
/// The connection broke before a session began.
pub(super) async fn upgrade<T>(
    site: Arc<Site>,
    request: Request,
    framed: Framed<T, Codec>,
) -> Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let peer = request.peer_addr();
    let FramedParts { mut io, mut codec, read_buf, write_buf: mut out, .. } = framed.into_parts();
    let instance = instance(request.headers());
    let checked = check(&site, &request).await.and_then(|(service, identity)| {
        // A Unix socket has none, and no tunnel behind it.
        let no_address = || Refusal::request(StatusCode::BAD_REQUEST, "No address, no tunnel.");
        let peer = peer.ok_or_else(no_address)?;
        let seat = service.sessions.seat(&identity, peer.ip(), instance)?;
        Ok((service, Arc::new(seat), identity, peer))
    });
    let (service, seat, identity, peer) = match checked {
        Ok(checked) => checked,
        Err(refusal) => {
            site.refused(&refusal, peer, request.headers());
            refusal.encode(&mut codec, &mut out)?;
            io.write_all(&out).await?;
            io.shutdown().await?;
            return Ok(());
        }
    };
    let mut answer = ws::handshake_response(request.head());
    if let Some(instance) = instance {
        answer.insert_header((INSTANCE_HEADER, instance.to_string()));
    }
    let answer = answer.finish().drop_body();
    codec.encode(Message::Item((answer, BodySize::None)), &mut out)?;
    io.write_all(&out).await?;
    io.flush().await?;
    // All of the identity, and nothing that a name could forge.
    let who = || format!("{identity:?}").into();
    let holder = instance.map(|instance| Holder { identity: who(), instance });
    let user = identity.name.is_some().then(|| identity.to_string());
    let session = Session::new(
        io,
        read_buf,
        SessionInfo { peer, tls: site.tls, original: may_be_original(&request), holder, user },
    )
    .holding(Arc::clone(&seat));
    match supervisor::add(&service.switch, session, &site.log).await {
        Ok(port) => {
            site.counters.session();
            site.monitor.tell(|| {
                let session = Event::new(Kind::Session).on(port);
                session.text("user", &identity).text("peer", peer)
            });
            info!(site.log, "session"; "port" => %port, "peer" => %peer, "user" => %identity);
            if !seat.settle(port) {
                service.switch.do_send(DelPort { port, stop: Stop::Unauthorized });
            }
        }
        Err(error) => {
            warn!(site.log, "session has no port"; "peer" => %peer, "reason" => one_line(&error));
        }
    }
    Ok(())
}

/// Whether the peer may be the original's client, which sends no `User-Agent`.
fn may_be_original(request: &Request) -> bool {
    !request.headers().contains_key(header::USER_AGENT)
}

/// By which the peer's client port comes again. One of another form is a stranger's,
/// and no reason to refuse him.
fn instance(headers: &HeaderMap) -> Option<Instance> {
    headers.get(INSTANCE_HEADER)?.to_str().ok().and_then(Instance::parse)
}

/// The tunnel that `request` may be upgraded to, and for whom. The password comes
/// first, so that a stranger learns nothing else.
async fn check<'a>(
    site: &'a Site,
    request: &Request,
) -> Result<(&'a TunnelService, Identity), Refusal> {
    let (path, headers) = (request.path(), request.headers());
    admit::check_size(request.head())?;
    let peer = request.conn_data().unwrap_or(&Peer::UNKNOWN);
    if let Some(control) = site.control.as_ref().filter(|control| control.path == path) {
        control.guard.check(peer, headers)?;
        control.door.admit(request.head(), peer.certificate()?).await?;
        return Err(Refusal::request(StatusCode::BAD_REQUEST, "Control does not upgrade."));
    }
    let Some(tunnel) = site.tunnel.as_ref().filter(|tunnel| tunnel.path == path) else {
        return Err(Refusal::request(StatusCode::NOT_FOUND, "Not Found"));
    };
    let certificate = peer.certificate()?;
    let check_handshake = || {
        ws::verify_handshake(request.head()).map_err(handshake_refusal)?;
        check_origin(headers, &tunnel.allowed_origins)
    };
    if let Some(token) = tokens::in_query(request.uri().query()) {
        // A token is used up by nothing but a tunnel.
        check_handshake()?;
        let user = tunnel.tokens.redeem(token, Instant::now());
        let user = user.filter(|user| certificate.is_none_or(|shown| shown == user));
        return Ok((tunnel, user.map(Identity::token).ok_or_else(Refusal::unauthorized)?));
    }
    let identity = tunnel.door.admit(request.head(), certificate).await?;
    check_handshake()?;
    Ok((tunnel, identity))
}

fn handshake_refusal(error: HandshakeError) -> Refusal {
    match error {
        HandshakeError::GetMethodRequired => Refusal::method("GET"),
        HandshakeError::NoVersionHeader | HandshakeError::UnsupportedVersion => Refusal::request(
            StatusCode::UPGRADE_REQUIRED,
            "This is WebSocket version 13 (RFC 6455).",
        )
        .with(header::SEC_WEBSOCKET_VERSION, "13"),
        HandshakeError::NoConnectionUpgrade => {
            Refusal::request(StatusCode::BAD_REQUEST, "\"Connection\" must be \"Upgrade\".")
        }
        HandshakeError::BadWebsocketKey => Refusal::request(
            StatusCode::BAD_REQUEST,
            "\"Sec-WebSocket-Key\" must be 16 octets in base64.",
        ),
        _ => Refusal::request(StatusCode::BAD_REQUEST, super::http::NOT_A_WEBSOCKET),
    }
}

/// A browser says where its page comes from, and must come from here or from an
/// origin that is allowed (RFC 6455, 10.2). Other programs say nothing.
pub(super) fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), Refusal> {
    let text = "Cross origin websockets not allowed";
    let foreign = || Refusal::new(StatusCode::FORBIDDEN, text, Refused::Origin);
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().map_err(|_| foreign())?;
    if allowed.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin)) {
        return Ok(());
    }
    let own = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let uri: Uri = origin.parse().map_err(|_| foreign())?;
    match (uri.authority(), own) {
        (Some(authority), Some(own)) if authority.as_str().eq_ignore_ascii_case(own) => Ok(()),
        _ => Err(foreign()),
    }
}

/// Body of the fuzz target `upgrade`: what comes over a new connection, and the checks
/// that need no password.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    use actix_codec::Decoder as _;

    let mut buf = bytes::BytesMut::from(data);
    let Ok(Some(Message::Item(request))) = Codec::default().decode(&mut buf) else { return };
    let refusal = admit::check_size(request.head())
        .and_then(|()| ws::verify_handshake(request.head()).map_err(handshake_refusal))
        .and_then(|()| check_origin(request.headers(), &["https://allowed.example".to_owned()]))
        .err();
    let mut out = bytes::BytesMut::new();
    match refusal {
        Some(refusal) => refusal.encode(&mut Codec::default(), &mut out).expect("an answer"),
        None => {
            let answer = ws::handshake_response(request.head()).finish().drop_body();
            let item = Message::Item((answer, BodySize::None));
            Codec::default().encode(item, &mut out).expect("an answer");
        }
    }
    assert!(out.starts_with(b"HTTP/1."));
}

#[cfg(test)]
mod tests {
    use actix_http::header::HeaderValue;

    use super::*;

    fn origin(origin: &'static str, host: &'static str, allowed: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        headers.insert(header::HOST, HeaderValue::from_static(host));
        let allowed: Vec<_> = allowed.iter().map(|&a| a.to_owned()).collect();
        check_origin(&headers, &allowed).is_ok()
    }

    #[test]
    fn an_origin_must_be_the_host_or_be_allowed() {
        assert!(origin("http://192.0.2.1:8088", "192.0.2.1:8088", &[]));
        assert!(origin("https://Switch.example", "switch.example", &[]));
        assert!(!origin("http://192.0.2.1:80", "192.0.2.1", &[]));
        assert!(!origin("http://evil.example", "192.0.2.1", &[]));
        assert!(!origin("null", "192.0.2.1", &[]));
        assert!(!origin("http://192.0.2.1.evil.example", "192.0.2.1", &[]));
        assert!(!origin("http://user@evil.example", "evil.example", &[]));
        assert!(origin("https://copy.sh", "192.0.2.1", &["https://copy.sh"]));
        assert!(origin("null", "192.0.2.1", &["*"]));
    }

    #[test]
    fn no_origin_is_no_browser() {
        assert!(check_origin(&HeaderMap::new(), &[]).is_ok());
    }
}

//! Opening a tunnel: a connection, then the WebSocket handshake (RFC 6455, 4.1), after
//! which the stream goes on in our own framing.
//!
//! Stands between a client port's `open` and its link. Never follows a redirect:
//! a password would go wherever it points.

mod refusal;

use std::{cell::RefCell, future::Ready, io, path::Path, rc::Rc, sync::PoisonError};

use actix_http::{error::ParseError, ws::hash_key};
use actix_service::Service;
use actix_tls::connect::{ConnectInfo, Connection};
use awc::{
    Client, ClientBuilder, Connector,
    error::SendRequestError,
    http::{Uri, header},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::BytesMut;
use slog::{Discard, Logger, o};
use tokio::{
    io::AsyncWriteExt as _,
    time::{Instant, timeout_at},
};

pub use self::refusal::Answer;
use self::refusal::Asked;
use super::{
    answer::{Head, HeadError},
    credentials::{Credentials, Header},
    stream::{CONNECT_LIMIT, ConnectError, Route, Seen, Stream, connect_unix},
    tls::{self, TlsOptions},
    url::ServerUrl,
};
use crate::{
    core::{
        error::one_line,
        holder::{INSTANCE_HEADER, Instance},
        links::{LINK_HEADER, LinkRequest},
    },
    tunnel::{SUBPROTOCOL, SUBPROTOCOL_HEADER, Wire, codec::Role, link::WebSocket},
};

/// How we name ourselves. The original sends no such header: who does can answer
/// pings.
const USER_AGENT: &str = concat!("etherws/", env!("CARGO_PKG_VERSION"));

/// There is no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Not even a connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server answered, but not with 101.
    #[error("{url} refuses the tunnel: {answer}")]
    Refused {
        /// The server's URL.
        url: String,
        /// What it said, and the way out.
        answer: Answer,
    },
    /// We do not speak TLS, and the server does.
    #[error("{url}: this port speaks TLS; give {with_tls}")]
    SpeaksTls {
        /// The server's URL.
        url: String,
        /// The same for TLS.
        with_tls: String,
    },
    /// What the server sends is no WebSocket handshake.
    #[error("{url} does not answer as a WebSocket server; check its path and port")]
    NoWebSocket {
        /// The server's URL.
        url: String,
        /// What is wrong.
        source: NoWebSocket,
    },
    /// The way by a program, which has said something.
    #[error("proxy-command says {said:?}")]
    Program {
        /// Its last line.
        said: String,
        /// What we have seen of it.
        source: Box<DialError>,
    },
}

impl DialError {
    /// Whether the request may have been refused for its length.
    pub(super) fn is_about_length(&self) -> bool {
        matches!(self, Self::Refused { answer, .. } if matches!(answer.status, 400 | 413 | 414 | 431))
    }
}

/// What is wrong with a handshake.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoWebSocket(String);

/// What a request for a tunnel says besides the server's URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TunnelRequest {
    /// Who we are.
    pub credentials: Option<Credentials>,
    /// The name that the server is called by; by default that of its URL.
    pub host: Option<String>,
    /// Further headers.
    pub headers: Vec<Header>,
    /// What the tunnel's messages may be at most.
    pub wire: Wire,
    /// Which link of a port it is to be.
    pub link: Option<LinkRequest>,
}

/// Opens a tunnel to `server`, which learns by `instance` whether we come again. A
/// server of ours says so, and is pinged: others break the connection at a ping.
///
/// # Errors
/// See [`DialError`]. It gives up after ten seconds.
pub async fn dial(
    server: &ServerUrl,
    request: &TunnelRequest,
    instance: Instance,
    route: &Route,
) -> Result<WebSocket<Stream>, DialError> {
    let deadline = Instant::now() + CONNECT_LIMIT;
    let mut seen = Seen::default();
    let opened = async {
        let stream = route.connect_until(server, deadline, &mut seen).await?;
        upgrade(stream, server, request, instance, route, deadline, &mut None).await
    };
    opened.await.map_err(|error| explained(error, &seen))
}

/// With what a program has said of it.
pub(super) fn explained(error: DialError, seen: &Seen) -> DialError {
    match seen.said.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(said) => DialError::Program { said, source: Box::new(error) },
        None => error,
    }
}

/// The WebSocket handshake on a connection to `server`. `date` becomes its answer's `Date`.
pub(super) async fn upgrade(
    mut stream: Stream,
    server: &ServerUrl,
    request: &TunnelRequest,
    instance: Instance,
    route: &Route,
    deadline: Instant,
    date: &mut Option<String>,
) -> Result<WebSocket<Stream>, DialError> {
    let url = || server.to_string();
    let asked = Asked { server, request, tls: &route.tls };
    let shaken = async {
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(|error| HeadError::Lost(io::Error::other(error)))?;
        let key = BASE64_STANDARD.encode(key);
        stream.write_all(head(server, request, instance, &key).as_bytes()).await?;
        stream.flush().await?;
        let head = Head::read(&mut stream).await?;
        *date = head.get("date").map(str::to_owned);
        let words = if head.status == 101 { None } else { head.words(&mut stream).await };
        Ok((head, words, key))
    };
    let source = match timeout_at(deadline, shaken).await {
        Ok(Ok((head, _, key))) if head.status == 101 => match what_is_wrong(&head, &key, request) {
            None => {
                let tunnel = WebSocket::new(stream, Role::Client, BytesMut::new());
                if head.get(INSTANCE_HEADER).and_then(Instance::parse) != Some(instance) {
                    // Somebody else's: it may give back any subprotocol.
                    return Ok(tunnel);
                }
                let is_spoken = head.has_token(SUBPROTOCOL_HEADER, SUBPROTOCOL);
                let wire = if is_spoken { request.wire } else { Wire::Plain };
                let grant = head.get(LINK_HEADER).and_then(|grant| grant.parse().ok());
                let grant = grant.filter(|_| request.link.is_some() && wire != Wire::Plain);
                return Ok(tunnel.with_pings().with_wire(wire).with_grant(grant));
            }
            Some(wrong) => wrong,
        },
        Ok(Ok((head, words, _))) => {
            return Err(DialError::Refused { url: url(), answer: asked.refused(&head, words) });
        }
        Ok(Err(HeadError::Lost(cause))) if tls::is_refusal(&cause) => {
            let advice = tls::advice(&cause, &route.tls);
            return Err(ConnectError::Handshake { url: url(), advice, cause }.into());
        }
        Ok(Err(error)) => {
            // Many servers end a connection on which TLS was to begin without a word.
            let silent = matches!(error, HeadError::Ended | HeadError::Lost(_));
            drop(stream);
            if !server.tls()
                && (matches!(error, HeadError::Tls)
                    || silent && speaks_tls(server, route, deadline).await)
            {
                let with_tls = server.with_tls().to_string();
                return Err(DialError::SpeaksTls { url: url(), with_tls });
            }
            one_line(&error)
        }
        Err(_) => return Err(ConnectError::Timeout { url: url() }.into()),
    };
    Err(DialError::NoWebSocket { url: url(), source: NoWebSocket(source) })
}

/// The request: what every server takes, in the usual spelling.
fn head(server: &ServerUrl, request: &TunnelRequest, instance: Instance, key: &str) -> String {
    let host = request.host.as_deref().unwrap_or_else(|| server.authority());
    let mut head = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{INSTANCE_HEADER}: {instance}\r\n",
        server.target()
    );
    if request.wire == Wire::SuperFrames {
        head.push_str(&format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"));
        if let Some(link) = request.link {
            head.push_str(&format!("{LINK_HEADER}: {link}\r\n"));
        }
    }
    if !request.headers.iter().any(|header| header.is("user-agent")) {
        head.push_str(&format!("User-Agent: {USER_AGENT}\r\n"));
    }
    if let Some(credentials) = &request.credentials {
        head.push_str(&format!("Authorization: {}\r\n", credentials.basic()));
    }
    for header in &request.headers {
        head.push_str(&format!("{header}\r\n"));
    }
    head + "\r\n"
}

/// RFC 6455, 4.1: what of a 101 fails the connection.
fn what_is_wrong(head: &Head, key: &str, request: &TunnelRequest) -> Option<String> {
    let accept = head.get("sec-websocket-accept");
    let unasked = |name: &'static str| head.all(name).find(|value| !value.is_empty());
    if !head.has_token("upgrade", "websocket") {
        Some("its answer 101 does not upgrade to websocket".to_owned())
    } else if !head.has_token("connection", "upgrade") {
        Some("its answer 101 has no Connection: Upgrade".to_owned())
    } else if accept.is_none() {
        Some("Missing Sec-WebSocket-Accept header".to_owned())
    } else if accept.map(str::as_bytes) != Some(&hash_key(key.as_bytes())) {
        Some("the Sec-WebSocket-Accept header does not match our key".to_owned())
    } else if let Some(extension) = unasked("sec-websocket-extensions") {
        Some(format!("it uses the extension {extension:?}, which nobody has offered"))
    } else {
        let offered = (request.wire == Wire::SuperFrames).then_some(SUBPROTOCOL);
        let unoffered = |protocol: &&str| Some(*protocol) != offered;
        unasked(SUBPROTOCOL_HEADER).filter(unoffered).map(|protocol| {
            format!("it speaks the subprotocol {protocol:?}, which nobody has offered")
        })
    }
}

/// Whether TLS can be spoken with a server that was asked without.
async fn speaks_tls(server: &ServerUrl, route: &Route, deadline: Instant) -> bool {
    let tls =
        TlsOptions { insecure: true, certificate: None, pins: Vec::new(), ..route.tls.clone() };
    let route = Route { tls, log: Logger::root(Discard, o!()), ..route.clone() };
    match route.connect_until(&server.with_tls(), deadline, &mut Seen::default()).await {
        Ok(_) => true,
        Err(ConnectError::Handshake { cause, .. }) => tls::is_alert(&cause),
        Err(_) => false,
    }
}

/// What to do about a request that failed, if it did because the server has refused
/// our certificate, or the lack of one.
#[must_use]
pub fn certificate_advice(error: &SendRequestError, options: &TlsOptions) -> Option<String> {
    match error {
        SendRequestError::Send(error) | SendRequestError::Response(ParseError::Io(error)) => {
            tls::is_refusal(error).then(|| tls::advice(error, options))
        }
        _ => None,
    }
}

/// An HTTP client on one new connection to `server`, and the URI to ask it for: that
/// is plain `http` whatever the server's URL says, since TLS is spoken already.
/// When the server has ended the connection, its requests fail.
///
/// # Errors
/// See [`ConnectError`].
pub async fn http_client(server: &ServerUrl, route: &Route) -> Result<(Client, Uri), ConnectError> {
    let stream = route.connect(server).await?;
    let client = builder(stream).add_default_header((header::USER_AGENT, USER_AGENT)).finish();
    Ok((client, uri("http", server)))
}
/// The same on a Unix socket. The URI's path is `target`.
///
/// # Errors
/// See [`ConnectError`].
pub async fn unix_http_client(path: &Path, target: &str) -> Result<(Client, Uri), ConnectError> {
    let stream = connect_unix(path).await?;
    let client = builder(stream).add_default_header((header::USER_AGENT, USER_AGENT)).finish();
    let uri = Uri::builder().scheme("http").authority("localhost").path_and_query(target);
    Ok((client, uri.build().unwrap_or_default()))
}

fn uri(scheme: &str, server: &ServerUrl) -> Uri {
    Uri::builder()
        .scheme(scheme)
        .authority(server.authority())
        .path_and_query(server.target())
        .build()
        // `ServerUrl` holds nothing that these refuse; awc would name the lack.
        .unwrap_or_default()
}

fn builder(stream: Stream) -> ClientBuilder<Established> {
    let connector = Connector::new()
        .connector(Established(Rc::new(RefCell::new(Some(stream)))))
        .timeout(CONNECT_LIMIT);
    Client::builder()
        .connector(connector)
        .timeout(CONNECT_LIMIT)
        .no_default_headers()
        .disable_redirects()
}

/// Gives awc the connection that is there already.
#[derive(Clone)]
struct Established(Rc<RefCell<Option<Stream>>>);

impl Service<ConnectInfo<Uri>> for Established {
    type Response = Connection<Uri, Stream>;
    type Error = actix_tls::connect::ConnectError;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    actix_service::always_ready!();

    fn call(&self, info: ConnectInfo<Uri>) -> Self::Future {
        std::future::ready(match self.0.take() {
            Some(stream) => Ok(Connection::new(info.request().clone(), stream)),
            None => Err(actix_tls::connect::ConnectError::Io(io::ErrorKind::NotConnected.into())),
        })
    }
}

#[cfg(test)]
mod tests;

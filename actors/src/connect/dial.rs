//! Opening a tunnel: a connection, then the WebSocket handshake (RFC 6455, 4.1) by
//! awc, whose stream we go on with in our own framing.
//!
//! Stands between a client port's `open` and its link. Never follows a redirect:
//! a password would go wherever it points.

use std::{cell::RefCell, fmt, future::Ready, path::Path, rc::Rc};

use actix_http::error::ParseError;
use actix_service::Service;
use actix_tls::connect::{ConnectInfo, Connection};
use awc::{
    BoxedSocket, Client, ClientBuilder, ConnectRequest, ConnectResponse, Connector,
    error::{SendRequestError, WsClientError},
    http::{StatusCode, Uri, header},
    middleware::Transform,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::future::LocalBoxFuture;
use tokio::time::{Instant, timeout_at};

use super::{
    stream::{CONNECT_LIMIT, ConnectError, Route, Stream, connect_unix},
    tls,
    url::ServerUrl,
};
use crate::{
    connect::Credentials,
    core::holder::{INSTANCE_HEADER, Instance},
    tunnel::{codec::Role, link::WebSocket},
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
    /// The server says 101, but what it sends is no WebSocket handshake.
    #[error("{url} does not answer as a WebSocket server; check its path and port")]
    NoWebSocket {
        /// The server's URL.
        url: String,
        /// What is wrong.
        source: NoWebSocket,
    },
}

/// A server's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Where it redirects to.
    pub location: Option<String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, location } = self;
        let reason = StatusCode::from_u16(*status).ok().and_then(|s| s.canonical_reason());
        write!(f, "{status} {}", reason.unwrap_or("without a reason"))?;
        match (status, location) {
            (300..=399, Some(location)) => {
                write!(f, ", it points to {location:?}; give that URL if it is the one you mean")
            }
            (429, _) => f.write_str(
                "; it has too many sessions, or too many failed logins came from this address: \
                 wait a minute, then check the user and the password",
            ),
            (401, _) => f.write_str("; check the user (--user) and the password"),
            (403, _) => f.write_str(
                "; the server may require a client certificate (--cert FILE and --key FILE), or a \
                 proxy forbids it",
            ),
            (404, _) => f.write_str("; check the path"),
            (400 | 405 | 426, _) => f.write_str("; check that path and port are a tunnel's"),
            (500..=599, _) => f.write_str("; try again later, or see the server's log"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Answer {}

/// What is wrong with a handshake.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoWebSocket(String);

/// Opens a tunnel to `server`, which learns by `instance` whether we come again. A
/// server of ours says so, and is pinged: others break the connection at a ping.
///
/// # Errors
/// See [`DialError`]. It gives up after ten seconds.
pub async fn dial(
    server: &ServerUrl,
    credentials: Option<&Credentials>,
    instance: Instance,
    route: &Route,
) -> Result<WebSocket<BoxedSocket>, DialError> {
    let deadline = Instant::now() + CONNECT_LIMIT;
    let stream = route.connect(server).await?;
    upgrade(stream, server, credentials, instance, deadline).await
}

/// The WebSocket handshake on a connection to `server`.
pub(super) async fn upgrade(
    stream: Stream,
    server: &ServerUrl,
    credentials: Option<&Credentials>,
    instance: Instance,
    deadline: Instant,
) -> Result<WebSocket<BoxedSocket>, DialError> {
    let url = || server.to_string();
    let mut request = builder(stream)
        .disable_timeout() // `deadline` is the limit
        .wrap(RefusalsAreErrors)
        .finish()
        .ws(uri("ws", server))
        .set_header(header::USER_AGENT, USER_AGENT)
        .set_header(INSTANCE_HEADER, instance.to_string())
        .set_camel_case_headers(true);
    if let Some(credentials) = credentials {
        request = request.set_header(header::AUTHORIZATION, basic(credentials));
    }
    let answer = timeout_at(deadline, request.connect());
    match answer.await {
        Ok(Ok((response, framed))) => {
            let parts = framed.into_parts();
            let tunnel = WebSocket::new(parts.io, Role::Client, parts.read_buf);
            let echoed = response.headers().get(INSTANCE_HEADER).and_then(|id| id.to_str().ok());
            let is_ours = echoed.and_then(Instance::parse) == Some(instance);
            Ok(if is_ours { tunnel.with_pings() } else { tunnel })
        }
        Ok(Err(WsClientError::SendRequest(SendRequestError::Custom(error, _)))) => {
            match error.downcast::<Answer>() {
                Ok(answer) => Err(DialError::Refused { url: url(), answer: *answer }),
                Err(error) => Err(DialError::NoWebSocket {
                    url: url(),
                    source: NoWebSocket(error.to_string()),
                }),
            }
        }
        Ok(Err(WsClientError::SendRequest(
            SendRequestError::Send(source) | SendRequestError::Response(ParseError::Io(source)),
        ))) if tls::is_refusal(&source) => {
            let advice = tls::advice(&source);
            Err(ConnectError::Handshake { url: url(), advice, source }.into())
        }
        Ok(Err(error)) => {
            let source = NoWebSocket(what(&error));
            Err(DialError::NoWebSocket { url: url(), source })
        }
        Err(_) => Err(ConnectError::Timeout { url: url() }.into()),
    }
}

/// Says what awc leaves to its `Debug`.
fn what(error: &WsClientError) -> String {
    match error {
        WsClientError::InvalidChallengeResponse(..) => {
            "the Sec-WebSocket-Accept header does not match our key".to_owned()
        }
        WsClientError::SendRequest(SendRequestError::Send(error)) => error.to_string(),
        WsClientError::SendRequest(SendRequestError::Response(error)) => error.to_string(),
        WsClientError::SendRequest(SendRequestError::Connect(
            awc::error::ConnectError::Disconnected,
        )) => "it ended the connection without an answer".to_owned(),
        error => error.to_string(),
    }
}

/// What to do about a request that failed, if it did because the server has refused
/// our certificate, or the lack of one.
#[must_use]
pub fn certificate_advice(error: &SendRequestError) -> Option<&'static str> {
    match error {
        SendRequestError::Send(error) | SendRequestError::Response(ParseError::Io(error)) => {
            tls::is_refusal(error).then(|| tls::advice(error))
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

/// The value of an `Authorization` header (RFC 7617, 2).
fn basic(Credentials { user, password }: &Credentials) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
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
            None => {
                Err(actix_tls::connect::ConnectError::Io(std::io::ErrorKind::NotConnected.into()))
            }
        })
    }
}

/// Turns a refusal into an [`Answer`], with what awc drops: where a redirect
/// points.
struct RefusalsAreErrors;

impl<S> Transform<S, ConnectRequest> for RefusalsAreErrors
where
    S: Service<ConnectRequest, Response = ConnectResponse, Error = SendRequestError>,
    S::Future: 'static,
{
    type Transform = RefusalsAreErrorsService<S>;

    fn new_transform(self, service: S) -> Self::Transform {
        RefusalsAreErrorsService { service }
    }
}

struct RefusalsAreErrorsService<S> {
    service: S,
}

impl<S> Service<ConnectRequest> for RefusalsAreErrorsService<S>
where
    S: Service<ConnectRequest, Response = ConnectResponse, Error = SendRequestError>,
    S::Future: 'static,
{
    type Response = ConnectResponse;
    type Error = SendRequestError;
    type Future = LocalBoxFuture<'static, Result<ConnectResponse, SendRequestError>>;

    actix_service::forward_ready!(service);

    fn call(&self, request: ConnectRequest) -> Self::Future {
        let response = self.service.call(request);
        Box::pin(async move {
            let response = response.await?;
            match &response {
                ConnectResponse::Tunnel(head, _)
                    if head.status != StatusCode::SWITCHING_PROTOCOLS =>
                {
                    let location = head.headers.get(header::LOCATION);
                    let answer = Answer {
                        status: head.status.as_u16(),
                        location: location
                            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
                    };
                    Err(SendRequestError::Custom(answer.into(), Box::new("refused")))
                }
                _ => Ok(response),
            }
        })
    }
}

#[cfg(test)]
mod tests;

//! The edge where HTTP/1.1 comes in, by actix-http: makes our own [`Request`] of what it has
//! read, asks what is to become of it, and writes the answer. The one place that knows
//! requests of actix; decides nothing itself.

use std::{
    borrow::Cow,
    cell::RefCell,
    fmt::{Debug, Display},
    pin::Pin,
    rc::{Rc, Weak},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};

use actix_codec::{Encoder as _, Framed, FramedParts};
use actix_http::{
    HttpService, Request as Http1, RequestHead, Response, StatusCode,
    body::{BodySize, BoxBody, MessageBody},
    h1::{Codec, ExpectHandler, H1Service, Message},
    ws,
};
use actix_rt::net::ActixStream;
use actix_service::{ServiceFactory, fn_service, map_config};
use actix_web::{
    App, HttpRequest, HttpResponse,
    dev::AppConfig,
    http::{self, ConnectionType},
    web::{self, Bytes, Data, Payload},
};
use anyhow::{Result, anyhow};
use bytes::BytesMut;
use etherws_actors::{
    holder::INSTANCE_HEADER, links::LINK_HEADER, settings::Role, tunnel::SUBPROTOCOL_HEADER,
};
use futures_util::StreamExt as _;
use slog::debug;
use tokio::io::AsyncWriteExt as _;

use super::{
    auth::{Gate, Identity},
    endpoint::{ControlService, Endpoint, Service},
    guard::check_content_type,
    join,
    peer::{self, Client, Ends, Peer},
    pending::Place,
    refusal::Refusal,
    request::{Headers, Method, Request},
    status::Status,
    upgrade,
};
use crate::{
    api::{self, call::Caller},
    options::Roles,
};

/// Time for a client to send a whole request head, as actix's default: also what
/// ends a connection that says nothing.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may be idle between two requests, as actix's default: `ctl`
/// has one request, and a script that asks now and then opens another.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Longest JSON-RPC request, in octets: a thousand times a usual one.
const MAX_REQUEST: usize = 1024 * 1024;

/// The same of who may only look: most of what is longer is not for him.
const MAX_VIEW: usize = 64 * 1024;

/// Time for a request's body to arrive: 1 MiB at 1 Mbit/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The service of this thread's connections, which is there only while one of them uses it: for
/// the date in its answers actix reads the clock twice a second.
#[derive(Debug)]
pub(super) struct InUse<M, F: ServiceFactory<R>, R> {
    make: M,
    service: RefCell<Weak<F::Service>>,
}

impl<M, F, R> InUse<M, F, R>
where
    M: Fn() -> F,
    F: ServiceFactory<R, Config = (), InitError = ()>,
{
    pub(super) const fn new(make: M) -> Self {
        Self { make, service: RefCell::new(Weak::new()) }
    }

    /// The service for a connection, to be kept as long as that.
    ///
    /// # Errors
    /// Never in practice: actix's factories could fail, ours have nothing to.
    pub(super) async fn service(&self) -> Result<Rc<F::Service>> {
        if let Some(service) = self.service.borrow().upgrade() {
            return Ok(service);
        }
        let service = (self.make)().new_service(()).await;
        let service = Rc::new(service.map_err(|()| anyhow!("the HTTP service cannot start"))?);
        *self.service.borrow_mut() = Rc::downgrade(&service);
        Ok(service)
    }
}

/// The HTTP/1.1 service for `endpoint` over streams of type `T`.
#[expect(clippy::type_complexity, reason = "actix has no shorter name for it")]
pub(super) fn service<T>(
    endpoint: Arc<Endpoint>,
) -> H1Service<
    Client<T>,
    impl ServiceFactory<
        Http1,
        Config = (),
        Response: Into<Response<BoxBody>>,
        Error: Into<Response<BoxBody>>,
        InitError: Debug,
        Future: 'static,
    >,
    BoxBody,
    ExpectHandler,
    impl ServiceFactory<
        (Http1, Framed<Client<T>, Codec>),
        Config = (),
        Response = (),
        Error: Display + Into<Response<BoxBody>>,
        InitError: Debug,
        Future: 'static,
    >,
>
where
    T: ActixStream + 'static,
{
    let app =
        App::new().app_data(Data::new(Arc::clone(&endpoint))).default_service(web::to(answer));
    let upgrades = fn_service(move |(request, framed): (Http1, Framed<Client<T>, Codec>)| {
        let endpoint = Arc::clone(&endpoint);
        async move {
            if let Err(error) = upgrade(&endpoint, request, framed).await {
                debug!(endpoint.log, "connection failed"; "error" => %error);
            }
            Ok::<_, actix_http::Error>(())
        }
    });
    HttpService::build()
        .client_request_timeout(REQUEST_TIMEOUT)
        .keep_alive(KEEP_ALIVE)
        .on_connect_ext(peer::keep)
        .upgrade(upgrades)
        .h1(map_config(app, |_| AppConfig::default()))
}

impl<'a> Request<'a> {
    /// What actix has read of `peer`.
    fn of(head: &'a RequestHead, headers: Headers<'a>, peer: &'a Peer) -> Self {
        let method = match head.method {
            http::Method::GET => Method::Get,
            http::Method::HEAD => Method::Head,
            http::Method::POST => Method::Post,
            _ => Method::Other,
        };
        Self { method, path: head.uri.path(), query: head.uri.query(), headers, peer }
    }
}

/// The headers that actix has read.
fn headers(head: &RequestHead) -> Headers<'_> {
    head.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

/// Of whom nothing is known, which cannot be: every stream is described.
static NOBODY: Peer = Peer::at(Ends::Gone);

/// Who has sent a request over a connection of which this is known: its client, or that of a
/// proxy. From here on the connection counts for it.
fn sender<'a>(
    endpoint: &Endpoint,
    connection: Option<&'a Peer>,
    place: Option<&Place>,
    headers: &Headers<'_>,
) -> Cow<'a, Peer> {
    let peer = endpoint.proxies.client(connection.unwrap_or(&NOBODY), headers);
    if let (Cow::Owned(peer), Some(place)) = (&peer, place) {
        place.belongs_to(peer.source());
    }
    peer
}

/// Answers a request that has `Connection: Upgrade`.
///
/// # Errors
/// The connection broke before a session began.
async fn upgrade<T: ActixStream + 'static>(
    endpoint: &Endpoint,
    request: Http1,
    framed: Framed<Client<T>, Codec>,
) -> Result<()> {
    let headers = headers(request.head());
    let peer = sender(endpoint, request.conn_data(), request.conn_data(), &headers);
    let FramedParts { mut io, mut codec, read_buf, write_buf: mut out, .. } = framed.into_parts();
    match upgrade::check(endpoint, &Request::of(request.head(), headers, &peer)).await {
        Ok(tunnel) => {
            let mut answer = ws::handshake_response(request.head());
            if let Some(instance) = tunnel.instance() {
                answer.insert_header((INSTANCE_HEADER, instance.to_string()));
            }
            if let Some(grant) = tunnel.grant() {
                answer.insert_header((LINK_HEADER, grant.to_string()));
            }
            if let Some(subprotocol) = tunnel.subprotocol() {
                answer.insert_header((SUBPROTOCOL_HEADER, subprotocol));
            }
            let answer = answer.finish().drop_body();
            codec.encode(Message::Item((answer, BodySize::None)), &mut out)?;
            io.write_all(&out).await?;
            io.flush().await?;
            tunnel.begin(endpoint, io, read_buf).await;
        }
        Err(refusal) => {
            refusal.report(endpoint, &peer);
            refusal.encode(&mut codec, &mut out)?;
            io.write_all(&out).await?;
            io.shutdown().await?;
        }
    }
    Ok(())
}

/// Answers any other request. Paths are compared exactly, as the original does, and not as
/// patterns.
async fn answer(
    http: HttpRequest,
    endpoint: Data<Arc<Endpoint>>,
    mut unread: Payload,
) -> HttpResponse {
    let headers = headers(http.head());
    let peer = sender(&endpoint, http.conn_data(), http.conn_data(), &headers);
    let request = Request::of(http.head(), headers, &peer);
    let answered = respond(&endpoint, &request, &mut unread).await;
    let mut response = answered.unwrap_or_else(|refusal| {
        refusal.report(&endpoint, &peer);
        refusal.into()
    });
    if endpoint.retired.load(Relaxed) {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response.map_body(|_, body| Last { body, _unread: unread }.boxed())
}

/// An answer's body with what was not read of its request. While that is kept, actix reads no
/// more of it and ends the connection behind the answer; if it were dropped, actix would read a
/// chunked one for as long as it goes on.
struct Last {
    body: BoxBody,
    _unread: Payload,
}

impl MessageBody for Last {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.body.as_pin_mut().poll_next(cx)
    }
}

async fn respond(
    endpoint: &Arc<Endpoint>,
    request: &Request<'_>,
    body: &mut Payload,
) -> Result<HttpResponse, Refusal> {
    match endpoint.admit(request).await? {
        (Service::Control(control), identity) => {
            let caller = control.caller(&identity, request).await;
            call(control, &caller, request, body).await
        }
        (Service::Tunnel(_), _) if !request.reads() => Err(Refusal::method("GET")),
        (Service::Tunnel(_), _) => {
            let upgrades = request.headers.get("upgrade").is_some();
            let text = if upgrades { upgrade::NO_UPGRADE } else { upgrade::NOT_A_WEBSOCKET };
            Err(Refusal::request(StatusCode::BAD_REQUEST, text))
        }
        (Service::Health(..), _) if !request.reads() => Err(Refusal::method("GET, HEAD")),
        (Service::Health(health, probe), _) => Ok(health.answer(probe).await),
        (Service::Join(_), _) if request.method != Method::Post => Err(Refusal::method("POST")),
        (Service::Join(join), _) => {
            join.check(request)?;
            let body = read(body, join::MAX_BODY).await?;
            join.answer(endpoint, request, body).await
        }
        (Service::Resource(..), _) if !request.reads() => Err(Refusal::method("GET, HEAD")),
        (Service::Resource(control, resource), identity) => {
            let roles = control.status.roles();
            let caller = control.caller(&identity, request).await;
            let response = resource.get(control, &caller, request).await?;
            Ok(response.map_body(|_, body| {
                let (endpoint, gate) = (Arc::clone(endpoint), Arc::clone(&control.gate));
                let head = request.method == Method::Head;
                let status = Arc::clone(&control.status);
                Permitted { body, endpoint, gate, status, roles, identity, head }.boxed()
            }))
        }
    }
}

/// Answers a call of JSON-RPC.
async fn call(
    control: &ControlService,
    caller: &Caller,
    request: &Request<'_>,
    body: &mut Payload,
) -> Result<HttpResponse, Refusal> {
    if request.method != Method::Post {
        return Err(Refusal::method("POST"));
    }
    check_content_type(&request.headers)?;
    let program = control.program(caller);
    let reply = match caller.role {
        None => Some(api::deny(&program)),
        Some(Role::Read) => api::handle(&program, read(body, MAX_VIEW).await?).await,
        Some(_) => api::handle(&program, read(body, MAX_REQUEST).await?).await,
    };
    Ok(match reply {
        Some(reply) => {
            HttpResponse::Ok().content_type("application/json; charset=UTF-8").body(reply)
        }
        None => HttpResponse::NoContent().finish(),
    })
}

/// The body of an answer that may go on for long, for as long as its reader may read it:
/// while the user is known, and the listener serves as it did. Looked at before anything
/// is given, so that nothing goes to a user who was removed.
struct Permitted {
    body: BoxBody,
    endpoint: Arc<Endpoint>,
    gate: Arc<Gate>,
    status: Arc<Status>,
    /// As they were when it began: other roles may not allow it, so whoever reads it asks again.
    roles: Arc<Roles>,
    identity: Identity,
    /// Only the head of the answer is wanted.
    head: bool,
}

impl Permitted {
    fn may_go_on(&self) -> bool {
        !self.head
            && !self.endpoint.retired.load(Relaxed)
            && Arc::ptr_eq(&self.roles, &self.status.roles())
            && self.gate.knows(&self.identity)
    }
}

impl MessageBody for Permitted {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.may_go_on() { self.body.as_pin_mut().poll_next(cx) } else { Poll::Ready(None) }
    }
}

/// The body of a request whose sender may ask, of up to `limit` octets: nobody else's is kept.
async fn read(body: &mut Payload, limit: usize) -> Result<Bytes, Refusal> {
    let all = async {
        let mut all = BytesMut::new();
        while let Some(piece) = body.next().await {
            let text = "The request's body ended early";
            let piece = piece.map_err(|_| Refusal::request(StatusCode::BAD_REQUEST, text))?;
            if all.len() + piece.len() > limit {
                let text = format!("Requests are limited to {} KiB", limit / 1024);
                return Err(Refusal::request(StatusCode::PAYLOAD_TOO_LARGE, text));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    };
    let late = "The request's body did not arrive within 10 s";
    let late = |_| Refusal::request(StatusCode::REQUEST_TIMEOUT, late);
    actix_rt::time::timeout(BODY_TIMEOUT, all).await.map_err(late)?
}

/// Body of the fuzz target `upgrade`: what comes over a new connection, and the checks
/// that need no password.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    use actix_codec::Decoder as _;

    let mut buf = BytesMut::from(data);
    let Ok(Some(Message::Item(http))) = Codec::default().decode(&mut buf) else { return };
    let headers = headers(http.head());
    let peer = Peer::at(Ends::Unix(None));
    let proxies = crate::options::Proxies { unix: true, ..Default::default() };
    let peer = proxies.client(&peer, &headers);
    let request = Request::of(http.head(), headers, &peer);
    let allowed_origins = vec!["https://allowed.example".to_owned()];
    let handshake = upgrade::Handshake { allowed_origins, ..Default::default() };
    let checked = request.check_size().and_then(|()| handshake.check(&request));
    let mut out = BytesMut::new();
    match checked {
        Err(refusal) => refusal.encode(&mut Codec::default(), &mut out).expect("an answer"),
        Ok(()) => {
            let answer = ws::handshake_response(http.head()).finish().drop_body();
            let item = Message::Item((answer, BodySize::None));
            Codec::default().encode(item, &mut out).expect("an answer");
        }
    }
    assert!(out.starts_with(b"HTTP/1."));
}

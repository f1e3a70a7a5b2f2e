//! The HTTP side: two services, the tunnel and control, on one listener or two.
//!
//! A request that asks for an upgrade comes to `tunnel`, every other to `http`;
//! both find their service by path, and ask for the password before anything else.

pub(crate) mod admit;
pub(crate) mod auth;
pub(crate) mod capture;
mod certificate;
pub(crate) mod counters;
mod events;
pub(crate) mod guard;
mod http;
pub(crate) mod identity;
pub(crate) mod listen;
mod metrics;
pub(crate) mod order;
mod page;
mod peer;
pub(crate) mod pending;
mod refusal;
pub(crate) mod reserve;
mod resource;
pub(crate) mod sessions;
pub(crate) mod status;
pub(crate) mod tls;
pub(crate) mod tokens;
pub(crate) mod tunnel;
pub(crate) mod unix;

use std::{
    fmt::{self, Debug, Display},
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use actix::Addr;
use actix_codec::Framed;
use actix_http::{
    HttpService, Request, Response,
    body::BoxBody,
    error::DispatchError,
    h1::{Codec, ExpectHandler, H1Service},
    header::{self, HeaderMap, HeaderValue},
};
use actix_rt::{ArbiterHandle, net::TcpStream};
use actix_service::{Service, ServiceFactory, fn_service, map_config};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{App, dev::AppConfig};
use anyhow::{Result, anyhow};
use etherws_actors::{
    control::{Command, Control, Reply},
    message::DelPort,
    monitor::{Event, Kind, Monitor},
    state::Stop,
    switch::Switch,
};
use slog::{Logger, debug, error, info, warn};
use tokio::sync::mpsc;

use self::{
    admit::Door,
    counters::{Refused, ServerCounters},
    guard::Guard,
    listen::{Place, Serve},
    peer::Accepted,
    pending::Pending,
    refusal::Refusal,
    reserve::Reserve,
    sessions::Sessions,
    status::Status,
    tls::Tls,
    tokens::Tokens,
};
use crate::api::{
    Execute,
    entry::Entries,
    query::{Answer, Query},
};

/// Time for a client to send a whole request head, as actix's default: also what
/// ends a connection that says nothing.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may be idle between two requests, as actix's default: `ctl`
/// has one request, and a script that asks now and then opens another.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The tunnel service.
pub(crate) struct TunnelService {
    /// Compared exactly; the query is ignored.
    pub(crate) path: String,
    pub(crate) door: Door,
    /// Origins besides the listener's own from which a browser may come; `*`: any.
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) sessions: Arc<Sessions>,
    /// Let in once each, whatever else is asked for but a certificate.
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) switch: Addr<Switch>,
}

/// Closes the sessions of users who are no longer known.
pub(crate) fn dismiss(
    users: &[Box<str>],
    sessions: &Sessions,
    switch: &Addr<Switch>,
    log: &Logger,
) {
    for (port, identity) in sessions.dismiss(users) {
        warn!(log, "session closed: its user was removed"; "port" => %port, "user" => %identity);
        switch.do_send(DelPort { port, stop: Stop::Unauthorized });
    }
}

/// The control service.
pub(crate) struct ControlService {
    /// Compared exactly; the query is ignored.
    pub(crate) path: String,
    pub(crate) guard: Guard,
    pub(crate) door: Door,
    pub(crate) control: Control,
    pub(crate) status: Arc<Status>,
}

impl Execute for ControlService {
    async fn execute(&self, command: Command) -> Result<Reply, crate::refusal::Refusal> {
        Execute::execute(&self.control, command).await
    }
}

impl Answer for ControlService {
    async fn answer(&self, query: Query) -> Result<Entries, crate::refusal::Refusal> {
        self.status.answer(query).await
    }
}

/// What one listener serves.
pub(crate) struct Site {
    /// Whether its connections are TLS.
    pub(crate) tls: bool,
    pub(crate) tunnel: Option<TunnelService>,
    pub(crate) control: Option<ControlService>,
    pub(crate) counters: Arc<ServerCounters>,
    pub(crate) pending: Arc<Pending>,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) monitor: Monitor,
    pub(crate) log: Logger,
    /// Whether another has taken its place: its connections end with the request at hand.
    pub(crate) retired: AtomicBool,
}

impl Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl Site {
    /// Counts, tells and logs a refusal that is about to be sent to whoever has sent
    /// `headers`.
    fn refused(&self, refusal: &Refusal, peer: Option<SocketAddr>, headers: &HeaderMap) {
        self.counters.refuse(refusal.reason());
        self.monitor.tell(|| refused_event(refusal.reason(), peer, headers));
        info!(self.log, "request refused"; "peer" => peer.map(|peer| peer.to_string()),
            "status" => refusal.status().as_u16(), "reason" => refusal.text());
    }
}

fn refused_event(reason: Refused, peer: Option<SocketAddr>, headers: &HeaderMap) -> Event {
    let event = match reason {
        Refused::Authentication => {
            let user = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
            let event = Event::new(Kind::AuthenticationFailure);
            match user.and_then(auth::claimed_name) {
                Some(user) => event.text("user", user.escape_debug()),
                None => event,
            }
        }
        other => Event::new(Kind::Refused).text("reason", other.name()),
    };
    address(event, peer)
}

/// `event` with where the peer is; nowhere on a Unix socket.
fn address(event: Event, peer: Option<SocketAddr>) -> Event {
    match peer {
        Some(peer) => event.text("address", peer.ip()),
        None => event,
    }
}

/// The HTTP/1.1 service for `site` over streams of type `T`.
#[expect(clippy::type_complexity, reason = "actix has no shorter name for it")]
fn http_service<T>(
    site: Arc<Site>,
) -> H1Service<
    T,
    impl ServiceFactory<
        Request,
        Config = (),
        Response: Into<Response<BoxBody>>,
        Error: Into<Response<BoxBody>>,
        InitError: Debug,
        Future: 'static,
    >,
    BoxBody,
    ExpectHandler,
    impl ServiceFactory<
        (Request, Framed<T, Codec>),
        Config = (),
        Response = (),
        Error: Display + Into<Response<BoxBody>>,
        InitError: Debug,
        Future: 'static,
    >,
>
where
    T: Accepted + 'static,
{
    let app = App::new().configure(http::configure(Arc::clone(&site)));
    let upgrade = fn_service(move |(request, framed): (Request, Framed<T, Codec>)| {
        let site = Arc::clone(&site);
        async move {
            let log = site.log.clone();
            if let Err(error) = tunnel::upgrade(site, request, framed).await {
                debug!(log, "connection failed"; "error" => %error);
            }
            Ok::<_, actix_http::Error>(())
        }
    });
    HttpService::build()
        .client_request_timeout(REQUEST_TIMEOUT)
        .keep_alive(KEEP_ALIVE)
        .on_connect_ext(peer::keep)
        .upgrade(upgrade)
        .h1(map_config(app, |_| AppConfig::default()))
}

/// Connections that may wait to be taken over by another Arbiter, beyond which
/// accepting waits.
const HANDOVER: usize = 64;

/// Starts serving `site` on this Arbiter and on `arbiters`.
///
/// # Errors
/// Never in practice: actix's factories could fail to start, ours have nothing to.
pub(crate) async fn start(
    site: &Arc<Site>,
    tls: Option<Arc<Tls>>,
    arbiters: &[ArbiterHandle],
) -> Result<Vec<Place>> {
    let mut places = vec![Place::Here(serve(Arc::clone(site), tls.clone()).await?)];
    for arbiter in arbiters {
        let (sender, streams) = mpsc::channel(HANDOVER);
        let (site, tls) = (Arc::clone(site), tls.clone());
        arbiter.spawn_fn(move || {
            actix_rt::spawn(async move {
                let log = site.log.clone();
                match serve(site, tls).await {
                    Ok(serve) => listen::elsewhere(streams, serve).await,
                    Err(error) => error!(log, "a thread does not serve"; "error" => %error),
                }
            });
        });
        places.push(Place::There(sender));
    }
    Ok(places)
}

/// The function that serves a connection to `site` on this Arbiter.
async fn serve(site: Arc<Site>, tls: Option<Arc<Tls>>) -> Result<Serve> {
    let failed = |()| anyhow!("the HTTP service does not start");
    let (log, reserve) = (site.log.clone(), Arc::clone(&site.reserve));
    let Some(tls) = tls else {
        let service = Rc::new(http_service(site).new_service(()).await.map_err(failed)?);
        return Ok(serve_with(log, reserve, move |stream: TcpStream| {
            let service = Rc::clone(&service);
            async move { answer(&*service, stream.peer_addr().ok(), stream).await }
        }));
    };
    let (counters, monitor) = (Arc::clone(&site.counters), site.monitor.clone());
    let service = Rc::new(http_service(site).new_service(()).await.map_err(failed)?);
    Ok(serve_with(log, reserve, move |stream: TcpStream| {
        let (service, tls, counters) =
            (Rc::clone(&service), Arc::clone(&tls), Arc::clone(&counters));
        let monitor = monitor.clone();
        async move {
            let peer = stream.peer_addr().ok();
            let stream = tls.accept(stream).await.inspect_err(|_| {
                counters.tls_failure();
                let event = || Event::new(Kind::Refused).text("reason", "tls-failure");
                monitor.tell(|| address(event(), peer));
            })?;
            answer(&*service, peer, TlsStream::from(stream)).await
        }
    }))
}

fn serve_with<S, F>(log: Logger, reserve: Arc<Reserve>, serve: S) -> Serve
where
    S: Fn(TcpStream) -> F + 'static,
    F: Future<Output = Result<()>> + 'static,
{
    Rc::new(move |stream| {
        let (served, log, reserve) = (serve(stream), log.clone(), Arc::clone(&reserve));
        Box::pin(async move {
            if let Err(error) = served.await {
                debug!(log, "connection failed"; "error" => format!("{error:#}"));
            }
            // Where none is free somebody was faster; the listeners try again.
            let _ = reserve.keep();
        })
    })
}

/// Answers all requests of a connection.
async fn answer<T, S>(service: &S, peer: Option<SocketAddr>, stream: T) -> Result<()>
where
    S: Service<(T, Option<SocketAddr>), Response = (), Error = DispatchError>,
{
    service.call((stream, peer)).await.map_err(|error| anyhow!("{error}"))
}

//! The HTTP side: two services, the tunnel and control, on one listener or two.
//!
//! A connection is accepted by `listen` and served by `http`, which makes our own [`request`]
//! of each request; `endpoint` finds the service that it is for, and asks the service's gate who
//! has sent it (`auth`) before anything else.

pub(crate) mod auth;
pub(crate) mod capture;
pub(crate) mod certificates;
pub(crate) mod counters;
pub(crate) mod endpoint;
mod events;
mod forwarded;
pub(crate) mod guard;
pub(crate) mod health;
pub(crate) mod http;
pub(crate) mod join;
pub(crate) mod journal;
pub(crate) mod listen;
mod metrics;
pub(crate) mod operation;
mod page;
mod peer;
pub(crate) mod pending;
mod proxy_protocol;
mod refusal;
mod request;
pub(crate) mod reserve;
mod resource;
pub(crate) mod sessions;
mod source;
pub(crate) mod status;
pub(crate) mod tls;
pub(crate) mod unix;
pub(crate) mod upgrade;

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use actix_http::error::{DispatchError, ParseError};
use actix_rt::{ArbiterHandle, net::TcpStream};
use actix_service::Service;
use actix_tls::accept::rustls_0_23::TlsStream;
use anyhow::Result;
use etherws_actors::{
    connect::tcp,
    error::one_line,
    monitor::{Event, Kind},
    turns::first_turn,
};
use slog::debug;
use tokio::{sync::mpsc, time::timeout};

use self::{
    counters::Count,
    endpoint::{Endpoint, at},
    http::InUse,
    journal::What,
    listen::{Serve, Worker},
    peer::{Client, Ends, Peer, Via},
    pending::Place,
    refusal::{Refusal, Refused},
    tls::Tls,
};

/// Connections that may wait to be taken over by another Arbiter, beyond which
/// accepting waits.
const HANDOVER: usize = 64;

/// Time to say something, as for a request's head.
const FIRST_OCTET_LIMIT: Duration = Duration::from_secs(5);

/// Starts serving `endpoint` on this Arbiter and on `arbiters`.
pub(crate) fn start(
    endpoint: &Arc<Endpoint>,
    tls: Option<Arc<Tls>>,
    arbiters: &[ArbiterHandle],
) -> Vec<Worker> {
    let mut workers = vec![Worker::Local(serve(Arc::clone(endpoint), tls.clone()))];
    for arbiter in arbiters {
        let (sender, streams) = mpsc::channel(HANDOVER);
        let (endpoint, tls) = (Arc::clone(endpoint), tls.clone());
        arbiter.spawn_fn(move || {
            actix_rt::spawn(listen::serve_remote(streams, serve(endpoint, tls)));
        });
        workers.push(Worker::Remote(sender));
    }
    workers
}

/// The function that serves a connection to `endpoint` on this Arbiter.
fn serve(endpoint: Arc<Endpoint>, tls: Option<Arc<Tls>>) -> Serve {
    let of = Arc::clone(&endpoint);
    let Some(tls) = tls else {
        let http = Rc::new(InUse::new(move || http::service(Arc::clone(&of))));
        return serve_with(endpoint, move |endpoint, client: Client<TcpStream>| {
            let http = Rc::clone(&http);
            async move {
                answer(&endpoint, &*http.service().await?, client).await;
                Ok(())
            }
        });
    };
    let http = Rc::new(InUse::new(move || http::service(Arc::clone(&of))));
    serve_with(endpoint, move |endpoint, client: Client<TcpStream>| {
        let (http, tls) = (Rc::clone(&http), Arc::clone(&tls));
        async move {
            let Client { stream, mut peer, place } = client;
            let stream = tls.accept(stream).await.inspect_err(|error| {
                endpoint.counters.add(Count::TlsFailures);
                let reason = tls::reason(error);
                endpoint.journal.turned_away(What::Handshake, &peer, None, None, &reason);
                let event = || Event::new(Kind::Refused).text("reason", "tls-failure");
                endpoint.monitor.tell(|| at(event(), &peer));
            })?;
            let Some(stream) = stream else { return Ok(()) };
            let stream = TlsStream::from(stream);
            peer.certificate = peer::certificate(&stream);
            answer(&endpoint, &*http.service().await?, Client { stream, peer, place }).await;
            Ok(())
        }
    })
}

/// What comes before TLS and HTTP.
fn serve_with<S, F>(endpoint: Arc<Endpoint>, serve: S) -> Serve
where
    S: Fn(Arc<Endpoint>, Client<TcpStream>) -> F + 'static,
    F: Future<Output = Result<()>> + 'static,
{
    let serve = Rc::new(serve);
    Rc::new(move |stream, from, place| {
        let (serve, endpoint) = (Rc::clone(&serve), Arc::clone(&endpoint));
        Box::pin(async move {
            if speaks(&stream).await
                && let Some(client) = introduce(&endpoint, stream, from, place).await
                // In a box of its own: thousands may wait for their turn, and few get one.
                && let Err(error) = Box::pin(serve(Arc::clone(&endpoint), client)).await
            {
                debug!(endpoint.log, "connection failed"; "error" => one_line(&*error));
            }
            // Where none is free somebody was faster; the listeners try again.
            let _ = endpoint.reserve.keep();
        })
    })
}

/// Who is on the other end of `stream`, which is from `from`: a proxy says so itself where it
/// must.
async fn introduce(
    endpoint: &Endpoint,
    mut stream: TcpStream,
    from: SocketAddr,
    place: Place,
) -> Option<Client<TcpStream>> {
    // However many begin at once, frames pass between.
    drop(first_turn().await);
    // Whatever comes over it may become a tunnel. It has them, or it has broken.
    tcp::set_options(&stream).ok()?;
    let local = stream.local_addr().ok()?;
    let mut peer = Peer::at(Ends::Tcp { local, peer: from });
    if endpoint.proxies.protocol {
        match proxy_protocol::read(&mut stream, from.ip(), &endpoint.proxies).await {
            Ok(address) => peer.via = Via::Proxy(address),
            Err(reason) => {
                Refusal::new(Refused::ProxyHeader, reason).report(endpoint, &peer);
                return None;
            }
        }
        place.belongs_to(peer.source());
    }
    Some(Client { stream, peer, place })
}

/// Waits for the first octet, and gives whether one has come. Nothing is made for those who
/// say none, not even an error: they may be many.
async fn speaks(stream: &TcpStream) -> bool {
    matches!(timeout(FIRST_OCTET_LIMIT, stream.peek(&mut [0])).await, Ok(Ok(1)))
}

/// Answers all requests of a connection.
async fn answer<T, S>(endpoint: &Endpoint, service: &S, client: Client<T>)
where
    S: Service<(Client<T>, Option<SocketAddr>), Response = (), Error = DispatchError>,
{
    let peer = client.peer.clone();
    match service.call((client, None)).await {
        Ok(()) => {}
        // Answered by actix, which tells nobody.
        Err(DispatchError::Parse(ParseError::TooLarge)) => {
            Refusal::new(Refused::HeadSize, refusal::HEAD_SIZE).report(endpoint, &peer);
        }
        Err(DispatchError::Parse(error)) if !matches!(error, ParseError::Io(_)) => {
            Refusal::new(Refused::NotHttp, "This is not HTTP").report(endpoint, &peer);
        }
        Err(error) => debug!(endpoint.log, "connection failed"; "error" => %error),
    }
}

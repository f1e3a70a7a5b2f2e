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
pub(crate) mod guard;
pub(crate) mod http;
pub(crate) mod listen;
mod metrics;
pub(crate) mod operation;
mod page;
mod peer;
pub(crate) mod pending;
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

use actix_http::error::DispatchError;
use actix_rt::{ArbiterHandle, net::TcpStream};
use actix_service::{Service, ServiceFactory as _};
use actix_tls::accept::rustls_0_23::TlsStream;
use anyhow::{Context as _, Result, anyhow};
use etherws_actors::{
    connect::tcp,
    monitor::{Event, Kind},
};
use slog::{Logger, debug, error};
use tokio::{sync::mpsc, time::timeout};

use self::{
    counters::Count,
    endpoint::{Endpoint, at},
    listen::{Serve, Worker},
    reserve::Reserve,
    tls::Tls,
};

/// Connections that may wait to be taken over by another Arbiter, beyond which
/// accepting waits.
const HANDOVER: usize = 64;

/// Time to say something, as for a request's head.
const FIRST_OCTET_LIMIT: Duration = Duration::from_secs(5);

/// Starts serving `endpoint` on this Arbiter and on `arbiters`.
///
/// # Errors
/// Never in practice: actix's factories could fail to start, ours have nothing to.
pub(crate) async fn start(
    endpoint: &Arc<Endpoint>,
    tls: Option<Arc<Tls>>,
    arbiters: &[ArbiterHandle],
) -> Result<Vec<Worker>> {
    let mut workers = vec![Worker::Local(serve(Arc::clone(endpoint), tls.clone()).await?)];
    for arbiter in arbiters {
        let (sender, streams) = mpsc::channel(HANDOVER);
        let (endpoint, tls) = (Arc::clone(endpoint), tls.clone());
        arbiter.spawn_fn(move || {
            actix_rt::spawn(async move {
                let log = endpoint.log.clone();
                match serve(endpoint, tls).await {
                    Ok(serve) => listen::serve_remote(streams, serve).await,
                    Err(error) => {
                        error!(log, "a thread cannot serve connections"; "error" => %error);
                    }
                }
            });
        });
        workers.push(Worker::Remote(sender));
    }
    Ok(workers)
}

/// The function that serves a connection to `endpoint` on this Arbiter.
async fn serve(endpoint: Arc<Endpoint>, tls: Option<Arc<Tls>>) -> Result<Serve> {
    let failed = |()| anyhow!("the HTTP service cannot start");
    let (log, reserve) = (endpoint.log.clone(), Arc::clone(&endpoint.reserve));
    let Some(tls) = tls else {
        let service = Rc::new(http::service(endpoint).new_service(()).await.map_err(failed)?);
        return Ok(serve_with(log, reserve, move |stream: TcpStream| {
            let service = Rc::clone(&service);
            async move { answer(&*service, stream.peer_addr().ok(), stream).await }
        }));
    };
    let (counters, monitor) = (Arc::clone(&endpoint.counters), endpoint.monitor.clone());
    let service = Rc::new(http::service(endpoint).new_service(()).await.map_err(failed)?);
    Ok(serve_with(log, reserve, move |stream: TcpStream| {
        let (service, tls, counters) =
            (Rc::clone(&service), Arc::clone(&tls), Arc::clone(&counters));
        let monitor = monitor.clone();
        async move {
            let peer = stream.peer_addr().ok();
            let stream = tls.accept(stream).await.inspect_err(|error| {
                counters.add(Count::TlsFailures);
                tls.tell(peer, error);
                let event = || Event::new(Kind::Refused).text("reason", "tls-failure");
                monitor.tell(|| at(event(), peer));
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
    let serve = Rc::new(serve);
    Rc::new(move |stream| {
        let (serve, log, reserve) = (Rc::clone(&serve), log.clone(), Arc::clone(&reserve));
        Box::pin(async move {
            if speaks(&stream).await {
                // Whatever comes over it may become a tunnel.
                let set = tcp::set_options(&stream).context("cannot set its TCP options");
                let served = async { set.map(|()| serve(stream))?.await };
                if let Err(error) = served.await {
                    debug!(log, "connection failed"; "error" => format!("{error:#}"));
                }
            }
            // Where none is free somebody was faster; the listeners try again.
            let _ = reserve.keep();
        })
    })
}

/// Waits for the first octet, and gives whether one has come. Nothing is made for those who
/// say none, not even an error: they may be many.
async fn speaks(stream: &TcpStream) -> bool {
    matches!(timeout(FIRST_OCTET_LIMIT, stream.peek(&mut [0])).await, Ok(Ok(1)))
}

/// Answers all requests of a connection.
async fn answer<T, S>(service: &S, peer: Option<SocketAddr>, stream: T) -> Result<()>
where
    S: Service<(T, Option<SocketAddr>), Response = (), Error = DispatchError>,
{
    service.call((stream, peer)).await.map_err(|error| anyhow!("{error}"))
}

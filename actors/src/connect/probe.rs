//! Goes the way of a tunnel step by step and tells what it saw: for people who want to
//! know why there is none, or why it is slow.
//!
//! Beside [`dial()`](super::dial()), of whose parts it is made. No frame is sent.

use rustls_pki_types::CertificateDer;
use tokio::time::{Duration, Instant};

use super::{
    credentials::Header,
    dial::{DialError, TunnelRequest, explained, upgrade},
    stream::{CONNECT_LIMIT, ConnectError, Route, Seen, Stream},
    tls::TlsOptions,
    url::ServerUrl,
};
use crate::core::{error::tls::version, holder::Instance};

/// Octets that make the request several full segments long: half of what common servers take
/// as a head.
const PADDING: usize = 4000;

/// Time for its answer. A segment that was lost is sent again after 0.2 s, 0.6 s, 1.4 s:
/// who has not got it then never will.
const PADDING_LIMIT: Duration = Duration::from_secs(4);

/// What was seen on the way, as far as it went.
#[derive(Debug, Default)]
pub struct Probe {
    /// Up to the server, or to the proxy.
    pub way: Seen,
    /// The server's certificate chain, its own first; verified or not.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Version of TLS, `TLS 1.3`.
    pub tls_version: Option<&'static str>,
    /// How long it took until the tunnel was there.
    pub took: Duration,
    /// Whether a request that is longer than any packet was answered, whatever the answer was.
    pub large: Option<bool>,
    /// The answer's `Date`.
    pub date: Option<String>,
}

impl Probe {
    /// Opens a tunnel, by a request that is longer than any packet, and ends it in good order.
    /// Gives all that was seen, with the reason why it ended early, if it did.
    pub async fn run(
        server: &ServerUrl,
        request: &TunnelRequest,
        instance: Instance,
        route: &Route,
    ) -> (Self, Result<(), DialError>) {
        Self::go(server, Some((request, instance)), route).await
    }

    /// The same up to the first octet of the request, which is not sent.
    pub async fn way(server: &ServerUrl, route: &Route) -> (Self, Result<(), DialError>) {
        Self::go(server, None, route).await
    }

    async fn go(
        server: &ServerUrl,
        request: Option<(&TunnelRequest, Instance)>,
        route: &Route,
    ) -> (Self, Result<(), DialError>) {
        let mut probe = Self::default();
        let done = probe.steps(server, request, route).await;
        let done = done.map_err(|error| explained(error, &probe.way));
        let broken = matches!(&done, Err(DialError::Connect(ConnectError::Handshake { .. })));
        if broken && probe.certificates.is_empty() {
            // A certificate that is not trusted has dates and names all the same.
            let insecure = TlsOptions { insecure: true, pins: Vec::new(), ..route.tls.clone() };
            let any = Route { tls: insecure, ..route.clone() };
            if let Ok(stream) = any.connect(server).await {
                probe.see_tls(&stream);
            }
        }
        (probe, done)
    }

    async fn steps(
        &mut self,
        server: &ServerUrl,
        request: Option<(&TunnelRequest, Instance)>,
        route: &Route,
    ) -> Result<(), DialError> {
        let started = Instant::now();
        let stream = route.connect_until(server, started + CONNECT_LIMIT, &mut self.way).await?;
        self.see_tls(&stream);
        let Some((request, instance)) = request else { return Ok(()) };
        let padding = Header::parse(&format!("X-Padding: {}", "x".repeat(PADDING))).ok();
        let headers = request.headers.iter().cloned().chain(padding).collect();
        let long = TunnelRequest { headers, ..request.clone() };
        let (limit, date) = (Instant::now() + PADDING_LIMIT, &mut self.date);
        let tried = upgrade(stream, server, &long, instance, route, limit, date).await;
        let is_lost = matches!(tried, Err(DialError::Connect(ConnectError::Timeout { .. })));
        self.large = Some(!is_lost);
        let tunnel = match tried {
            // As long as it is, it was not read: nobody was let in, or kept out.
            Err(error) if is_lost || error.is_about_length() => {
                let deadline = Instant::now() + CONNECT_LIMIT;
                let stream = route.connect_until(server, deadline, &mut self.way).await?;
                upgrade(stream, server, request, instance, route, deadline, &mut self.date).await?
            }
            tried => tried?,
        };
        self.took = started.elapsed();
        tunnel.end().await;
        Ok(())
    }

    fn see_tls(&mut self, stream: &Stream) {
        let Stream::Tls(stream) = stream else { return };
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().unwrap_or_default();
        self.certificates = chain.iter().map(|one| one.clone().into_owned()).collect();
        self.tls_version = session.protocol_version().map(version);
    }
}

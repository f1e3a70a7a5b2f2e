//! Goes the way of a tunnel step by step and tells what it saw: for people who want to
//! know why there is none, or why it is slow.
//!
//! Beside [`dial()`](super::dial()), of whose parts it is made. No frame is sent.

use rustls_pki_types::CertificateDer;
use tokio::time::{Duration, Instant};

use super::{
    dial::{DialError, TunnelRequest, explained, http_client, upgrade},
    stream::{CONNECT_LIMIT, ConnectError, Route, Seen, Stream},
    tls::TlsOptions,
    url::ServerUrl,
};
use crate::core::holder::Instance;

/// Octets of the request that shows whether full segments pass: several of them, and half
/// of what common servers take as a head.
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
    /// Version of TLS, `TLSv1_3`.
    pub tls_version: Option<String>,
    /// How long it took until the tunnel was there.
    pub took: Duration,
}

impl Probe {
    /// Tries to open a tunnel, ends it at once, and gives all that was seen with the
    /// reason why it ended early, if it did.
    pub async fn run(
        server: &ServerUrl,
        request: &TunnelRequest,
        instance: Instance,
        route: &Route,
    ) -> (Self, Result<(), DialError>) {
        let started = Instant::now();
        let mut probe = Self::default();
        let deadline = started + CONNECT_LIMIT;
        let done = probe.steps(server, request, instance, route, deadline).await;
        let done = done.map_err(|error| explained(error, &probe.way));
        probe.took = started.elapsed();
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
        request: &TunnelRequest,
        instance: Instance,
        route: &Route,
        deadline: Instant,
    ) -> Result<(), DialError> {
        let stream = route.connect_until(server, deadline, &mut self.way).await?;
        self.see_tls(&stream);
        upgrade(stream, server, request, instance, route, deadline).await.map(drop)
    }

    fn see_tls(&mut self, stream: &Stream) {
        let Stream::Tls(stream) = stream else { return };
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().unwrap_or_default();
        self.certificates = chain.iter().map(|one| one.clone().into_owned()).collect();
        self.tls_version = session.protocol_version().map(|version| format!("{version:?}"));
    }
}

/// What a server says to a request of several full segments.
#[derive(Debug)]
pub struct LargeRequest {
    /// HTTP status of the answer; `None`: nothing came, as when large packets are lost.
    pub status: Option<u16>,
    /// The answer's `Date`.
    pub date: Option<String>,
}

/// Asks `server` by a plain request whose head is larger than any packet. It asks for no
/// tunnel: servers refuse it, but they answer.
///
/// # Errors
/// There is no connection.
pub async fn large_request(
    server: &ServerUrl,
    route: &Route,
) -> Result<LargeRequest, ConnectError> {
    let (client, uri) = http_client(server, route).await?;
    let request = client.get(uri).timeout(PADDING_LIMIT);
    let answer = request.insert_header(("X-Padding", "x".repeat(PADDING))).send().await.ok();
    let date = answer.as_ref().and_then(|answer| answer.headers().get("date"));
    Ok(LargeRequest {
        date: date.and_then(|date| date.to_str().ok()).map(str::to_owned),
        status: answer.map(|answer| answer.status().as_u16()),
    })
}

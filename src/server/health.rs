//! `/healthz` and `/readyz` on the tunnel's listener, for load balancers and orchestrators: no
//! login, no content, and never counted as refused. What it costs is bounded: the switch is
//! asked once a second, however many ask here.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use etherws_actors::{control::Control, message::PortInfo, state::PortState};
use tokio::{sync::Mutex, time::timeout};

/// How long what the switch has said holds.
const FRESH: Duration = Duration::from_secs(1);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// Whether requests are answered: they are.
    Health,
    /// Whether frames are forwarded.
    Ready,
}

impl Probe {
    /// The one at `path`, on a listener with the tunnel at `tunnel`: at the root, and below the
    /// tunnel, where a proxy leads that serves a folder of its own.
    pub(super) fn at(path: &str, tunnel: &str) -> Option<Self> {
        let below = path.strip_prefix(tunnel.trim_end_matches('/'));
        [Some(path), below].into_iter().flatten().find_map(|path| match path {
            "/healthz" => Some(Self::Health),
            "/readyz" => Some(Self::Ready),
            _ => None,
        })
    }
}

/// Whether the switch is ready, as it was known last.
pub(crate) struct Health {
    control: Control,
    /// Whether the ports of the file were opened, or have said why not.
    started: AtomicBool,
    known: Mutex<Option<(Instant, bool)>>,
}

impl Health {
    pub(crate) fn new(control: Control) -> Self {
        Self { control, started: false.into(), known: Mutex::default() }
    }

    /// The start is over.
    pub(crate) fn start(&self) {
        self.started.store(true, Relaxed);
    }

    /// The end has begun.
    pub(crate) fn stop(&self) {
        self.started.store(false, Relaxed);
    }

    pub(super) async fn answer(&self, probe: Probe) -> HttpResponse {
        let good = probe == Probe::Health || self.is_ready().await;
        let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        HttpResponse::build(status).insert_header((header::CACHE_CONTROL, "no-store")).finish()
    }

    async fn is_ready(&self) -> bool {
        if !self.started.load(Relaxed) {
            return false;
        }
        let mut known = self.known.lock().await;
        if let Some((_, ready)) = known.filter(|(at, _)| at.elapsed() < FRESH) {
            return ready;
        }
        let ports = timeout(FRESH, self.control.list_ports()).await;
        let ready = matches!(ports, Ok(Ok(ports)) if forwards(&ports));
        *known = Some((Instant::now(), ready));
        ready
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("started", &self.started).finish_non_exhaustive()
    }
}

/// Whether frames of a session can go anywhere but to other sessions: to one of the switch's
/// own ports, if it is to have any.
fn forwards(ports: &[PortInfo]) -> bool {
    let mut own = ports.iter().filter(|port| port.kind != "server" && !port.shut).peekable();
    own.peek().is_none() || own.any(|port| port.state == PortState::Up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_at_the_root_and_below_the_tunnel() {
        for (path, tunnel, wanted) in [
            ("/healthz", "/", Some(Probe::Health)),
            ("/readyz", "/lan", Some(Probe::Ready)),
            ("/lan/healthz", "/lan", Some(Probe::Health)),
            ("/lan/readyz", "/lan/", Some(Probe::Ready)),
            ("/lanhealthz", "/lan", None),
            ("/lan/healthz", "/", None),
            ("/healthz/", "/", None),
            ("/", "/", None),
        ] {
            assert_eq!(Probe::at(path, tunnel), wanted, "{path} {tunnel}");
        }
    }
}

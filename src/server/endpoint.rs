//! What one listener serves: the tunnel, control, or both, told apart by path. Every request,
//! of whichever protocol and kind, comes through [`Endpoint::admit`] first.

use std::{
    fmt::{self, Debug},
    sync::{Arc, atomic::AtomicBool},
};

use actix::Addr;
use etherws_actors::{
    control::Control,
    fdb::PortNumber,
    message::DelPort,
    monitor::{Event, Monitor},
    state::Stop,
    switch::Switch,
};
use slog::{Logger, warn};

use super::{
    auth::{self, Gate, Identity},
    counters::ServerCounters,
    guard::{Guard, check_fetch},
    health::{Health, Probe},
    join::{self, Join},
    journal::Journal,
    page,
    peer::Peer,
    pending::Pending,
    refusal::Refusal,
    request::Request,
    reserve::Reserve,
    resource::{self, Resource},
    sessions::Sessions,
    status::Status,
    upgrade::Handshake,
};
use crate::{
    api::call::{Caller, Program},
    options::Proxies,
};

/// The tunnel service.
pub(crate) struct TunnelService {
    /// Compared exactly; the query is ignored.
    pub(crate) path: String,
    pub(crate) gate: Arc<Gate>,
    pub(crate) handshake: Arc<Handshake>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) switch: Addr<Switch>,
    pub(crate) health: Arc<Health>,
    /// Where invitations are redeemed, if anybody is invited.
    pub(crate) join: Option<Arc<Join>>,
}

/// The control service.
pub(crate) struct ControlService {
    /// Compared exactly; the query is ignored.
    pub(crate) path: String,
    pub(crate) guard: Guard,
    pub(crate) gate: Arc<Gate>,
    pub(crate) control: Control,
    pub(crate) status: Arc<Status>,
}

impl ControlService {
    /// What methods act on.
    pub(super) fn program<'a>(&'a self, caller: &'a Caller) -> Program<'a> {
        Program { control: &self.control, service: &*self.status, caller }
    }

    /// Who asks, and what they may.
    pub(super) async fn caller(&self, identity: &Identity, request: &Request<'_>) -> Caller {
        auth::caller(identity, request.peer, &self.status.roles()).await
    }
}

/// What one listener serves.
pub(crate) struct Endpoint {
    /// Whether its connections are TLS.
    pub(crate) tls: bool,
    pub(crate) tunnel: Option<TunnelService>,
    pub(crate) control: Option<ControlService>,
    pub(crate) counters: Arc<ServerCounters>,
    pub(crate) pending: Arc<Pending>,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) proxies: Proxies,
    pub(crate) journal: Arc<Journal>,
    pub(crate) monitor: Monitor,
    pub(crate) log: Logger,
    /// Whether another has replaced it: its connections end with the request at hand.
    pub(crate) retired: AtomicBool,
}

/// The service that a request is for.
pub(super) enum Service<'a> {
    Tunnel(&'a TunnelService),
    /// JSON-RPC.
    Control(&'a ControlService),
    /// Whether the tunnel serves.
    Health(&'a Health, Probe),
    /// Invitations.
    Join(&'a Join),
    /// What control serves besides.
    Resource(&'a ControlService, &'static Resource),
}

impl Endpoint {
    /// The service that `request` is for, and who has sent it.
    ///
    /// # Errors
    /// There is none, or they may not use it; the refusal is to be sent as it is.
    pub(super) async fn admit(
        &self,
        request: &Request<'_>,
    ) -> Result<(Service<'_>, Identity), Refusal> {
        request.check_size()?;
        let service = self.find(request.path).ok_or_else(Refusal::not_found)?;
        let gate = match &service {
            // Who joins is nobody yet.
            Service::Health(..) | Service::Join(_) => return Ok((service, Identity::ANONYMOUS)),
            Service::Tunnel(tunnel) => &tunnel.gate,
            Service::Control(control) => {
                control.guard.check(request)?;
                &control.gate
            }
            Service::Resource(control, _) => {
                control.guard.check(request)?;
                check_fetch(&request.headers, page::is_page(request.path))?;
                &control.gate
            }
        };
        let identity = gate.admit(request).await?;
        Ok((service, identity))
    }

    fn find(&self, path: &str) -> Option<Service<'_>> {
        if let Some(control) = self.control.as_ref().filter(|control| control.path == path) {
            return Some(Service::Control(control));
        }
        if let Some(tunnel) = self.tunnel.as_ref().filter(|tunnel| tunnel.path == path) {
            return Some(Service::Tunnel(tunnel));
        }
        if let Some(tunnel) = &self.tunnel
            && let Some(probe) = Probe::at(path, &tunnel.path)
        {
            return Some(Service::Health(&tunnel.health, probe));
        }
        if let Some(tunnel) = &self.tunnel
            && let Some(join) = &tunnel.join
            && join::is_at(path, &tunnel.path)
        {
            return Some(Service::Join(join));
        }
        let control = self.control.as_ref()?;
        Some(Service::Resource(control, resource::find(path, &control.path)?))
    }
}

impl Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// `event` with where the peer is; nowhere on a Unix socket.
pub(super) fn at(event: Event, peer: &Peer) -> Event {
    match peer.address() {
        Some(peer) => event.text("address", peer.ip()),
        None => event,
    }
}

/// Closes the sessions of users who are no longer known.
pub(crate) fn revoke(users: &[Box<str>], sessions: &Sessions, switch: &Addr<Switch>, log: &Logger) {
    close(
        sessions.revoke(|identity| identity.is_among(users)),
        "its user was removed",
        switch,
        log,
    );
}

/// Closes the sessions of those who have shown less than `gate` asks for.
pub(crate) fn revoke_unproven(
    gate: &Gate,
    sessions: &Sessions,
    switch: &Addr<Switch>,
    log: &Logger,
) {
    let gone = sessions.revoke(|identity| !gate.is_passed_by(identity));
    close(gone, "it was opened without what is required now", switch, log);
}

fn close(gone: Vec<(PortNumber, Identity)>, why: &str, switch: &Addr<Switch>, log: &Logger) {
    for (port, identity) in gone {
        warn!(log, "session closed: {why}"; "port" => %port, "user" => %identity);
        switch.do_send(DelPort { port, stop: Stop::Unauthorized });
    }
}

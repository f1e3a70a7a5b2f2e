//! What the kernel says of ports' interfaces: names and carriers that change, and the
//! addresses of this host, which are told to its neighbours so that they find it at once.

use std::mem;

use actix::prelude::*;
use slog::{debug, info, warn};
use tokio::time::Instant;

use super::{PortEntry, Switch};
use crate::{
    core::{
        announce,
        frame::Frame,
        interface::{Carrier, InterfaceStatus},
        state::PortState,
    },
    message::{CheckSettings, Credit, InterfaceChanged, SetPortError},
    monitor::Kind,
    settings::{Layers, PortSettings},
};

/// Most devices of which each has its carrier from the next: who has more has a ring.
const MAX_FOLLOWERS: usize = 8;

impl PortEntry {
    pub(super) fn has_no_carrier(&self) -> bool {
        let carrier = self.status.as_ref().map(|status| status.carrier);
        matches!(carrier, Some(Carrier::Down | Carrier::Lost))
    }

    /// Why no frames pass the interface, if so.
    pub(super) fn lacks_carrier(&self) -> Option<String> {
        let status = self.status.as_ref()?;
        let name = &status.name;
        match status.carrier {
            Carrier::Up | Carrier::Elsewhere => None,
            Carrier::Down => Some(format!("interface {name} is down; ip link set {name} up")),
            Carrier::Lost => Some(match &self.applied.carrier_from {
                Some(port) => {
                    format!(
                        "interface {name} has no carrier, since port {port} (carrier-from) is not up"
                    )
                }
                None => format!("interface {name} has no carrier"),
            }),
        }
    }
}

impl Switch {
    /// Gives the devices whose carrier is that of another port the one that this has now.
    pub(super) fn set_carriers(&self) {
        let mut from = 0;
        while let Some(at) = self.followers.next(from) {
            from = at + 1;
            self.ports[at].link_settings.set_carrier(self.is_up_for(at));
        }
    }

    /// Whether the port that the one at `at` has its carrier from is up.
    fn is_up_for(&self, mut at: usize) -> bool {
        // Who follows a follower follows the last of them. Those that follow each other in
        // a ring would wait for each other for ever: they are up.
        for _ in 0..=MAX_FOLLOWERS {
            let Some(port) = &self.ports[at].applied.carrier_from else {
                return self.ports[at].is_open();
            };
            match self.referred(port).and_then(|number| self.find(number)) {
                Some(next) => at = next,
                None => return false,
            }
        }
        true
    }

    /// Gives the port at `at` the addresses that belong to it.
    pub(super) fn set_permanent(&mut self, at: usize) {
        let port = &self.ports[at];
        let own = port.status.as_ref().filter(|_| port.is_host).map(|status| status.mac);
        let now = Instant::now().into_std();
        self.relay.fdb_mut().set_permanent(port.number, own, &port.only, now);
    }

    /// Tells whoever is behind the port at `at`, which has come up, where this host's
    /// addresses are.
    pub(super) fn announce_hosts_to(&mut self, at: usize) {
        if !self.ports[at].is_forwarding() {
            return;
        }
        let now = Instant::now().into_std();
        let mut from = 0;
        while let Some(host) = self.hosts.next(from) {
            from = host + 1;
            if host != at {
                for frame in self.announcements(host) {
                    if self.is_in_vlan(at, &frame) {
                        self.enqueue(host, at, frame, now);
                    }
                }
            }
        }
    }

    /// Tells everybody where the addresses of the port at `at` are.
    fn announce_host(&mut self, at: usize) {
        let now = Instant::now().into_std();
        let frames = self.announcements(at);
        debug!(self.log, "addresses of this host are announced";
            "port" => %self.ports[at].number, "count" => frames.len());
        for frame in frames {
            self.flood(at, frame, now);
        }
    }

    fn announcements(&self, at: usize) -> Vec<Frame> {
        let port = &self.ports[at];
        let status = port.status.as_ref().filter(|_| port.is_forwarding());
        let frames = status.map(announce::neighbours).unwrap_or_default();
        // As if the host had sent them.
        let vlans = port.vlans.as_deref();
        let enter = |frame: Frame| match vlans {
            Some(vlans) => vlans.ingress(&frame).ok().map(|change| frame.retag(change)),
            None => Some(frame),
        };
        frames.into_iter().filter_map(enter).collect()
    }

    /// The port at `at` has come up, or the carrier of its interface has come or gone.
    pub(super) fn change_carrier(&mut self, at: usize) {
        self.note_forwarding(at);
        let port = &mut self.ports[at];
        let number = port.number;
        if let Some(reason) = port.lacks_carrier() {
            warn!(port.log, "port is down";
                "port" => %number, "type" => port.kind, "target" => &port.target,
                "state" => "down", "reason" => &reason);
            let state = PortState::Down { reason };
            self.monitor.tell(|| port.event(Kind::PortDown).state(&state));
            self.relay.flush_port(number);
            self.unblock(at);
        } else {
            info!(port.log, "port is up";
                "port" => %number, "type" => port.kind, "target" => &port.target);
            self.monitor.tell(|| port.describe(Kind::PortUp));
            // Before all other traffic: nothing behind us is found the old way.
            if port.is_forwarding() && mem::take(&mut port.returning) {
                self.announce(at);
            }
            self.announce_hosts_to(at);
        }
        self.note_open(at);
    }

    /// The interface of the port at `at` is otherwise than `before`.
    pub(super) fn change_interface(&mut self, at: usize, before: Option<&InterfaceStatus>) {
        self.set_permanent(at);
        self.note_interface(at, before);
        let port = &self.ports[at];
        let is_news = port.status.as_ref().is_some_and(|status| {
            before.is_none_or(|before| {
                let is_new = |address| !before.addresses.contains(address);
                // While it was without a carrier, whoever came up was told nothing of it.
                let is_back = before.carrier != status.carrier && status.carrier == Carrier::Up;
                is_back || before.mac != status.mac || status.addresses.iter().any(is_new)
            })
        });
        if port.is_host && is_news {
            self.announce_host(at);
        }
    }
}

impl Handler<InterfaceChanged> for Switch {
    type Result = ();

    fn handle(&mut self, changed: InterfaceChanged, _: &mut Context<Self>) {
        let InterfaceChanged { port, status } = changed;
        // While it is not up, nothing of it is known.
        let Some(at) = self.find(port).filter(|&at| self.ports[at].is_up()) else {
            return;
        };
        let port = &mut self.ports[at];
        let was_without = port.has_no_carrier();
        let before = port.status.replace(status.clone());
        if port.interface.as_ref().is_some_and(|name| *name != status.name) {
            info!(self.log, "interface is renamed"; "port" => %port.number,
                "from" => port.interface.as_deref(), "to" => &status.name);
            // What was its name is what it is joined to.
            port.target.clone_from(&status.name);
            port.interface = Some(status.name.clone());
        }
        let was = before.as_ref().map(|before| before.carrier);
        if status.carrier == Carrier::Elsewhere && was != Some(Carrier::Elsewhere) {
            warn!(self.log, "interface was moved into another network namespace: it cannot be \
                set up from here, and is not made again when it goes with that";
                "port" => %port.number, "interface" => &status.name);
        }
        if port.has_no_carrier() != was_without {
            self.change_carrier(at);
        }
        self.change_interface(at, before.as_ref());
        self.deliver(&Credit::NONE);
    }
}

impl Handler<CheckSettings> for Switch {
    type Result = Result<PortSettings, SetPortError>;

    fn handle(&mut self, check: CheckSettings, _: &mut Context<Self>) -> Self::Result {
        self.check_settings(None, check.kind, &check.settings)?;
        let CheckSettings { kind, settings, holder } = check;
        let layers = Layers::new(kind, &settings, holder.as_ref(), &self.profiles, &self.defaults);
        Ok(layers.merged())
    }
}

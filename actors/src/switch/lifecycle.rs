//! How ports come, come up, go down and go.

use std::sync::Arc;

use actix::prelude::*;
use slog::{info, warn};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    Switch,
    entry::{PortEntry, Shared},
    guards::PortGuards,
    links::{PortLink, Several},
};
use crate::{
    core::{
        batch::HOLDER_TURNS,
        fdb::Owner,
        holder::Holder,
        interface::Interface,
        settings::{LldpStatus, PortSettings},
        state::{PortState, Stop},
    },
    message::{AddPort, AddPortError, Credit, GiveUp, PortAdded, PortDown, PortGone, PortUp},
    monitor::Kind,
};

impl Switch {
    /// Ends the port that `holder` had before; whether there was one. The one place
    /// that orders sessions: who comes here later is the one that lives.
    pub(super) fn end_former(&mut self, holder: Option<&Holder>) -> bool {
        let is_former = |port: &&PortEntry| {
            let both = holder.zip(port.holder.as_ref());
            both.is_some_and(|(holder, other)| holder.is_again(other))
        };
        let former = self.instances.of(holder).iter().map(|&at| &self.ports[at]).find(is_former);
        let Some(port) = former.map(|port| port.number).and_then(|n| self.remove(n)) else {
            return false;
        };
        port.stop(Stop::Deleted);
        self.tell_deleted(&port, "its client reconnected");
        info!(port.log, "port replaced: its client reconnected";
            "port" => %port.number, "type" => port.kind, "target" => port.target);
        true
    }

    pub(super) fn tell_deleted(&self, port: &PortEntry, reason: &str) {
        self.monitor.tell(|| port.describe(Kind::PortDeleted).text("reason", reason));
    }
}

impl Handler<AddPort> for Switch {
    type Result = Result<PortAdded, AddPortError>;

    fn handle(&mut self, port: AddPort, _: &mut Context<Self>) -> Self::Result {
        if let Some(interface) = &port.interface
            && let Some((_, other)) =
                self.ports.iter().find(|(_, port)| port.interface.as_ref() == Some(interface))
        {
            return Err(AddPortError::InterfaceInUse {
                interface: interface.clone(),
                port: other.number,
            });
        }
        if let Some(number) = self.find_joined(&port) {
            let at = self.find(number).ok_or(AddPortError::NoSuchPort(number))?;
            self.join_link(at, &port);
            return Ok(self.added(at));
        }
        self.check_settings(None, port.kind, &port.settings)?;
        let returning = self.end_former(port.holder.as_ref());
        let number = self.next;
        self.next = number.next();
        let held = self.holders.join(port.holder.as_ref());
        let links = vec![PortLink::new(&port)];
        self.relay.fdb_mut().set_owner(number, Owner::Holder(held));
        let at = self.ports.insert(
            number,
            PortEntry {
                number,
                kind: port.kind,
                target: port.target,
                interface: port.interface,
                announces: port.announces,
                is_leaf: port.is_leaf,
                is_host: port.is_host,
                returning,
                holder: port.holder,
                identity: "".into(),
                held,
                state: PortState::Connecting { reason: None },
                seen: "",
                warned: Vec::new(),
                since: Instant::now().into_std(),
                own: port.settings,
                applied: PortSettings::default(),
                profile: None,
                shut: false,
                link_settings: port.link_settings,
                details: port.details,
                guards: PortGuards::new(&self.defaults),
                lldp: LldpStatus::Disabled,
                counters: port.counters,
                log: port.log,
                kept: None,
                status: None,
                is_checked: false,
                only: Box::default(),
                vlans: None,
                policed: [None; 2],
                stp: None,
                early_bpdu: None,
                is_reserved: false,
                links,
                several: Several::new(port.place),
            },
        );
        self.instances.insert(self.ports[at].holder.as_ref(), at);
        self.hosts.set(at, self.ports[at].is_host);
        self.apply_settings(at);
        let port = &self.ports[at];
        self.monitor.tell(|| port.describe(Kind::PortAdded));
        Ok(self.added(at))
    }
}

impl Switch {
    /// What a supervisor gets for the port at `at`.
    fn added(&mut self, at: usize) -> PortAdded {
        let PortEntry { number, held, ref holder, ref counters, ref link_settings, .. } =
            self.ports[at];
        let (has_holder, counters, link_settings) =
            (holder.is_some(), Arc::clone(counters), Arc::clone(link_settings));
        let Shared { memory, turns, buckets, .. } = &mut self.holders[held];
        let memory = memory.get_or_insert_with(|| self.memory.part()).clone();
        let of_holder = || Arc::new(Semaphore::new(HOLDER_TURNS));
        let turns = has_holder.then(|| Arc::clone(turns.get_or_insert_with(of_holder)));
        let buckets = Arc::clone(buckets);
        PortAdded { number, counters, link_settings, memory, turns, buckets }
    }
}

impl Handler<PortUp> for Switch {
    type Result = Option<Interface>;

    fn handle(&mut self, up: PortUp, _: &mut Context<Self>) -> Self::Result {
        let at = self.find(up.port)?;
        let was_up = self.ports[at].is_up();
        if !self.open_link(at, &up) {
            up.give_up.do_send(GiveUp);
            return None;
        }
        let port = &mut self.ports[at];
        if was_up {
            return None;
        }
        port.state = PortState::Up;
        port.warned.clear();
        port.target = up.target;
        port.interface = up.interface;
        port.details = up.details;
        port.status = up.status;
        let kept = port.kept.clone();
        self.find_mirrored();
        self.name_bindings(at);
        self.change_carrier(at);
        self.change_interface(at, None);
        self.deliver(&Credit::NONE);
        kept
    }
}

impl Handler<PortDown> for Switch {
    type Result = ();

    fn handle(&mut self, down: PortDown, _: &mut Context<Self>) {
        if let Some((at, link)) = self.find_link(down.port, down.link) {
            self.link_down(at, link, down.state);
        }
    }
}

impl Switch {
    /// The port at `at` carries no frames from now on, and is in this state.
    pub(super) fn go_down(&mut self, at: usize, state: PortState) {
        let mut was_up = false;
        for link in 0..self.ports[at].links.len() {
            was_up |= self.close_link(at, link);
        }
        let port = &mut self.ports[at];
        let number = port.number;
        port.status = None;
        self.note_forwarding(at);
        let port = &mut self.ports[at];
        if was_up {
            port.returning = port.announces;
            self.relay.flush_port(number);
        }
        if was_up || matches!(state, PortState::Failed { .. }) {
            self.monitor.tell(|| port.event(Kind::PortDown).state(&state));
        }
        self.unblock(at);
        self.note_open(at);
        self.deliver(&Credit::NONE);
        let port = &mut self.ports[at];
        let now = Instant::now().into_std();
        // Another attempt is no news: what it is made for was told.
        if let Some(reason) = state.reason()
            && !matches!(state, PortState::Connecting { .. })
            && port.warns(reason, now)
        {
            warn!(port.log, "port is down";
                "port" => %number, "type" => port.kind, "target" => &port.target,
                "state" => state.name(), "reason" => reason);
        }
        port.state = state;
        port.note_state();
    }
}

impl Handler<PortGone> for Switch {
    type Result = ();

    fn handle(&mut self, gone: PortGone, _: &mut Context<Self>) {
        let Some((at, link)) = self.find_link(gone.port, gone.link) else { return };
        if self.ports[at].links.len() > 1 {
            self.link_down(at, link, PortState::Connecting { reason: Some(gone.reason) });
            self.ports[at].links.remove(link);
        } else if let Some(port) = self.remove(gone.port) {
            self.tell_deleted(&port, &gone.reason);
            info!(port.log, "port has ended";
                "port" => %gone.port, "type" => port.kind, "target" => port.target,
                "reason" => gone.reason);
        }
    }
}

//! Settings of ports in the Switch: each port has its own and may have a profile's, all have
//! the same defaults, and what is in force is worked out when one of them changes. A frame
//! sees only the outcome.

use std::sync::Arc;

use actix::prelude::*;
use slog::info;
use tokio::time::Instant;

use super::{PortEntry, Switch};
use crate::{
    core::{
        fdb::PortNumber,
        interface::InterfaceStatus,
        line::Direction,
        settings::{
            Excess, InForce, Layers, LldpStatus, Origin, PathCost, PortRef, PortSettings, Profiles,
            SETTINGS, Setting,
        },
        stp::default_cost,
        vlan::PortVlans,
    },
    message::{Credit, FindPort, ListProfiles, PortInfo, SetDefaults, SetPort, SetPortError},
};

impl Switch {
    /// Where the port at `at` has its settings from.
    fn layers(&self, at: usize) -> Layers<'_> {
        let port = &self.ports[at];
        let holder = port.holder.as_ref();
        Layers::new(port.kind, &port.own, holder, &self.profiles, &self.defaults)
    }

    /// The settings of the port at `at` as they are in force.
    pub(super) fn in_force(&self, at: usize) -> Vec<InForce> {
        let (port, layers) = (&self.ports[at], self.layers(at));
        let mut all = port.applied.clone();
        // Their defaults depend on the kind.
        all.stp_trust = Some(port.guards.stp_trust);
        all.stp_cost = all.stp_cost.or_else(|| PathCost::new(default_cost(port.kind)));
        all.lldp_status = Some(port.lldp);
        let of = |setting: &'static Setting| {
            let mut one = layers.in_force(setting, &all);
            let is_given = self.given.show(setting.name).is_some() && setting.is_for(port.kind);
            if one.origin == Origin::Default && is_given {
                one.origin = Origin::PortDefaults;
            }
            one
        };
        SETTINGS.iter().map(of).collect()
    }

    /// Whether the port `number`, of this kind, can have these settings of its own.
    pub(super) fn check_settings(
        &self,
        number: Option<PortNumber>,
        kind: &'static str,
        settings: &PortSettings,
    ) -> Result<(), SetPortError> {
        if let Some(name) = &settings.name
            && let Some(port) = self.named(name.as_str())
            && Some(port) != number
        {
            return Err(SetPortError::NameInUse { name: name.clone(), port });
        }
        if let Some(name) = &settings.profile
            && self.profiles.get(name).is_none()
        {
            let known = self.profiles.names();
            return Err(SetPortError::NoSuchProfile { name: name.clone(), known });
        }
        if let Some(port) = &settings.carrier_from
            && self.is_own(port, number, settings)
        {
            return Err(SetPortError::OwnCarrier { port: port.clone() });
        }
        settings.check_kind(kind)?;
        let holder = number.and_then(|number| self.ports[self.find(number)?].holder.as_ref());
        let layers = Layers::new(kind, settings, holder, &self.profiles, &self.defaults);
        PortVlans::new(&layers.merged())?;
        Ok(())
    }

    /// Whether `port` names the one that is called `number`, or that will be next, which is to
    /// have these settings.
    fn is_own(&self, port: &PortRef, number: Option<PortNumber>, new: &PortSettings) -> bool {
        let at = number.and_then(|number| self.find(number));
        let name = new.name.as_ref().or_else(|| self.ports[at?].own.name.as_ref());
        let is_named = name.is_some_and(|name| name.as_str() == port.as_str());
        is_named || self.referred(port) == Some(number.unwrap_or(self.next))
    }

    /// Number of the port that a setting names by number, by name or by its device.
    pub(super) fn referred(&self, port: &PortRef) -> Option<PortNumber> {
        let number = port.as_str().parse().ok().and_then(PortNumber::new);
        number.or_else(|| self.called(port.as_str()))
    }

    /// Number of the port of this name, or else of the one with a device of that name.
    fn called(&self, name: &str) -> Option<PortNumber> {
        self.named(name).or_else(|| {
            let is_it = |port: &&PortEntry| port.interface.as_deref() == Some(name);
            self.ports.iter().map(|(_, port)| port).find(is_it).map(|port| port.number)
        })
    }

    pub(super) fn named(&self, name: &str) -> Option<PortNumber> {
        let is_it = |port: &&PortEntry| port.own.name.as_ref().is_some_and(|n| n.as_str() == name);
        self.ports.iter().map(|(_, port)| port).find(is_it).map(|port| port.number)
    }

    /// Sets what is given, all of it or nothing.
    pub(super) fn set_port(&mut self, set: SetPort) -> Result<PortInfo, SetPortError> {
        let SetPort { port, settings, clear } = set;
        let at = self.find(port).ok_or(SetPortError::NoSuchPort(port))?;
        let mut own = self.ports[at].own.clone();
        clear.iter().for_each(|name| own.clear(name));
        let own = settings.or(&own);
        self.check_settings(Some(port), self.ports[at].kind, &own)?;
        if !clear.is_empty() || settings.given().next().is_some() {
            info!(self.log, "port is set"; "port" => %port, "settings" => settings.describe(),
                "default" => clear.join(", "));
            self.ports[at].own = own;
            self.apply_settings(at);
        }
        Ok(self.ports[at].info())
    }

    /// Puts the settings of the port at `at` in force. What is in force already is not
    /// touched.
    pub(super) fn apply_settings(&mut self, at: usize) {
        let layers = self.layers(at);
        let (settings, profile) = (layers.merged(), layers.profile().cloned());
        let port = &mut self.ports[at];
        port.profile = profile;
        port.shut = settings.shut();
        port.only = settings.static_macs.iter().flat_map(|list| list.as_slice()).copied().collect();
        let changed = settings.differing(&port.applied);
        let is_new = port.applied == PortSettings::default();
        let reopens = |name: &&str| Setting::find(name).is_some_and(|setting| setting.reopens);
        if changed.iter().any(reopens) {
            // What others have set on the interface comes back as well.
            let status = port.status.as_ref().map(InterfaceStatus::settings);
            port.kept = port.kept.take().or(status);
            for link in &port.links {
                link.reopen.send_modify(|opening| opening.settings.clone_from(&settings));
            }
        }
        for direction in Direction::ALL {
            let limit = direction.limit(&settings);
            // A port that is new shares what the others of its holder have used.
            if !is_new && limit != direction.limit(&port.applied) {
                self.holders[port.held].buckets.reset(direction);
            }
            let policed = limit.filter(|(_, excess)| *excess == Excess::Police);
            port.policed[direction as usize] = policed.map(|(rate, _)| rate);
        }
        port.applied.clone_from(&settings);
        self.isolation.set(at, &settings);
        port.link_settings.apply(&settings);
        port.guards.apply(&settings);
        let has_roles = port.guards.roles.is_any();
        port.is_checked = has_roles || !port.only.is_empty() || settings.allowed_ips.is_some();
        port.guards.stp_trust = settings.stp_trust.unwrap_or_else(|| port.interface.is_some());
        let is_told = self.lldp.is_on && port.interface.is_some();
        let usual = if is_told { LldpStatus::RxAndTx } else { LldpStatus::Disabled };
        port.lldp = settings.lldp_status.unwrap_or(usual);
        let (is_watched, is_inspected) = (port.guards.is_watched(), port.guards.source_guard);
        let (number, max_macs) = (port.number, settings.max_macs());
        let now = Instant::now().into_std();
        self.relay.fdb_mut().set_max_macs(number, max_macs);
        self.relay.fdb_mut().set_sticky(number, settings.sticky(), now);
        self.watch(at, is_watched, is_inspected);
        self.lldp.agents.change(Some(number), now);
        self.suppress(at, settings.neigh_suppress());
        self.name_bindings(at);
        self.set_permanent(at);
        self.apply_vlans(at, &settings);
        self.followers.set(at, self.ports[at].applied.carrier_from.is_some());
        if self.ports[at].guards.blocked.is_some_and(|one| !one.is_wanted(&self.ports[at].guards)) {
            self.unblock(at);
        }
        self.find_mirrored();
        self.note_forwarding(at);
        self.note_open(at);
        self.deliver(&Credit::NONE);
    }
}

impl Handler<SetPort> for Switch {
    type Result = Result<PortInfo, SetPortError>;

    fn handle(&mut self, set: SetPort, _: &mut Context<Self>) -> Self::Result {
        self.set_port(set)
    }
}

impl Handler<SetDefaults> for Switch {
    type Result = ();

    fn handle(&mut self, set: SetDefaults, _: &mut Context<Self>) {
        self.defaults = set.ports.or(&PortSettings::declared());
        self.given = set.ports;
        self.profiles = set.profiles;
        self.relay.fdb_mut().set_aging_time(set.aging_time);
        self.memory.set_bound(set.queue_memory);
        self.bindings.set_capacity(set.max_bindings);
        self.set_stp(set.stp);
        self.vlans.names = set.vlan_names;
        self.lldp.is_on = set.lldp;
        self.set_snooping(set.snooping);
        for at in self.ports.places() {
            self.apply_settings(at);
        }
    }
}

impl Handler<ListProfiles> for Switch {
    type Result = Arc<Profiles>;

    fn handle(&mut self, _: ListProfiles, _: &mut Context<Self>) -> Self::Result {
        Arc::clone(&self.profiles)
    }
}

impl Handler<FindPort> for Switch {
    type Result = Option<PortNumber>;

    fn handle(&mut self, find: FindPort, _: &mut Context<Self>) -> Self::Result {
        self.called(find.name.as_str())
    }
}

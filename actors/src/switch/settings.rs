//! Settings of ports in the Switch: each port has its own, all have the same defaults, and
//! what is in force is worked out when one of both changes. A frame sees only the outcome.

use actix::prelude::*;
use slog::info;
use tokio::time::Instant;

use super::{PortEntry, Switch};
use crate::{
    core::{
        fdb::PortNumber,
        interface::InterfaceStatus,
        settings::{InForce, Origin, PortSettings, SETTINGS, Setting},
    },
    message::{Credit, FindPort, PortInfo, SetDefaults, SetPort, SetPortError},
};

impl PortEntry {
    /// Its settings as they are in force, over the `defaults` for all ports.
    pub(super) fn in_force(&self, defaults: &PortSettings) -> Vec<InForce> {
        let mut all = self.own.or(defaults);
        // Its default depends on the kind.
        all.stp_trust = Some(self.guards.stp_trust);
        let of = |name| InForce {
            name,
            value: all.show(name).unwrap_or_default(),
            origin: if self.own.show(name).is_some() { Origin::Own } else { Origin::Default },
        };
        SETTINGS.iter().map(|setting| of(setting.name)).collect()
    }
}

impl Switch {
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
        Ok(settings.check_kind(kind)?)
    }

    pub(super) fn named(&self, name: &str) -> Option<PortNumber> {
        let is_it = |port: &&PortEntry| port.own.name.as_ref().is_some_and(|n| n.as_str() == name);
        self.ports.iter().map(|(_, port)| port).find(is_it).map(|port| port.number)
    }

    /// Puts the settings of the port at `at` in force: its own over the defaults. What is
    /// in force already is not touched.
    pub(super) fn apply_settings(&mut self, at: usize) {
        let port = &mut self.ports[at];
        let settings = port.own.or(&self.defaults);
        port.shut = settings.shut();
        port.only = settings.static_macs.iter().flat_map(|list| list.as_slice()).copied().collect();
        let changed = settings.differing(&port.applied);
        let reopens = |name: &&str| Setting::find(name).is_some_and(|setting| setting.reopens);
        if changed.iter().any(reopens) {
            // What others have set on the interface comes back as well.
            let status = port.status.as_ref().map(InterfaceStatus::settings);
            port.kept = port.kept.take().or(status);
            port.reopen.send_modify(|opening| opening.settings.clone_from(&settings));
        }
        port.applied.clone_from(&settings);
        port.link_settings.apply(&settings);
        port.guards.apply(&settings);
        let may_trust = Setting::find("stp-trust").is_some_and(|one| one.is_for(port.kind));
        port.guards.stp_trust =
            may_trust && settings.stp_trust.unwrap_or_else(|| port.interface.is_some());
        let (number, max_macs) = (port.number, settings.max_macs());
        let now = Instant::now().into_std();
        self.relay.fdb_mut().set_max_macs(number, max_macs);
        self.relay.fdb_mut().set_sticky(number, settings.sticky(), now);
        self.set_permanent(at);
        self.followers.set(at, self.ports[at].applied.carrier_from.is_some());
        if self.ports[at].guards.blocked.is_some_and(|one| !one.is_wanted(&self.ports[at].guards)) {
            self.unblock(at);
        }
        self.note_forwarding(at);
        self.note_open(at);
        self.deliver(&Credit::NONE);
    }
}

impl Handler<SetPort> for Switch {
    type Result = Result<PortInfo, SetPortError>;

    fn handle(&mut self, set: SetPort, _: &mut Context<Self>) -> Self::Result {
        let at = self.find(set.port).ok_or(SetPortError::NoSuchPort(set.port))?;
        self.check_settings(Some(set.port), self.ports[at].kind, &set.settings)?;
        info!(self.log, "port is set"; "port" => %set.port, "settings" => set.settings.describe(),
            "default" => set.clear.join(", "));
        let own = &mut self.ports[at].own;
        set.clear.iter().for_each(|name| own.clear(name));
        *own = set.settings.or(own);
        self.apply_settings(at);
        Ok(self.ports[at].info())
    }
}

impl Handler<SetDefaults> for Switch {
    type Result = ();

    fn handle(&mut self, set: SetDefaults, _: &mut Context<Self>) {
        self.defaults = set.ports.or(&PortSettings::declared());
        self.relay.fdb_mut().set_aging_time(set.aging_time);
        self.memory.set_bound(set.queue_memory);
        for at in self.ports.places() {
            self.apply_settings(at);
        }
    }
}

impl Handler<FindPort> for Switch {
    type Result = Option<PortNumber>;

    fn handle(&mut self, find: FindPort, _: &mut Context<Self>) -> Self::Result {
        let name = find.name.as_str();
        self.named(name).or_else(|| {
            let is_it = |port: &&PortEntry| port.interface.as_deref() == Some(name);
            self.ports.iter().map(|(_, port)| port).find(is_it).map(|port| port.number)
        })
    }
}

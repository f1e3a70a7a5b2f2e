//! The configuration in force: brings switch and listeners to what the file says, at the
//! start and each time that it is read again, by changing what differs and nothing else;
//! and writes the ports that there are back into the file.
//!
//! A file in which anything is wrong changes nothing. Ports that control has added stay
//! until they are deleted, whatever the file says.

use std::{
    fs::{self, File, Metadata},
    io::{self, Write as _},
    net::IpAddr,
    path::Path,
    sync::Arc,
};

use anyhow::Result;
use etherws_actors::{
    control::ControlError,
    error::one_line,
    fdb::{FdbFilter, PortNumber, Status},
    interface::{AddressSetting, InterfaceSettings},
    kinds::PortSpec,
    message::PortInfo,
    monitor::{Event, Kind},
    settings::{Label, PortSettings, Profiles},
};
use slog::{error, info, warn};
use tokio::sync::mpsc;

use super::{
    listeners::{Listeners, Shared},
    specs::{defaults, listener_specs},
};
use crate::{
    capture::mirror::Mirror,
    check,
    config::{self, Action, Change, Port, PortIndex, Source, Sw},
    files, logging,
    refusal::Refusal,
    server::{
        certificates,
        operation::{Operation, Requested},
    },
    service,
};

/// The program's configuration, and what it was applied to.
#[derive(Debug)]
pub(super) struct InForce {
    pub(super) shared: Shared,
    listeners: Listeners,
    pub(super) options: Sw,
    /// The ports of the file, in its order, and the numbers that they have.
    ports: Vec<(Port, PortNumber)>,
    /// The same of its mirrors.
    pub(super) mirrors: Vec<(Mirror, u32)>,
}

impl InForce {
    /// With listeners that were started from `options`, and no port of the file yet.
    pub(super) fn new(shared: Shared, listeners: Listeners, options: Sw) -> Self {
        shared.status.certificates.set(certificates::files(&options));
        Self { shared, listeners, options, ports: Vec::new(), mirrors: Vec::new() }
    }

    /// Adds the ports of the file, and its mirrors. Says what would keep it from being read again.
    pub(super) async fn add_ports(&mut self) {
        if let Some(Err(error)) = self.options.source.as_ref().map(Source::read_again) {
            let error = one_line(&*error);
            warn!(self.shared.log, "a reload would fail: {error}");
        }
        let mut changes = self.change_ports(self.options.ports.clone()).await;
        changes.extend(self.change_mirrors(&self.options.mirrors.clone()).await);
        for change in changes {
            if change.action == Action::Kept {
                error!(self.shared.log, "configuration could not be applied"; "item" => change.item,
                    "port" => change.port, "reason" => change.note);
            }
        }
    }

    /// Carries out what is requested, one after the other, for as long as this runs.
    pub(super) async fn operate(mut self, mut requested: mpsc::Receiver<Requested>) {
        while let Some((operation, answer)) = requested.recv().await {
            let outcome = match operation {
                Operation::Reload => {
                    service::reloading(&self.shared.log);
                    let outcome = self.reload().await;
                    service::ready(&self.shared.log);
                    outcome
                }
                Operation::Save => self.save().await,
            };
            // Whoever asked may have gone.
            let _ = answer.send(outcome);
        }
    }

    /// Reads all files again. Gives what has changed, and what should have and could not.
    async fn reload(&mut self) -> Result<Vec<Change>, Refusal> {
        logging::reopen();
        // To the new files alone: who has renamed the old ones reads them already.
        info!(self.shared.log, "reloading");
        let outcome = self.apply().await;
        // Passwords and certificates, whatever the configuration is worth.
        self.shared.reload.request();
        self.shared.status.certificates.set(certificates::files(&self.options));
        let event = Event::new(Kind::Reload);
        match &outcome {
            Ok(changes) if changes.is_empty() => {}
            Ok(changes) => {
                for change in changes {
                    match &change.note {
                        Some(note) => {
                            info!(self.shared.log, "configuration: {change}"; "note" => note);
                        }
                        None => info!(self.shared.log, "configuration: {change}"),
                    }
                }
                info!(self.shared.log, "configuration read again"; "changes" => changes.len());
                let items = changes.iter().map(|change| change.to_string());
                let items = items.collect::<Vec<_>>().join(", ");
                self.shared.status.monitor.tell(|| event.text("changed", &items));
            }
            Err(refusal) => {
                error!(self.shared.log, "configuration stays as it was"; "reason" => refusal.text());
                self.shared.status.monitor.tell(|| event.text("refused", refusal.text()));
            }
        }
        outcome
    }

    async fn apply(&mut self) -> Result<Vec<Change>, Refusal> {
        let Some(source) = &self.options.source else { return Ok(Vec::new()) };
        let wrong = |error: anyhow::Error| Refusal::value(one_line(&*error));
        let (source, sw) = source.read_again().map_err(wrong)?;
        let faults = check::verify(&sw, &source.file, &[]);
        if !faults.is_empty() {
            return Err(wrong(source.file.faults(&faults).into()));
        }
        let new = Sw { source: Some(source), ..sw };
        let changed = self.listeners.change(listener_specs(&new), new.control_socket.clone()).await;
        let changed = changed.map_err(|error| Refusal::os(one_line(&*error)))?;
        let mut changes: Vec<_> =
            changed.into_iter().map(|(action, item)| Change::new(action, item)).collect();
        changes.extend(self.change_switch(&new).await);
        changes.extend(self.change_ports(new.ports.clone()).await);
        changes.extend(self.change_mirrors(&new.mirrors).await);
        changes.extend(self.drop_profiles(&new).await);
        // As it is, and not as it should be.
        let Sw { threads, state, pid_file, user, logging, hosts, events, control_proxies, .. } =
            self.options.clone();
        self.options =
            Sw { threads, state, pid_file, user, logging, hosts, events, control_proxies, ..new };
        Ok(changes)
    }

    async fn change_switch(&self, new: &Sw) -> Vec<Change> {
        let old = &self.options;
        let mut changes = Vec::new();
        let mut changed = |key: &str| changes.push(Change::new(Action::Changed, key));
        if old.limits != new.limits {
            self.shared.status.sessions.set_limits(new.limits.within(self.shared.descriptors));
            changed("tunnel: limits of sessions");
        }
        if old.roles != new.roles {
            self.shared.status.set_roles(new.roles.clone());
            changed("control.roles");
        }
        let (before, mut after) = (defaults(old), defaults(new));
        if before.profiles != after.profiles {
            self.shared.status.sessions.set_profiles(Arc::clone(&after.profiles));
            changed("profile");
        }
        changes.extend(self.change_users(new).await);
        let mut changed = |key: &str| changes.push(Change::new(Action::Changed, key));
        for (key, is_other) in [
            ("switch.ageout", before.aging_time != after.aging_time),
            ("switch.queue-memory", before.queue_memory != after.queue_memory),
            ("switch.lldp", before.lldp != after.lldp),
            ("switch.max-bindings", before.max_bindings != after.max_bindings),
            ("switch.stp", before.stp != after.stp),
            ("switch.mcast-snooping", before.snooping.is_on != after.snooping.is_on),
            ("switch.mcast-querier", before.snooping.is_querier != after.snooping.is_querier),
            ("switch.mcast-groups", before.snooping.groups != after.snooping.groups),
            ("port-defaults", before.ports != after.ports),
            ("vlan-names", before.vlan_names != after.vlan_names),
        ] {
            if is_other {
                changed(key);
            }
        }
        if before != after {
            // Ports may still name those that are gone.
            let profiles = Profiles::clone(&after.profiles).beside(&before.profiles);
            after.profiles = Arc::new(profiles);
            // The switch has ended otherwise, and the program ends with it.
            let _ = self.shared.control.set_defaults(after).await;
        }
        let folder = |sw: &Sw| sw.users.as_ref().map(|users| users.folder.clone());
        let fixed = [
            ("switch.threads", old.threads != new.threads),
            ("switch.mac", old.mac != new.mac),
            ("switch.hosts", old.hosts != new.hosts),
            ("switch.events", old.events != new.events),
            ("switch.user", old.user != new.user),
            ("switch.state", old.state != new.state),
            (
                "control.trusted-proxies, for the socket",
                old.control_socket.is_some()
                    && new.control_socket.is_some()
                    && old.control_proxies != new.control_proxies,
            ),
            ("switch.pid-file", old.pid_file != new.pid_file),
            ("tunnel.acme", old.acme != new.acme),
            ("users.folder", folder(old) != folder(new)),
            ("log.debug", old.logging.debug != new.logging.debug),
            ("log.conf", old.logging.conf != new.logging.conf),
        ];
        for (key, differs) in fixed {
            if differs {
                let note = "a running switch keeps it; restart it";
                changes.push(Change::new(Action::Kept, key).note(note));
            }
        }
        changes
    }

    /// Drops the profiles that are gone, once the ports of the file name others. Tells of ports
    /// that name them all the same, as control has set them.
    async fn drop_profiles(&self, new: &Sw) -> Vec<Change> {
        let (old, new_ones) = (&self.options.profiles, &new.profiles);
        let gone = |name: &Label| new_ones.get(name).is_none();
        if !old.iter().any(|(name, _)| gone(name)) {
            return Vec::new();
        }
        let ports = self.shared.control.list_ports().await.unwrap_or_default();
        let _ = self.shared.control.set_defaults(defaults(new)).await;
        let change = |port: PortInfo| {
            let profile = port.profile.filter(gone)?;
            let change = Change::new(Action::Changed, format!("{} {}", port.kind, port.target));
            Some(change.port(port.port).note(format!("its profile {profile} is gone")))
        };
        ports.into_iter().filter_map(change).collect()
    }

    /// Makes these the ports of the file.
    async fn change_ports(&mut self, new: Vec<Port>) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut old = std::mem::take(&mut self.ports);
        let wanted: PortIndex<()> = new.iter().map(|port| (port, ())).collect();
        // First what goes: a new one may want its interface.
        for (port, number) in old.extract_if(.., |(port, _)| wanted.find(port).is_none()) {
            if self.shared.control.del_port(number).await.is_ok() {
                changes.push(Change::new(Action::Deleted, port.new.to_string()).port(number));
            }
        }
        let of_file: PortIndex<usize> =
            old.iter().enumerate().map(|(at, (port, _))| (port, at)).collect();
        let mut there = PortIndex::default();
        for (number, known) in self.shared.control.known() {
            there.insert_spec(&known.new, number);
        }
        for port in new {
            let before = of_file.find(&port).map(|at| &old[at]);
            // As it is now: control may have changed or deleted it meanwhile.
            let known = |number| Some((number, self.shared.control.known_port(number)?));
            let at = before.and_then(|(_, number)| known(*number));
            let at = at.or_else(|| {
                let same = there.find_spec(&port.new).and_then(known);
                same.filter(|(_, known)| known.new.is_same(&port.new))
            });
            let (number, change) = match at {
                Some((number, known)) if is_unchanged(&known.new, &port.new) => {
                    let before = before.map(|(old, _)| old);
                    (Some(number), self.change_port(number, &port, before).await)
                }
                Some((number, known)) if port.new.is_taken_by(&known.new) => {
                    let before = before.map(|(old, _)| old);
                    (Some(number), Some(self.change_options(number, &port, before).await))
                }
                Some((number, _)) => {
                    // Two tunnels to one server would be a loop: the old one goes first.
                    let _ = self.shared.control.del_port(number).await;
                    let note = format!("opened again; it was port {number}");
                    self.add_port(&port, Action::Changed, Some(note)).await
                }
                None => self.add_port(&port, Action::Added, None).await,
            };
            changes.extend(change);
            if let Some(number) = number {
                self.ports.push((port, number));
            }
        }
        changes
    }

    /// Has a port be opened anew with other options, under its number.
    async fn change_options(
        &self,
        number: PortNumber,
        port: &Port,
        before: Option<&Port>,
    ) -> Change {
        let item = port.new.to_string();
        let (none, new) = (PortSettings::default(), port.new.clone());
        let changed = self.shared.control.change_port(number, new, none, Vec::new()).await;
        if let Err(error) = changed {
            return Change::new(Action::Kept, item).port(number).note(one_line(&error));
        }
        let more = self.change_port(number, port, before).await.and_then(|change| change.note);
        let note = ["opened anew".to_owned()].into_iter().chain(more);
        Change::new(Action::Changed, item).port(number).note(note.collect::<Vec<_>>().join("; "))
    }

    async fn add_port(
        &self,
        port: &Port,
        action: Action,
        note: Option<String>,
    ) -> (Option<PortNumber>, Option<Change>) {
        let interface = interface_settings(port.addresses.iter().flatten(), port.mtu);
        let number = match self
            .shared
            .control
            .keep(port.new.clone(), port.settings.clone(), interface)
            .await
        {
            Ok(number) => number,
            Err(error) => {
                let change = Change::new(Action::Kept, port.new.to_string()).note(one_line(&error));
                return (None, Some(change));
            }
        };
        let mut failed = Vec::new();
        for &(vid, mac) in &port.fdb {
            let added = self.shared.control.add_fdb(vid, mac, number).await;
            failed.extend(added.err().map(|error| one_line(&error)));
        }
        let change = Change::new(action, port.new.to_string()).port(number);
        let failed = (!failed.is_empty()).then(|| failed.join("; "));
        let note = [note, failed].into_iter().flatten().collect::<Vec<_>>().join("; ");
        (Some(number), Some(if note.is_empty() { change } else { change.note(note) }))
    }

    /// Sets what differs on a port; nothing is said of one that is as it is to be.
    async fn change_port(
        &self,
        number: PortNumber,
        port: &Port,
        before: Option<&Port>,
    ) -> Option<Change> {
        let report = self.shared.control.show_port(number).await.ok()?;
        let mut set = Vec::new();
        let mut failed = Vec::new();
        let (settings, clear, names) = Self::differing(&report.own, port, before);
        if !names.is_empty() {
            match self.shared.control.set_port(number, settings, clear).await {
                Ok(_) => set.extend(names),
                Err(error) => failed.push(one_line(&error)),
            }
        }
        for (settings, name) in self.differing_interface(number, port, before).await {
            match self.shared.control.set_interface(number, settings).await {
                Ok(_) => set.push(name),
                Err(error) => failed.push(one_line(&error)),
            }
        }
        let fdb = self.change_fdb(number, port, before).await;
        match fdb {
            Ok(true) => set.push("fdb"),
            Ok(false) => {}
            Err(error) => failed.push(one_line(&error)),
        }
        let (action, note) = match (set.is_empty(), failed.is_empty()) {
            (true, true) => return None,
            (false, true) => (Action::Changed, set.join(", ")),
            (true, false) => (Action::Kept, failed.join("; ")),
            (false, false) => {
                (Action::Changed, format!("{}; {}", set.join(", "), failed.join("; ")))
            }
        };
        Some(Change::new(action, port.new.to_string()).port(number).note(note))
    }

    /// What is to be set and what to be left to the defaults again, so that the port's own
    /// settings are as the file says; and the names of what changes. What control has set
    /// and the file never said anything of stays.
    fn differing(
        own: &PortSettings,
        port: &Port,
        before: Option<&Port>,
    ) -> (PortSettings, Vec<&'static str>, Vec<&'static str>) {
        let wanted = &port.settings;
        let (set, gone): (Vec<_>, Vec<_>) =
            wanted.differing(own).into_iter().partition(|name| wanted.show(name).is_some());
        let was_of_file =
            |name: &&str| before.is_some_and(|before| before.settings.show(name).is_some());
        let clear: Vec<_> = gone.into_iter().filter(was_of_file).collect();
        let names = set.into_iter().chain(clear.iter().copied()).collect();
        (wanted.clone(), clear, names)
    }

    async fn differing_interface(
        &self,
        number: PortNumber,
        port: &Port,
        before: Option<&Port>,
    ) -> Vec<(InterfaceSettings, &'static str)> {
        if port.addresses.is_none() && port.mtu.is_none() && before.is_none() {
            return Vec::new();
        }
        let interfaces = self.shared.control.list_interfaces().await.unwrap_or_default();
        let Some(now) = interfaces.into_iter().find(|one| one.port == number) else {
            return Vec::new();
        };
        let now = now.settings;
        let missing = port.addresses.iter().flatten().filter(|own| !now.addresses.contains(own));
        let mtu = port.mtu.filter(|&mtu| mtu != now.mtu);
        let mut all: Vec<_> = interface_settings(missing, mtu)
            .into_iter()
            .map(|settings| {
                let name = if settings.address.is_some() { "addresses" } else { "mtu" };
                (settings, name)
            })
            .collect();
        let has_v4 = |port: &Port| port.addresses.iter().flatten().any(|(ip, _)| ip.is_ipv4());
        if before.is_some_and(has_v4) && !has_v4(port) {
            let address = Some(AddressSetting::Clear);
            all.push((InterfaceSettings { address, ..Default::default() }, "addresses"));
        }
        all
    }

    /// Whether anything was changed.
    async fn change_fdb(
        &self,
        number: PortNumber,
        port: &Port,
        before: Option<&Port>,
    ) -> Result<bool, ControlError> {
        let own = self.static_entries(number).await;
        let gone = before.map(|before| before.fdb.iter()).into_iter().flatten();
        let gone = gone.filter(|entry| own.contains(entry) && !port.fdb.contains(entry));
        let mut changed = false;
        for &(vid, mac) in gone {
            self.shared.control.del_fdb(vid, mac).await?;
            changed = true;
        }
        for &(vid, mac) in port.fdb.iter().filter(|entry| !own.contains(entry)) {
            self.shared.control.add_fdb(vid, mac, number).await?;
            changed = true;
        }
        Ok(changed)
    }

    async fn static_entries(
        &self,
        number: PortNumber,
    ) -> Vec<(etherws_actors::frame::Vid, etherws_actors::frame::MacAddr)> {
        let filter =
            FdbFilter { port: Some(number), status: Some(Status::Static), ..Default::default() };
        let lines = self.shared.control.list_fdb(filter).await.unwrap_or_default();
        lines.into_iter().map(|line| (line.vid, line.mac)).collect()
    }

    /// Writes the ports that there are into the file. Gives what was written, and which
    /// ports could not be.
    async fn save(&mut self) -> Result<Vec<Change>, Refusal> {
        let Some(source) = self.options.source.clone() else {
            let text = "there is no file to write: the switch runs without --config FILE";
            return Err(Refusal::value(text));
        };
        let path = &source.file.path;
        let failed = |what: &str, error: String| {
            Refusal::os(format!("{} cannot be {what}: {error}", path.display()))
        };
        let now = files::read(path).map_err(|error| failed("read", error.to_string()))?;
        if now != source.file.text.as_bytes() {
            let text = format!("{} was changed since it was read: reload first", path.display());
            return Err(Refusal::value(text));
        }
        let ports = self.running().await;
        let known = self.ports.iter().map(|(port, number)| (port, *number)).collect::<Vec<_>>();
        let mut edited = config::edit(&source.file.text, &known, &ports)
            .map_err(|error| failed("written", error))?;
        let mirrors = self.running_mirrors().await;
        let running: Vec<_> = mirrors.iter().map(|(mirror, _)| mirror.clone()).collect();
        let with = config::edit_mirrors(&edited.text, &self.options.mirrors, &running)
            .map_err(|error| failed("written", error))?;
        edited.text = with.text;
        edited.changes.extend(with.changes);
        if edited.text != source.file.text {
            let metadata = fs::metadata(path).map_err(|e| failed("written", e.to_string()))?;
            write(path, &metadata, edited.text.as_bytes())
                .map_err(|error| failed("written", error.to_string()))?;
            info!(self.shared.log, "configuration written"; "file" => %path.display());
        }
        let (source, sw) =
            source.read_again().map_err(|error| Refusal::runtime(one_line(&*error)))?;
        // In the file's order: those that were there, and then the new ones.
        self.ports = sw
            .ports
            .iter()
            .filter_map(|port| {
                let is_it = |running: &&config::Running| {
                    running.of_file.as_ref().map_or_else(
                        || running.new.is_same(&port.new),
                        |own| own.new.is_same(&port.new) || running.new.is_same(&port.new),
                    )
                };
                let running = ports.iter().find(is_it)?;
                Some((port.clone(), running.number))
            })
            .collect();
        self.options.ports = sw.ports;
        self.options.mirrors = sw.mirrors;
        self.mirrors = mirrors;
        self.options.source = Some(source);
        Ok(edited.changes)
    }

    /// The ports that control has added, as they are now.
    async fn running(&self) -> Vec<config::Running> {
        let mut all = Vec::new();
        for (number, known) in self.shared.control.known() {
            let Ok(report) = self.shared.control.show_port(number).await else { continue };
            let of_file = self.ports.iter().find(|(_, own)| *own == number);
            let new = match known.new.interface() {
                // The number that the kernel has put in.
                Some(_) => known.new.at(&report.info.target),
                None => known.new,
            };
            all.push(config::Running {
                number,
                of_file: of_file.map(|(port, _)| port.clone()),
                new,
                settings: report.own,
                addresses: known.addresses,
                mtu: known.mtu,
                fdb: self.static_entries(number).await,
            });
        }
        all
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.item, self.action.name())
    }
}

/// Replaces a file, and not a link to it: whole or not at all. Where only the file may be written,
/// and not its folder, as in the package, it is written in its place.
fn write(path: &Path, metadata: &Metadata, content: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    match files::replace(&path, Some(metadata), content) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let mut file = File::options().write(true).open(&path)?;
            file.write_all(content)?;
            file.set_len(content.len() as u64)?;
            file.sync_all()
        }
        done => done,
    }
}

/// Whether the port as it was added is the one that the file asks for. The kernel may have put
/// a number into a device's name.
fn is_unchanged(known: &PortSpec, wanted: &PortSpec) -> bool {
    match wanted.interface() {
        Some(name) => known.at(name) == *wanted,
        None => known == wanted,
    }
}

/// One command for each address, and one for the MTU: before an IPv6 address, which wants
/// one that is large enough.
fn interface_settings<'a>(
    addresses: impl Iterator<Item = &'a (IpAddr, u8)>,
    mtu: Option<u32>,
) -> Vec<InterfaceSettings> {
    let mtu = mtu.map(|mtu| InterfaceSettings { mtu: Some(mtu), ..Default::default() });
    let addresses = addresses.map(|&(address, length)| InterfaceSettings {
        address: Some(AddressSetting::Set(address)),
        prefix_len: Some(length),
        mtu: None,
    });
    mtu.into_iter().chain(addresses).collect()
}

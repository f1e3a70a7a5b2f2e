//! The ports of a file: each by itself, and against the others.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    path::Path,
};

use etherws_actors::{
    frame::{MacAddr, Vid},
    interface::AddressSetting,
    kinds::{KindInfo, PortSpec, Via, kinds},
    settings::{Layers, PortSettings, Profiles},
    vlan::PortVlans,
};
use serde_json::{Map, Value};

use super::{
    FdbTable, PortTable,
    resolve::{Checker, Port},
};
use crate::{
    capture::mirror::Mirror,
    parse::{self, PortFault, hint, interface_settings, mac, vid},
    refusal::Refusal,
};

/// Least MTU with IPv4: what every host must take (RFC 791, 3.1).
const MIN_MTU: u32 = 576;

/// Least MTU with IPv6 (RFC 8200, 5).
const MIN_MTU_IPV6: u32 = 1280;

/// Finds ports as those of a file are told apart: by type and target, or by type and name. Of
/// several the first.
#[derive(Debug)]
pub(crate) struct PortIndex<T> {
    targets: HashMap<(&'static str, String), T>,
    names: HashMap<(&'static str, String), T>,
}

impl<T> Default for PortIndex<T> {
    fn default() -> Self {
        Self { targets: HashMap::new(), names: HashMap::new() }
    }
}

impl<T: Copy> PortIndex<T> {
    /// Has `port` found, and gives `value`.
    pub(crate) fn insert(&mut self, port: &Port, value: T) {
        self.insert_spec(&port.new, value);
        if let Some(name) = &port.settings.name {
            self.names.entry((port.new.kind(), name.to_string())).or_insert(value);
        }
    }

    /// The same for a port of which only type and target are known.
    pub(crate) fn insert_spec(&mut self, port: &PortSpec, value: T) {
        self.targets.entry((port.kind(), port.target().to_owned())).or_insert(value);
    }

    /// The port that is the same by type and target, or else by type and name.
    pub(crate) fn find(&self, port: &Port) -> Option<T> {
        let named = || {
            let name = port.settings.name.as_ref()?.to_string();
            self.names.get(&(port.new.kind(), name)).copied()
        };
        self.find_spec(&port.new).or_else(named)
    }

    /// The port that is the same by type and target.
    pub(crate) fn find_spec(&self, port: &PortSpec) -> Option<T> {
        self.targets.get(&(port.kind(), port.target().to_owned())).copied()
    }
}

impl<'a, T: Copy> FromIterator<(&'a Port, T)> for PortIndex<T> {
    fn from_iter<I: IntoIterator<Item = (&'a Port, T)>>(ports: I) -> Self {
        let mut index = Self::default();
        ports.into_iter().for_each(|(port, value)| index.insert(port, value));
        index
    }
}

impl Checker<'_> {
    pub(super) fn ports(
        &mut self,
        tables: &[PortTable],
        profiles: Option<&Profiles>,
        defaults: &PortSettings,
    ) -> Vec<Port> {
        if let Err(error) = PortVlans::new(defaults) {
            self.fault("port-defaults", error.to_string());
        }
        // A session has nothing else; a port that names a profile may add what is missing.
        let of_users = profiles.into_iter().flat_map(|all| all.iter().map(move |one| (all, one)));
        for (all, (name, profile)) in of_users.filter(|(_, (_, one))| !one.users.is_empty()) {
            let layers = Layers::new("server", &profile.settings, None, all, defaults);
            if let Err(error) = PortVlans::new(&layers.merged()) {
                self.fault(&format!("profile.{name}"), error.to_string());
            }
        }
        let mut ports: Vec<Port> = Vec::new();
        let (mut told, mut interfaces, mut names) =
            (PortIndex::default(), HashSet::new(), HashSet::new());
        for (at, table) in tables.iter().enumerate() {
            let key = format!("port.{at}");
            let Some(port) = self.port(&key, table) else { continue };
            self.names_profile(&key, &port.settings, profiles);
            if let Some(profiles) = profiles {
                let layers = Layers::new(port.new.kind(), &port.settings, None, profiles, defaults);
                if let Err(error) = PortVlans::new(&layers.merged()) {
                    self.fault(&key, error.to_string());
                }
            }
            let is_new_interface =
                port.new.interface().is_none_or(|name| interfaces.insert(name.to_owned()));
            if told.find_spec(&port.new).is_some() {
                let text = format!("duplicate port {}; delete one of the two", port.new);
                self.fault(&format!("{key}.target"), text);
            } else if let Some(interface) = port.new.interface()
                && !is_new_interface
            {
                let text =
                    format!("interface {interface} is another port already; delete one of the two");
                self.fault(&format!("{key}.target"), text);
            }
            if let Some(name) = &port.settings.name
                && !names.insert(name.clone())
            {
                let text = format!("name {name} is another port's already; give each port its own");
                self.fault(&format!("{key}.name"), text);
            }
            if let Some(of) = &port.settings.carrier_from
                && port.is_called(of.as_str())
            {
                let text = format!("carrier-from {of} is the port itself; name the one to follow");
                self.fault(&format!("{key}.carrier-from"), text);
            }
            told.insert_spec(&port.new, ());
            ports.push(port);
        }
        let mut seen = HashSet::new();
        for (at, port) in ports.iter().enumerate() {
            for (line, entry) in port.fdb.iter().enumerate() {
                if !seen.insert(*entry) {
                    let text = format!("duplicate address {}; delete one of them", entry.1);
                    self.fault(&format!("port.{at}.fdb.{line}.mac"), text);
                }
            }
        }
        ports
    }

    /// Those that can be, each once.
    pub(super) fn mirrors(&mut self, tables: &[Mirror]) -> Vec<Mirror> {
        let mut mirrors = Vec::new();
        for (at, table) in tables.iter().enumerate() {
            match table.mirror() {
                Ok(what) => mirrors.push(Mirror::from(&what)),
                Err(refusal) => self.fault(&format!("mirror.{at}"), refusal.text()),
            }
        }
        mirrors
    }

    fn port(&mut self, key: &str, table: &PortTable) -> Option<Port> {
        let before = self.faults.len();
        let names: Vec<_> = kinds().iter().map(|kind| kind.name).collect();
        let kind = self.required(key, "type", &names.join(", "), table.kind.as_deref())?;
        let Some(info) = KindInfo::find(kind) else {
            self.fault(&format!("{key}.type"), hint("value", kind, &names));
            return None;
        };
        let target = table.options.get("target");
        self.required(key, "target", "an interface's name or a URL", target)?;
        let of_interfaces =
            [("addresses", table.addresses.is_some()), ("mtu", table.mtu.is_some())];
        for (name, _) in of_interfaces.iter().filter(|(_, given)| *given && !info.interface) {
            let text = format!("{name} is for tap and netdev ports only; delete it");
            self.fault(&format!("{key}.{name}"), text);
        }
        if let Err(error) = table.settings.check_kind(kind) {
            let name = error.setting.name;
            self.fault(&format!("{key}.{name}"), format!("{error}; delete it"));
        }
        let new = self.spec(key, kind, table.options.clone());
        let settings = table.settings.clone();
        let addresses = table.addresses.as_ref().map(|texts| self.addresses(key, texts));
        let entries = table.fdb.iter().enumerate();
        let fdb =
            entries.filter_map(|(at, entry)| self.fdb(&format!("{key}.fdb.{at}"), entry)).collect();
        let v6 = addresses.iter().flatten().any(|(address, _)| address.is_ipv6());
        let least = if v6 { MIN_MTU_IPV6 } else { MIN_MTU };
        if let Some(mtu) = table.mtu.filter(|&mtu| mtu < least) {
            self.fault(&format!("{key}.mtu"), format!("mtu {mtu}: give {least} or more"));
        }
        let port = Port { new: new?, settings, addresses, mtu: table.mtu, fdb };
        (self.faults.len() == before).then_some(port)
    }

    /// What a table must have; that it is missing is not told of one that is wrong.
    fn required<T>(
        &mut self,
        table: &str,
        name: &str,
        values: &str,
        value: Option<T>,
    ) -> Option<T> {
        let key = format!("{table}.{name}");
        if value.is_none() && !self.faults.iter().any(|fault| fault.key == key) {
            self.fault(&key, format!("{name} is missing; give {values}"));
        }
        value
    }

    /// Kind, target and options.
    fn spec(&mut self, key: &str, kind: &str, options: Map<String, Value>) -> Option<PortSpec> {
        let files = KindInfo::find(kind).map_or(&[][..], |kind| kind.files);
        let before = self.faults.len();
        let spec = match parse::port(kind, options, Via::File) {
            Ok(spec) => spec,
            Err(faults) => {
                for PortFault { key: name, refusal } in faults {
                    self.fault(&format!("{key}.{name}"), refusal.text());
                }
                return None;
            }
        };
        for (name, value) in spec.options().iter().filter(|(name, _)| files.contains(&&***name)) {
            self.readable(&format!("{key}.{name}"), value.as_str().map(Path::new));
        }
        (self.faults.len() == before).then_some(spec)
    }

    /// At most one of each family, since an interface has one that is set.
    fn addresses(&mut self, key: &str, texts: &[String]) -> Vec<(IpAddr, u8)> {
        let mut addresses: Vec<(IpAddr, u8)> = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            let key = format!("{key}.addresses.{at}");
            match interface_settings(Some(text), None, None)
                .map(|set| (set.address, set.prefix_len))
            {
                Ok((Some(AddressSetting::Set(address)), Some(length))) => {
                    if addresses.iter().any(|(other, _)| other.is_ipv4() == address.is_ipv4()) {
                        let text = format!(
                            "address {text}: one IPv4 and one IPv6 address at most; delete one"
                        );
                        self.fault(&key, text);
                    }
                    addresses.push((address, length));
                }
                Ok(_) => {
                    let text = format!("address {text:?} has no prefix; write 192.0.2.1/24");
                    self.fault(&key, text);
                }
                Err(refusal) => self.fault(&key, refusal.text()),
            }
        }
        addresses
    }

    fn fdb(&mut self, key: &str, entry: &FdbTable) -> Option<(Vid, MacAddr)> {
        let mut keep = |name: &str, refusal: Refusal| {
            self.fault(&format!("{key}.{name}"), refusal.text());
        };
        let vid = vid(entry.vlan.unwrap_or(0).into()).map_err(|refusal| keep("vlan", refusal));
        let mac = entry.mac.as_ref().map(|text| mac(text).map_err(|refusal| keep("mac", refusal)));
        let mac = self.required(key, "mac", "an address as 02:00:00:00:00:01", mac);
        Some((vid.ok()?, mac?.ok()?))
    }
}

#[cfg(test)]
mod tests {
    use etherws_actors::settings::PortName;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_port_is_found_by_its_target_before_its_name_and_the_first_of_several() {
        let port = |device: &str, name: Option<&str>| {
            let options = Map::from_iter([("target".to_owned(), json!(device))]);
            let name: Option<PortName> = name.map(|name| name.parse().unwrap());
            let settings = PortSettings { name, ..PortSettings::default() };
            Port { settings, ..PortSpec::from_options("tap", options).unwrap().into() }
        };
        let ports =
            [port("a", None), port("b", Some("up")), port("a", Some("up")), port("c", Some("up"))];
        let index: PortIndex<usize> = ports.iter().zip(0..).collect();
        let found = |device, name| index.find(&port(device, name));
        assert_eq!(found("a", Some("up")), Some(0));
        assert_eq!(found("c", None), Some(3));
        assert_eq!(found("d", Some("up")), Some(1));
        assert_eq!((found("d", None), found("d", Some("a"))), (None, None));
        assert_eq!(index.find_spec(&port("d", Some("up")).new), None);
    }
}

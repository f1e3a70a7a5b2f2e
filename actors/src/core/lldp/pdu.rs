//! An LLDPDU: what a system tells of itself to whoever is at the other end of a cable
//! (IEEE 802.1AB-2016, clause 8; IEEE 802.1Q, annex D; IEEE 802.3, 79.3).
//!
//! Whatever is well-formed is read, and what is unknown in it is skipped. Strangers have written
//! it: all of it is bounded, and texts cannot steer a terminal.

use std::{fmt, net::IpAddr};

use crate::{
    core::{error::is_harmful, frame::MacAddr},
    names,
};

/// EtherType of LLDP (IEEE 802.1AB, 7.4).
pub const ETHERTYPE_LLDP: u16 = 0x88cc;

/// Types of TLV (IEEE 802.1AB, table 8-1).
const END: u8 = 0;
const CHASSIS_ID: u8 = 1;
const PORT_ID: u8 = 2;
const TTL: u8 = 3;
const PORT_DESCRIPTION: u8 = 4;
const SYSTEM_NAME: u8 = 5;
const SYSTEM_DESCRIPTION: u8 = 6;
const CAPABILITIES: u8 = 7;
const MANAGEMENT_ADDRESS: u8 = 8;
const SPECIFIC: u8 = 127;

/// Who has defined a TLV, and its number there: port VLAN ID and VLAN name (IEEE 802.1Q, D.2),
/// maximum frame size (IEEE 802.3, 79.3.4).
const PVID: [u8; 4] = [0x00, 0x80, 0xc2, 1];
const VLAN_NAME: [u8; 4] = [0x00, 0x80, 0xc2, 3];
const MAX_FRAME: [u8; 4] = [0x00, 0x12, 0x0f, 4];

/// Longest value of a TLV, in octets: its length has nine bits (IEEE 802.1AB, 8.4.2).
const MAX_VALUE: usize = 511;

/// Longest text and longest id, in octets (IEEE 802.1AB, 8.5).
const MAX_TEXT: usize = 255;

/// Longest management address with its family, in octets (IEEE 802.1AB, 8.5.9.3).
const MAX_ADDRESS: usize = 32;

/// Longest name of a VLAN, in octets (IEEE 802.1Q, D.2.3.4).
const MAX_VLAN_NAME: usize = 32;

/// Management addresses of a system that are kept.
const MAX_ADDRESSES: usize = 8;

/// Named VLANs of a port that are kept.
const MAX_VLANS: usize = 64;

/// What a management address's interface is numbered by: port numbers of the system
/// (IEEE 802.1AB, 8.5.9.5).
const SYSTEM_PORT_NUMBER: u8 = 3;

names! {
    /// What an id of a system or of a port is, by the words of `lldpctl`.
    pub enum IdType {
        /// A part of an entity (RFC 6933).
        Component = "component",
        /// What the operator calls an interface.
        IfAlias = "ifalias",
        /// A port of a chassis or a backplane (RFC 6933).
        Port = "port",
        /// A MAC address.
        Mac = "mac",
        /// A network address.
        Ip = "ip",
        /// Name of an interface.
        IfName = "ifname",
        /// A circuit of a relay agent (RFC 3046).
        Circuit = "circuit",
        /// What the system has made up.
        Local = "local",
        /// None that the standard knows.
        Reserved = "reserved",
    }
}

/// Types of a chassis id by its subtype, from 1 (IEEE 802.1AB, table 8-2).
const CHASSIS_TYPES: [IdType; 7] = [
    IdType::Component,
    IdType::IfAlias,
    IdType::Port,
    IdType::Mac,
    IdType::Ip,
    IdType::IfName,
    IdType::Local,
];

/// Types of a port id by its subtype, from 1 (IEEE 802.1AB, table 8-3).
const PORT_TYPES: [IdType; 7] = [
    IdType::IfAlias,
    IdType::Component,
    IdType::Mac,
    IdType::Ip,
    IdType::IfName,
    IdType::Circuit,
    IdType::Local,
];

names! {
    /// What a system can be (IEEE 802.1AB, table 8-4), in the order of its bits.
    pub enum Capability {
        /// Something else.
        Other = "other",
        /// A repeater.
        Repeater = "repeater",
        /// A bridge: a switch.
        Bridge = "bridge",
        /// An access point.
        Wlan = "wlan",
        /// A router.
        Router = "router",
        /// A telephone.
        Telephone = "telephone",
        /// A cable modem.
        Docsis = "docsis",
        /// A station, and nothing else.
        Station = "station",
        /// A bridge of customer VLANs.
        CVlan = "c-vlan",
        /// A bridge of service VLANs.
        SVlan = "s-vlan",
        /// A two-port MAC relay.
        Tpmr = "tpmr",
    }
}

/// What a system can be, and is: a bit for each [`Capability`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// What it can be.
    pub system: u16,
    /// What of that it is.
    pub enabled: u16,
}

impl Capabilities {
    /// A bridge that bridges.
    pub const BRIDGE: Self =
        Self { system: 1 << Capability::Bridge as u16, enabled: 1 << Capability::Bridge as u16 };

    /// What these bits stand for.
    pub fn names(bits: u16) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |one| bits >> *one as u16 & 1 == 1)
    }
}

/// What a system or a port is told from others by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// What it is.
    pub kind: IdType,
    octets: Box<[u8]>,
}

impl Id {
    /// A MAC address.
    #[must_use]
    pub fn mac(mac: MacAddr) -> Self {
        Self { kind: IdType::Mac, octets: mac.0.into() }
    }

    /// A text of this kind, of which the first 255 octets count; not an empty one.
    #[must_use]
    pub fn text(kind: IdType, text: &str) -> Self {
        Self { kind, octets: cut(text, MAX_TEXT).into() }
    }

    /// The id in a TLV, where `types` has its subtypes.
    fn read(value: &[u8], types: &[IdType]) -> Option<Self> {
        let (subtype, octets) = value.split_first()?;
        if octets.is_empty() || octets.len() > MAX_TEXT {
            return None;
        }
        let kind = types.get(usize::from(*subtype).wrapping_sub(1)).copied();
        Some(Self { kind: kind.unwrap_or(IdType::Reserved), octets: octets.into() })
    }

    fn value(&self, types: &[IdType]) -> Vec<u8> {
        let subtype = types.iter().zip(1..).find(|(kind, _)| **kind == self.kind);
        let mut value = vec![subtype.map_or(0, |(_, subtype)| subtype)];
        value.extend_from_slice(&self.octets);
        value
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, <[u8; 6]>::try_from(&*self.octets)) {
            (IdType::Mac, Ok(mac)) => MacAddr(mac).fmt(f),
            (IdType::Ip, _) => write_address(f, &self.octets),
            _ => match std::str::from_utf8(&self.octets) {
                Ok(text) if !text.contains(is_harmful) => f.write_str(text),
                _ => write_hex(f, &self.octets),
            },
        }
    }
}

/// Where a system is managed, and by which of its interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagementAddress {
    /// Its family, an octet (IANA's address family numbers), and the address.
    octets: Box<[u8]>,
    /// By what interfaces are numbered, and the number.
    interface: (u8, u32),
}

impl ManagementAddress {
    /// An IP address of the port with this number.
    #[must_use]
    pub fn ip(ip: IpAddr, port: u32) -> Self {
        let octets = match ip {
            IpAddr::V4(ip) => [&[1][..], &ip.octets()].concat(),
            IpAddr::V6(ip) => [&[2][..], &ip.octets()].concat(),
        };
        Self { octets: octets.into(), interface: (SYSTEM_PORT_NUMBER, port) }
    }

    /// The MAC address of a system that has no other; no interface is known.
    #[must_use]
    pub fn mac(mac: MacAddr) -> Self {
        Self { octets: [&[6][..], &mac.0].concat().into(), interface: (1, 0) }
    }

    fn read(value: &[u8]) -> Option<Self> {
        let (len, rest) = value.split_first()?;
        let (octets, rest) = rest.split_at_checked(usize::from(*len))?;
        let (kind, rest) = rest.split_first()?;
        let number = u32::from_be_bytes(*rest.first_chunk()?);
        let is_fit = (2..=MAX_ADDRESS).contains(&octets.len());
        is_fit.then(|| Self { octets: octets.into(), interface: (*kind, number) })
    }

    fn value(&self) -> Vec<u8> {
        let len = u8::try_from(self.octets.len()).unwrap_or_default();
        let (kind, number) = self.interface;
        // No object of a MIB stands behind it.
        [&[len][..], &self.octets, &[kind], &number.to_be_bytes(), &[0]].concat()
    }
}

impl fmt::Display for ManagementAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_address(f, &self.octets)
    }
}

/// What a system tells of itself and of the port that it tells it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pdu {
    /// Which system.
    pub chassis: Id,
    /// Which of its ports.
    pub port: Id,
    /// Seconds for which this holds; 0: it holds no longer.
    pub ttl: u16,
    /// What the port is for.
    pub port_description: Option<String>,
    /// Name of the system.
    pub system_name: Option<String>,
    /// What it runs.
    pub system_description: Option<String>,
    /// What it can be, and is.
    pub capabilities: Option<Capabilities>,
    /// Where it is managed.
    pub addresses: Vec<ManagementAddress>,
    /// VLAN of untagged frames; 0: none.
    pub pvid: Option<u16>,
    /// VLANs of the port that have a name.
    pub vlans: Vec<(u16, String)>,
    /// Longest frame of the port, in octets with FCS.
    pub max_frame: Option<u16>,
}

impl Pdu {
    /// One that says nothing but what each must: it holds for `ttl` seconds.
    #[must_use]
    pub const fn new(chassis: Id, port: Id, ttl: u16) -> Self {
        Self {
            chassis,
            port,
            ttl,
            port_description: None,
            system_name: None,
            system_description: None,
            capabilities: None,
            addresses: Vec::new(),
            pvid: None,
            vlans: Vec::new(),
            max_frame: None,
        }
    }

    /// Reads what stands behind a frame's header; `None` where it is no LLDPDU
    /// (IEEE 802.1AB, 9.2.7.7.1).
    #[must_use]
    pub fn read(octets: &[u8]) -> Option<Self> {
        let mut tlvs = Tlvs(octets);
        let mut first = |wanted| match tlvs.next() {
            Some(Some((kind, value))) if kind == wanted => Some(value),
            _ => None,
        };
        let chassis = Id::read(first(CHASSIS_ID)?, &CHASSIS_TYPES)?;
        let port = Id::read(first(PORT_ID)?, &PORT_TYPES)?;
        let mut pdu = Self::new(chassis, port, word(first(TTL)?)?);
        for tlv in tlvs {
            let (kind, value) = tlv?;
            match kind {
                // There is one of each.
                CHASSIS_ID | PORT_ID | TTL => return None,
                PORT_DESCRIPTION => _ = pdu.port_description.get_or_insert_with(|| shown(value)),
                SYSTEM_NAME => _ = pdu.system_name.get_or_insert_with(|| shown(value)),
                SYSTEM_DESCRIPTION => {
                    _ = pdu.system_description.get_or_insert_with(|| shown(value));
                }
                CAPABILITIES => {
                    let both = word(value).zip(value.get(2..).and_then(word));
                    let both = both.map(|(system, enabled)| Capabilities { system, enabled });
                    pdu.capabilities = pdu.capabilities.or(both);
                }
                MANAGEMENT_ADDRESS if pdu.addresses.len() < MAX_ADDRESSES => {
                    pdu.addresses.extend(ManagementAddress::read(value));
                }
                SPECIFIC => pdu.read_specific(value),
                _ => {}
            }
        }
        Some(pdu)
    }

    fn read_specific(&mut self, value: &[u8]) {
        let Some((kind, value)) = value.split_first_chunk() else { return };
        match *kind {
            PVID => self.pvid = self.pvid.or_else(|| word(value)),
            VLAN_NAME if self.vlans.len() < MAX_VLANS => {
                if let [high, low, len, name @ ..] = value
                    && let Some(name) = name.get(..usize::from(*len).min(MAX_VLAN_NAME))
                {
                    self.vlans.push((u16::from_be_bytes([*high, *low]), shown(name)));
                }
            }
            MAX_FRAME => self.max_frame = self.max_frame.or_else(|| word(value)),
            _ => {}
        }
    }

    /// What is to stand behind a frame's header, in so many octets; what finds no room is left
    /// out, the last ones first.
    #[must_use]
    pub fn write(&self, room: usize) -> Vec<u8> {
        // For the end.
        let mut to = Writer { octets: Vec::new(), room: room.saturating_sub(2) };
        to.put(CHASSIS_ID, &self.chassis.value(&CHASSIS_TYPES));
        to.put(PORT_ID, &self.port.value(&PORT_TYPES));
        to.put(TTL, &self.ttl.to_be_bytes());
        to.put_text(PORT_DESCRIPTION, self.port_description.as_deref());
        to.put_text(SYSTEM_NAME, self.system_name.as_deref());
        to.put_text(SYSTEM_DESCRIPTION, self.system_description.as_deref());
        if let Some(Capabilities { system, enabled }) = self.capabilities {
            to.put(CAPABILITIES, &[system.to_be_bytes(), enabled.to_be_bytes()].concat());
        }
        for address in &self.addresses {
            to.put(MANAGEMENT_ADDRESS, &address.value());
        }
        for (kind, number) in [(PVID, self.pvid), (MAX_FRAME, self.max_frame)] {
            if let Some(number) = number {
                to.put(SPECIFIC, &[&kind[..], &number.to_be_bytes()].concat());
            }
        }
        for (vid, name) in self.vlans.iter().take(MAX_VLANS) {
            let name = cut(name, MAX_VLAN_NAME);
            let len = u8::try_from(name.len()).unwrap_or_default();
            to.put(SPECIFIC, &[&VLAN_NAME[..], &vid.to_be_bytes(), &[len], name].concat());
        }
        to.octets.extend([END, 0]);
        to.octets
    }
}

/// The TLVs up to the end; `None` for what goes on behind the end of the octets.
struct Tlvs<'a>(&'a [u8]);

impl<'a> Iterator for Tlvs<'a> {
    type Item = Option<(u8, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.0.split_first_chunk()?;
        let head = u16::from_be_bytes(*head);
        // Seven bits.
        let kind = (head >> 9) as u8;
        if kind == END {
            return None;
        }
        let Some((value, rest)) = rest.split_at_checked(usize::from(head) & MAX_VALUE) else {
            self.0 = &[];
            return Some(None);
        };
        self.0 = rest;
        Some(Some((kind, value)))
    }
}

/// An LLDPDU in the making.
struct Writer {
    octets: Vec<u8>,
    room: usize,
}

impl Writer {
    fn put(&mut self, kind: u8, value: &[u8]) {
        let Ok(len) = u16::try_from(value.len()) else { return };
        if value.len() <= MAX_VALUE && self.octets.len() + 2 + value.len() <= self.room {
            self.octets.extend((u16::from(kind) << 9 | len).to_be_bytes());
            self.octets.extend_from_slice(value);
        }
    }

    fn put_text(&mut self, kind: u8, text: Option<&str>) {
        if let Some(text) = text {
            self.put(kind, cut(text, MAX_TEXT));
        }
    }
}

/// The first of `text`, cut between characters.
fn cut(text: &str, max: usize) -> &[u8] {
    &text.as_bytes()[..text.floor_char_boundary(max)]
}

/// The word in network order at the beginning, if it is there.
fn word(octets: &[u8]) -> Option<u16> {
    octets.first_chunk().map(|word| u16::from_be_bytes(*word))
}

/// A stranger's text: what steers a terminal, or is not UTF-8, is replaced. NULs at its end are
/// some systems' habit.
fn shown(text: &[u8]) -> String {
    let end = text.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
    let text = String::from_utf8_lossy(&text[..end.min(MAX_TEXT)]);
    text.replace(is_harmful, "\u{fffd}")
}

/// A network address behind its family.
fn write_address(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    match octets {
        [1, ip @ ..] if ip.len() == 4 => write_ip::<4>(f, ip),
        [2, ip @ ..] if ip.len() == 16 => write_ip::<16>(f, ip),
        // What has no other is managed by its MAC address.
        [6, mac @ ..] => write_hex(f, mac),
        _ => write_hex(f, octets),
    }
}

fn write_ip<const N: usize>(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result
where
    IpAddr: From<[u8; N]>,
{
    match <[u8; N]>::try_from(octets) {
        Ok(octets) => write!(f, "{}", IpAddr::from(octets)),
        Err(_) => write_hex(f, octets),
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    let mut colon = "";
    for octet in octets {
        write!(f, "{colon}{octet:02x}")?;
        colon = ":";
    }
    Ok(())
}

#[cfg(test)]
mod tests;

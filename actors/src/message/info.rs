//! What the Switch says of itself, of its ports and of its addresses.

use std::{sync::Arc, time::Instant as StdInstant};

use super::{LinkInfo, Traffic};
use crate::core::{
    counters::Counters,
    fdb::{FdbEntry, PortNumber},
    frame::{MacAddr, Vid},
    settings::{Description, InForce, Label, PortName, PortSettings},
    state::{Details, PortState},
    stp,
};

/// A port as control shows it.
#[derive(Debug, Clone)]
pub struct PortInfo {
    /// Its number.
    pub port: PortNumber,
    /// Its name.
    pub name: Option<PortName>,
    /// What it is for.
    pub description: Option<Description>,
    /// The profile that it has: the one that it names, or its user's.
    pub profile: Option<Label>,
    /// Its kind.
    pub kind: &'static str,
    /// What it is joined to. Never holds a password.
    pub target: String,
    /// Name of the network interface, for ports that are one.
    pub interface: Option<String>,
    /// Whether another network namespace has that interface.
    pub is_elsewhere: bool,
    /// What it is doing.
    pub state: PortState,
    /// Whether the operator has shut it.
    pub shut: bool,
    /// Since when it does so, or is shut. Attempts to open its medium are one state.
    pub since: StdInstant,
    /// MTU of its interface in octets, while that is known.
    pub mtu: Option<u32>,
    /// What else its kind has to say of it.
    pub details: Details,
    /// What it is to the spanning tree, if it takes part in it.
    pub stp: Option<stp::PortInfo>,
    /// Its links by number, if it may have several.
    pub links: Vec<LinkInfo>,
    /// Live counters.
    pub counters: Arc<Counters>,
}

/// All there is to know of a port.
#[derive(Debug, Clone)]
pub struct PortReport {
    /// What is known of each port.
    pub info: PortInfo,
    /// What was set on the port itself.
    pub own: PortSettings,
    /// All its settings as they are in force.
    pub settings: Vec<InForce>,
    /// Its limits.
    pub limits: Vec<Limit>,
}

/// What there is to measure in a switch besides its ports.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Addresses that were learned.
    pub learned: Usage,
    /// Static entries of the forwarding database.
    pub statics: Usage,
    /// IP addresses that are bound to stations.
    pub bindings: Usage,
    /// Neighbors that LLDP has told of.
    pub lldp_neighbors: Usage,
    /// IP addresses that are known for `neigh-suppress`.
    pub neigh_entries: Usage,
    /// Multicast groups that somebody has joined; none may be while there is no snooping.
    pub groups: Usage,
    /// Octets in all queues.
    pub queues: Usage,
    /// The spanning tree, if the switch takes part in it.
    pub tree: Option<stp::TreeInfo>,
    /// VLANs in which frames have passed, ascending, with their names.
    pub vlans: Vec<(Vid, Option<String>, Traffic)>,
}

/// What there is to measure of a port.
#[derive(Debug, Clone)]
pub struct PortSurvey {
    /// What is known of each port, with its live counters.
    pub info: PortInfo,
    /// Octets in its egress queue, while it is up.
    pub queue: Option<Usage>,
    /// Addresses that were learned behind it.
    pub macs: Usage,
}

/// How much there is of something, and how much there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// How much is used now.
    pub used: usize,
    /// The limit.
    pub limit: usize,
}

impl From<(usize, usize)> for Usage {
    fn from((used, limit): (usize, usize)) -> Self {
        Self { used, limit }
    }
}

/// A limit, and how much of it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Its name.
    pub name: &'static str,
    /// How much is used now.
    pub value: u64,
    /// The limit, as the option that sets it is written.
    pub limit: String,
}

/// A line of the forwarding database as control shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdbInfo {
    /// VLAN of the address.
    pub vid: Vid,
    /// The address.
    pub mac: MacAddr,
    /// Where it is.
    pub entry: FdbEntry,
    /// Whole seconds since it was last seen as a source.
    pub age: u64,
}

impl FdbInfo {
    /// The line of an entry.
    pub(crate) fn new(vid: Vid, mac: MacAddr, entry: FdbEntry, now: StdInstant) -> Self {
        let age = now.saturating_duration_since(entry.last_seen).as_secs();
        Self { vid, mac, entry, age }
    }
}

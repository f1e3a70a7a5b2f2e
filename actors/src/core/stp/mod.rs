//! Spanning tree: RSTP (IEEE 802.1D-2004, clause 17).

mod settings;

use std::time::{Duration, Instant};

use crate::{
    core::{fdb::PortNumber, frame::MacAddr},
    names,
};

pub use self::settings::{BridgeError, BridgeSettings, HELLO, StpMode, default_cost};

names! {
    /// What a port is to the tree (IEEE 802.1D, 17.7).
    pub enum Role {
        /// It takes no part in it, or is not up.
        Disabled = "disabled",
        /// The way to the root bridge.
        Root = "root",
        /// The way to the root bridge for whoever is behind the port.
        Designated = "designated",
        /// Another way to the root bridge, which is kept in reserve.
        Alternate = "alternate",
        /// Another port of this switch to the same segment, which is kept in reserve.
        Backup = "backup",
    }
}

names! {
    /// What a port does with frames (IEEE 802.1D, 7.4).
    pub enum State {
        /// It discards them.
        Discarding = "discarding",
        /// It discards them, and learns from whom they are.
        Learning = "learning",
        /// It forwards them.
        Forwarding = "forwarding",
    }
}

/// A bridge: its priority, and its MAC address. The lowest one of all is the root of the tree
/// (IEEE 802.1D, 9.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BridgeId {
    /// A multiple of 4,096; others put the number of a VLAN into the rest.
    pub priority: u16,
    /// Its address.
    pub mac: MacAddr,
}

impl std::fmt::Display for BridgeId {
    /// As Linux writes it: `8000.020000000001`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04x}.", self.priority)?;
        self.mac.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// BPDUs of a port, by what they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BpduCounts {
    /// Rapid spanning tree BPDUs (IEEE 802.1D, 9.3.3).
    pub rst: u64,
    /// Configuration BPDUs, of legacy spanning tree (9.3.1).
    pub config: u64,
    /// Topology change notifications, of legacy spanning tree (9.3.2).
    pub tcn: u64,
}

impl BpduCounts {
    /// All of them.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.rst + self.config + self.tcn
    }
}

/// A port of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortInfo {
    /// What it is to the tree.
    pub role: Role,
    /// What it does with frames.
    pub state: State,
    /// Its path cost.
    pub cost: u32,
    /// Its priority, a multiple of 16.
    pub priority: u8,
    /// Priority and number, as BPDUs have them (IEEE 802.1D, 9.2.7).
    pub port_id: u16,
    /// The bridge that leads to the root from the segment behind it.
    pub designated_bridge: BridgeId,
    /// That bridge's port.
    pub designated_port: u16,
    /// What the way from there to the root costs.
    pub designated_cost: u32,
    /// Whether it has only stations behind it (IEEE 802.1D, 17.19.17).
    pub is_edge: bool,
    /// Whether it has one bridge behind it at most (6.4.3).
    pub is_point_to_point: bool,
    /// Whether it sends RST BPDUs, and not those of legacy spanning tree (17.19.38).
    pub sends_rstp: bool,
    /// BPDUs received.
    pub received: BpduCounts,
    /// BPDUs sent.
    pub sent: BpduCounts,
    /// How often it became forwarding.
    pub transitions: u64,
    /// Why it discards though it has the role of one that forwards: root guard.
    pub is_root_guarded: bool,
}

/// The tree as this switch sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeInfo {
    /// This switch.
    pub bridge: BridgeId,
    /// The root of the tree.
    pub root: BridgeId,
    /// What the way to it costs; 0 for the root itself.
    pub root_cost: u32,
    /// The port that leads to it; `None`: this switch is the root.
    pub root_port: Option<PortNumber>,
    /// The root's: time between its BPDUs.
    pub hello: Duration,
    /// The root's: after how long without a BPDU what it says is forgotten.
    pub max_age: Duration,
    /// The root's: how long a port listens, and learns, where a neighbour is not asked.
    pub forward_delay: Duration,
    /// How often the topology has changed.
    pub topology_changes: u64,
    /// When it did so last.
    pub changed: Option<Instant>,
}

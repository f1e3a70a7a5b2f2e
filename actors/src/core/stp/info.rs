//! What there is to see of the tree.

use std::time::Duration;

use super::{
    Role, State,
    priority::{BridgeId, PortId},
};
use crate::core::fdb::PortNumber;

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
    /// Which port.
    pub port: PortNumber,
    /// What it is to the tree.
    pub role: Role,
    /// What it does with frames.
    pub state: State,
    /// Its path cost.
    pub cost: u32,
    /// Its priority, a multiple of 16.
    pub priority: u8,
    /// Priority and number, as BPDUs have them (IEEE 802.1D, 9.2.7).
    pub port_id: PortId,
    /// The bridge by which the segment behind it reaches the root.
    pub designated_bridge: BridgeId,
    /// That bridge's port.
    pub designated_port: PortId,
    /// Cost of the path from that bridge to the root.
    pub designated_cost: u32,
    /// Whether it has only stations behind it (IEEE 802.1D, 17.19.17).
    pub is_edge: bool,
    /// Whether it has one bridge behind it at most (6.4.3).
    pub is_point_to_point: bool,
    /// Whether it sends RST BPDUs, and not those of legacy spanning tree (17.19.38).
    pub sends_rstp: bool,
    /// BPDUs received.
    pub received: BpduCounts,
    /// BPDUs received and discarded: invalid ones, its own, and those over 32 a second.
    pub discarded: u64,
    /// BPDUs sent.
    pub sent: BpduCounts,
    /// How often it began to forward.
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
    /// Cost of the path to it; 0 for the root itself.
    pub root_cost: u32,
    /// The port that leads to it; `None`: this switch is the root.
    pub root_port: Option<PortNumber>,
    /// The root's: time between its BPDUs.
    pub hello: Duration,
    /// The root's: after how long without a BPDU what it says is forgotten.
    pub max_age: Duration,
    /// The root's: how long a port listens, and as long learns, where a neighbor is not asked.
    pub forward_delay: Duration,
    /// How often the topology has changed.
    pub topology_changes: u64,
    /// How long ago it did so last.
    pub since_change: Option<Duration>,
}

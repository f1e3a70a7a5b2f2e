//! How a switch behaves from its start, and unless told otherwise.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use slog::Logger;

use crate::{
    core::{
        bindings::DEFAULT_BINDINGS,
        fdb::{DEFAULT_AGING_TIME, DEFAULT_CAPACITY},
        frame::{MacAddr, Vid},
        lldp::System,
        multicast::SnoopingOptions,
        settings::{PortSettings, Profiles},
        stp::BridgeSettings,
    },
    monitor::Monitor,
};

/// Octets in all queues, unless told otherwise: two hundred ports that are stuck.
const DEFAULT_QUEUE_MEMORY: usize = 256 * 1024 * 1024;

/// A MAC address that no other switch has: random, and locally administered.
#[must_use]
pub fn random_mac() -> MacAddr {
    let mut octets = [0; 5];
    // Without randomness all have the same, and that is told by who notices.
    let _ = getrandom::fill(&mut octets);
    MacAddr::local(octets)
}

/// How a switch behaves.
#[derive(Debug, Clone)]
pub struct SwitchOptions {
    /// The switch's own MAC address: what protocols know it by, and send from.
    pub mac: MacAddr,
    /// Time after which a learned address is forgotten.
    pub aging_time: Duration,
    /// Most addresses that the forwarding database learns.
    pub fdb_capacity: usize,
    /// Octets that all queues may take together.
    pub queue_memory: usize,
    /// Most IP addresses that are bound to stations.
    pub max_bindings: usize,
    /// The switch as a bridge of the spanning tree; `None`: it takes part in none.
    pub stp: Option<BridgeSettings>,
    /// Whether multicast goes only where it is wanted.
    pub snooping: SnoopingOptions,
    /// Settings of ports that have nothing else; what is `None` is as it was declared.
    pub ports: PortSettings,
    /// Profiles that ports may name, and that users have.
    pub profiles: Arc<Profiles>,
    /// Names of VLANs.
    pub vlan_names: BTreeMap<Vid, String>,
    /// Whether TAP devices and network interfaces take part in LLDP.
    pub lldp: bool,
    /// What it tells of the switch.
    pub system: System,
    /// Whether to write a debug record for each frame.
    pub debug_frames: bool,
    /// Where records go.
    pub log: Logger,
    /// Who is told what happens.
    pub monitor: Monitor,
}

impl Default for SwitchOptions {
    /// A random address, the standard's aging time, all guards, and no records.
    fn default() -> Self {
        Self {
            mac: random_mac(),
            aging_time: DEFAULT_AGING_TIME,
            fdb_capacity: DEFAULT_CAPACITY,
            queue_memory: DEFAULT_QUEUE_MEMORY,
            max_bindings: DEFAULT_BINDINGS,
            stp: None,
            snooping: SnoopingOptions::default(),
            ports: PortSettings::default(),
            profiles: Arc::default(),
            vlan_names: BTreeMap::new(),
            lldp: false,
            system: System::default(),
            debug_frames: false,
            log: Logger::root(slog::Discard, slog::o!()),
            monitor: Monitor::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::random_mac;

    #[test]
    fn no_two_switches_have_one_address() {
        assert_ne!(random_mac(), random_mac());
    }
}

//! What is asked and told of VLANs.

use actix::prelude::*;

use crate::core::{fdb::PortNumber, frame::Vid};

/// Asks for the VLANs that are in use, ascending: those that have a name, those that settings of
/// a port name, and those of which frames came in.
#[derive(Debug, Message)]
#[rtype(result = "VlanPage")]
pub struct ListVlans {
    /// The first of them.
    pub from: Vid,
}

/// VLANs, some at a time.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct VlanPage {
    /// These.
    pub vlans: Vec<VlanInfo>,
    /// Where the others begin; `None`: those were the last ones.
    pub next: Option<Vid>,
}

/// A VLAN. Ports without settings for VLANs are in each, and stand in none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VlanInfo {
    /// Which one; 0 stands for frames without a VLAN.
    pub vid: Vid,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Ports that it leaves tagged, by number.
    pub tagged: Vec<PortNumber>,
    /// Ports that it leaves untagged, by number.
    pub untagged: Vec<PortNumber>,
    /// What has passed in it.
    pub traffic: Traffic,
}

/// Frames of a VLAN as they are on a wire, since a port first had settings for VLANs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames that came in.
    pub rx_frames: u64,
    /// Their octets, without FCS.
    pub rx_octets: u64,
    /// Frames that ports were given to send.
    pub tx_frames: u64,
    /// Their octets, without FCS.
    pub tx_octets: u64,
}

//! Messages about neighbors.

use std::time::Duration;

use actix::Message;

use crate::core::{
    fdb::PortNumber,
    lldp::{Key, Pdu},
};

/// Asks for a page of the neighbors that LLDP has told of, by port.
#[derive(Debug, Default, Message)]
#[rtype(result = "NeighborPage")]
pub struct ListNeighbors {
    /// Only those behind this port.
    pub port: Option<PortNumber>,
    /// The one that the page comes after; `None`: the first page.
    pub after: Option<Key>,
}

/// A page of neighbors.
#[derive(Debug, Default)]
pub struct NeighborPage {
    /// These: [`PAGE`](crate::lldp::PAGE) at most.
    pub neighbors: Vec<NeighborInfo>,
    /// What the next page comes after; `None`: that was the last one.
    pub next: Option<Key>,
}

/// A neighbor as control shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeighborInfo {
    /// The port that it is behind.
    pub port: PortNumber,
    /// What it tells.
    pub pdu: Pdu,
    /// For how long that holds.
    pub left: Duration,
}

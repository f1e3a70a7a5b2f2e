//! An entry of the database, and what may become of one.

use std::time::Instant;

use super::{MAX_STATIC, PortNumber};
use crate::core::frame::{MacAddr, Vid};

/// How an address came into the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Seen as the source of a frame; ages.
    Learned,
    /// The same behind a sticky port: neither ages nor moves until it is flushed.
    Sticky,
    /// Set by the operator; neither ages nor moves.
    Static,
    /// An address that belongs to the port for as long as it is there: that of its own
    /// device, or one of the only ones that it may have.
    Permanent,
}

/// Where an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdbEntry {
    /// The port that it is behind.
    pub port: PortNumber,
    /// How that is known.
    pub status: Status,
    /// When it was last seen as a source.
    pub last_seen: Instant,
}

/// What [`Fdb::learn`](super::Fdb::learn) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// The address was not known.
    New,
    /// It was known behind this port.
    Refreshed,
    /// It was behind the port given here before.
    Moved(PortNumber),
    /// It stays behind the port given here: a static entry says so, or a setting.
    Static(PortNumber),
    /// It is the address of the device that the port given here is, and stays there.
    Own(PortNumber),
    /// It has moved too often and is pinned to the port given here from now on, which may be
    /// this one.
    Flaps(PortNumber),
    /// It is pinned to the port given here.
    Pinned(PortNumber),
    /// No station has such an address.
    Invalid,
    /// The table is full.
    Full,
    /// As many addresses are behind this port as there may be.
    PortFull,
}

/// Why an entry was neither added nor deleted. The database is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FdbError {
    /// There is no such port.
    #[error("no port {0}; listport shows the ports")]
    NoSuchPort(PortNumber),
    /// A frame may come from one station only.
    #[error("group address {0} cannot be added; give a unicast address")]
    GroupAddress(MacAddr),
    /// The bound of static entries.
    #[error("there are {MAX_STATIC} static entries; delete one first (delfdb)")]
    TooManyStatic,
    /// The address is unknown.
    #[error("{mac} is not in the forwarding database for VLAN {}; listfdb shows what is", vid.get())]
    NoSuchEntry {
        /// VLAN that was asked for.
        vid: Vid,
        /// The address.
        mac: MacAddr,
    },
    /// A port has the address whatever is asked.
    #[error(
        "{mac} belongs to port {port}: it is that of its device, or among its static-macs; \
         setport changes both"
    )]
    Permanent {
        /// The address.
        mac: MacAddr,
        /// The port.
        port: PortNumber,
    },
}

/// An address that was not seen for the aging time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aged {
    /// VLAN of the address.
    pub vid: Vid,
    /// The address.
    pub mac: MacAddr,
    /// The port that it was behind.
    pub port: PortNumber,
}

//! Messages about multicast groups.

use std::net::IpAddr;

use actix::Message;

use crate::core::{
    fdb::PortNumber,
    frame::Vid,
    multicast::{Key, MdbEntry},
};

/// Asks for a page of the multicast database, by VLAN and group.
#[derive(Debug, Default, Message)]
#[rtype(result = "MdbPage")]
pub struct ListMdb {
    /// What of it.
    pub filter: MdbFilter,
    /// The entry that the page comes after; `None`: the first page.
    pub after: Option<Key>,
}

/// Which entries are meant; what is `None` does not matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct MdbFilter {
    /// What this port gets.
    pub port: Option<PortNumber>,
    /// VLAN of the group.
    pub vid: Option<Vid>,
    /// The group.
    pub group: Option<IpAddr>,
}

/// A page of the multicast database.
#[derive(Debug, Default)]
pub struct MdbPage {
    /// What was asked for of it.
    pub entries: Vec<MdbEntry<PortNumber>>,
    /// What the next page comes after; `None`: that was the last one.
    pub next: Option<Key>,
}

//! Messages about bindings of IP addresses.

use std::{net::IpAddr, sync::Arc, time::Duration};

use actix::Message;

use crate::core::{
    bindings::{BindingType, Key},
    fdb::PortNumber,
    frame::{MacAddr, Vid},
};

/// Asks for a page of the bindings, by VLAN and address.
#[derive(Debug, Default, Message)]
#[rtype(result = "BindingPage")]
pub struct ListBindings {
    /// Which of them.
    pub filter: BindingFilter,
    /// The one that the page comes after; `None`: the first page.
    pub after: Option<Key>,
    /// Whether those are asked for, too, that no guard believes: see
    /// [`BindingType::Heard`](crate::bindings::BindingType).
    pub with_heard: bool,
}

/// Which bindings are meant; what is `None` does not matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct BindingFilter {
    /// Those of whoever holds this port.
    pub port: Option<PortNumber>,
    /// VLAN of the address.
    pub vid: Option<Vid>,
    /// The station.
    pub mac: Option<MacAddr>,
    /// The address.
    pub ip: Option<IpAddr>,
}

/// A page of bindings.
#[derive(Debug, Default)]
pub struct BindingPage {
    /// What was asked for of it: [`PAGE`](crate::bindings::PAGE) at most, and as many heard ones.
    pub entries: Vec<BindingInfo>,
    /// What the next page comes after; `None`: that was the last one.
    pub next: Option<Key>,
    /// Another number whenever a binding has come, gone or changed.
    pub changes: u64,
}

/// A binding as control shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingInfo {
    /// VLAN of the address.
    pub vid: Vid,
    /// The address.
    pub ip: IpAddr,
    /// The station that has it.
    pub mac: MacAddr,
    /// The first port of its holder, if there is one.
    pub port: Option<PortNumber>,
    /// Behind whose ports it is: see [`Binding`](crate::bindings::Binding).
    pub holder: Arc<str>,
    /// Until it ends.
    pub left: Duration,
    /// Why it has it.
    pub kind: BindingType,
}

/// Binds what was bound before a restart. The reply is the number of changes since the switch
/// has begun.
#[derive(Debug, Message)]
#[rtype(result = "u64")]
pub struct RestoreBindings(pub Vec<BindingInfo>);

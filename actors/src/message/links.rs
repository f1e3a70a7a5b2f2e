//! What supervisors tell of links that come and go, and the links of a port that has several
//! as control shows them.

use actix::prelude::*;

use super::Egress;
use crate::core::{
    fdb::PortNumber,
    gauge::Gauge,
    interface::{Interface, InterfaceStatus},
    links::{LinkId, Place},
    state::{Details, PortState},
};

/// Which link of a port a message is of: its number, and its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkRef {
    /// Its number, from 0.
    pub number: u8,
    /// Its connection.
    pub id: LinkId,
}

impl LinkRef {
    /// The only link of a port.
    pub const ONLY: Self = Self { number: Place::ONLY.number, id: LinkId::ONLY };
}

/// The port's medium is open: frames may go to `egress`. The reply is what control
/// has set on the port's interface. Supervisor to Switch.
#[derive(Debug, Message)]
#[rtype(result = "Option<Interface>")]
pub struct PortUp {
    /// Which port.
    pub port: PortNumber,
    /// Which link of it. Its connection is another one each time.
    pub link: LinkRef,
    /// What it is joined to now: a restart may have changed it.
    pub target: String,
    /// Name of the network interface now.
    pub interface: Option<String>,
    /// What the kernel says of that interface.
    pub status: Option<InterfaceStatus>,
    /// What else its kind has to say of it now.
    pub details: Details,
    /// The port actor.
    pub egress: Recipient<Egress>,
    /// The same, for a link that the peer has given up.
    pub give_up: Recipient<GiveUp>,
    /// Room in its queue.
    pub gauge: Gauge,
}

/// The port's medium is not open. The Switch forgets what it learned behind the
/// port. Supervisor to Switch.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PortDown {
    /// Which port.
    pub port: PortNumber,
    /// Which link of it, with the connection that it had last.
    pub link: LinkRef,
    /// What it does instead.
    pub state: PortState,
}

/// The port ended and will not come back. Supervisor to Switch.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PortGone {
    /// Which port.
    pub port: PortNumber,
    /// Which link of it: the port ends with the last.
    pub link: LinkRef,
    /// Why, for the log.
    pub reason: String,
}

/// Ends a link that the peer has given up. Switch to port.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct GiveUp;

/// A link of a port that has several, as control shows it.
#[derive(Debug, Clone)]
pub struct LinkInfo {
    /// Its number, from 0.
    pub number: u8,
    /// What it is joined to. Never holds a password.
    pub target: String,
    /// What it is doing.
    pub state: PortState,
    /// Whether it is up and carries nothing, since another one does.
    pub stands_by: bool,
    /// Octets of frames that have come in by it.
    pub octets_rx: u64,
    /// Octets of frames that were given to it.
    pub octets_tx: u64,
}

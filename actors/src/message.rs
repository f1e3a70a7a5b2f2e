//! Every message that crosses between actors, and the types in them.
//!
//! On the frame's path there are two: [`Ingress`], port to Switch, and [`Egress`],
//! Switch to port. A batch is the message, never a frame: a mailbox costs some
//! 100 to 350 ns a message.

mod bindings;
mod info;
mod links;
mod lldp;
mod mirrors;
mod multicast;
mod stp;
mod vlans;

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use actix::prelude::*;
use slog::Logger;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::{
    core::{
        batch::Source,
        counters::Counters,
        fdb::{FdbError, FdbFilter, PortNumber},
        frame::{Frame, MacAddr, Vid},
        holder::Holder,
        interface::{Interface, InterfaceStatus},
        line::Buckets,
        links::{LinkId, LinkMessage, Place},
        memory::QueueMemory,
        multicast::SnoopingOptions,
        settings::{
            ForeignSetting, Label, LinkSettings, PortName, PortRef, PortSettings, Profiles,
        },
        state::{Details, Stop},
        stp::BridgeSettings,
        vlan::VlanError,
    },
    mirror::{Filter, MirrorReader, TooManyMirrors},
};

pub use self::{
    bindings::{BindingFilter, BindingInfo, BindingPage, ListBindings, RestoreBindings},
    info::{FdbInfo, Limit, PortInfo, PortReport, PortSurvey, Survey, Usage},
    links::{GiveUp, LinkInfo, LinkRef, PortDown, PortGone, PortUp},
    lldp::{ListNeighbors, NeighborInfo, NeighborPage},
    mirrors::{AddPortMirror, DelPortMirror, ListPortMirrors},
    multicast::{ListMdb, MdbFilter, MdbPage},
    stp::ShowStp,
    vlans::{ListVlans, Traffic, VlanInfo, VlanPage},
};

/// One of a port's [`INGRESS_CREDITS`](crate::batch::INGRESS_CREDITS). It goes with the batch and returns when the
/// last egress port has queued or dropped the batch's frames; later, when they went to
/// one port alone and its queue is long.
#[derive(Debug, Clone)]
pub struct Credit(
    #[expect(dead_code, reason = "held for its drop")] Option<Arc<OwnedSemaphorePermit>>,
);

impl Credit {
    /// For frames of the Switch's own.
    pub(crate) const NONE: Self = Self(None);

    pub(crate) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(Some(Arc::new(permit)))
    }
}

/// Frames that a port has received. Port to Switch.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Ingress {
    /// The port that the frames came in by.
    pub port: PortNumber,
    /// The connection, if the port may have several links.
    pub link: LinkId,
    /// At most [`BATCH_FRAMES`](crate::batch::BATCH_FRAMES) or about
    /// [`BATCH_OCTETS`](crate::batch::BATCH_OCTETS).
    pub frames: Vec<Frame>,
    /// What came behind them.
    pub message: Option<LinkMessage>,
    /// Returned on drop.
    pub credit: Credit,
    /// One of the holder's turns, if he may have several ports. Returned on drop.
    pub turn: Option<OwnedSemaphorePermit>,
}

/// Frames for a port to send. Switch to port. Their octets are in the port's
/// [`Gauge`](crate::gauge::Gauge) already: this bounds the port's mailbox.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Egress {
    /// What a link of several is to say, before these frames.
    pub message: Option<LinkMessage>,
    /// Those that are for this port only, in the order in which they came in.
    pub frames: Vec<Frame>,
    /// Those that are flooded.
    pub flooded: Vec<Frame>,
    /// Who they are from.
    pub source: Source,
    /// Of the batch that the frames came in with.
    pub credit: Credit,
    /// Whether nothing of that batch went to another port.
    pub alone: bool,
}

/// Pings that control asks a link for whose peer is known to answer them.
#[derive(Debug, Default)]
pub struct Pings {
    /// Whether the link can ping its peer.
    pub possible: AtomicBool,
    /// One is wanted now.
    pub wanted: Notify,
    /// The latest was answered: its round trip is in the counters.
    pub answered: Notify,
}

/// What the Switch knows of a new port. Supervisor to Switch, once a port.
#[derive(Debug, Message)]
#[rtype(result = "Result<PortAdded, AddPortError>")]
pub struct AddPort {
    /// Kind of the port, as in `listport`: `tap`, `client` …
    pub kind: &'static str,
    /// What it is joined to, as in `listport`.
    pub target: String,
    /// Name of the network interface, for ports that are one.
    pub interface: Option<String>,
    /// What else its kind has to say of it, as in `showport`.
    pub details: Details,
    /// Whether to announce what is behind other ports when this one comes back.
    pub announces: bool,
    /// Whether nothing but a station is behind it: it gets no loop-detect frames.
    pub is_leaf: bool,
    /// Whether this host's own network stack is behind it.
    pub is_host: bool,
    /// The link's place, and its connection, if that is known.
    pub place: Place,
    /// See `place`.
    pub id: LinkId,
    /// The port that it is a further link of.
    pub joins: Option<PortNumber>,
    /// Whose session it is: the port that has the same holder is deleted, unless this is a
    /// further link of it.
    pub holder: Option<Holder>,
    /// Its own settings, from the first frame on.
    pub settings: PortSettings,
    /// What is to be told of it goes there.
    pub log: Logger,
    /// Shared with the port's task.
    pub counters: Arc<Counters>,
    /// The setting `offload`, shared with the port's task.
    pub link_settings: Arc<LinkSettings>,
    /// Shared with the port's task.
    pub pings: Arc<Pings>,
    /// Ends the port for good. Closed when all of the port has ended.
    pub stop: mpsc::Sender<Stop>,
    /// What the medium was opened with, and something else when it is to be opened anew.
    pub reopen: watch::Sender<Opening>,
}

/// What a medium is opened with.
#[derive(Debug, Clone, Default)]
pub struct Opening {
    /// The settings in force.
    pub settings: PortSettings,
    /// Options of its kind, if they are other ones than it was made with.
    pub options: Option<Arc<dyn Any + Send + Sync>>,
}

/// Sets up a port, and has its medium be opened anew with other options of its kind. The reply
/// is the port.
#[derive(Debug, Message)]
#[rtype(result = "Result<PortInfo, SetPortError>")]
pub struct ChangePort {
    /// Which port, and what to set. If that cannot be, its options stay as well.
    pub set: SetPort,
    /// What it is to be joined to.
    pub target: String,
    /// The options, which its medium takes by [`Medium::change`](crate::port::Medium::change).
    pub options: Arc<dyn Any + Send + Sync>,
}

/// What a new port gets of the Switch.
#[derive(Debug)]
pub struct PortAdded {
    /// Its number.
    pub number: PortNumber,
    /// Its counters and settings: those that it was added with, or those of the port that
    /// this is a further link of.
    pub counters: Arc<Counters>,
    /// See `counters`.
    pub link_settings: Arc<LinkSettings>,
    /// What its holder's queues take; each link has a part of it.
    pub memory: QueueMemory,
    /// The turns of a holder who may have several ports.
    pub turns: Option<Arc<Semaphore>>,
    /// What has passed by the holder's ports, of which there may be only so much.
    pub(crate) buckets: Arc<Buckets>,
}

/// Asks whether a port of this kind can have these settings of its own, and for all that
/// would be in force then.
#[derive(Debug, Message)]
#[rtype(result = "Result<PortSettings, SetPortError>")]
pub struct CheckSettings {
    /// Kind of the port.
    pub kind: &'static str,
    /// Its own settings.
    pub settings: PortSettings,
    /// Whose session it is.
    pub holder: Option<Holder>,
}

/// The Switch refuses a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddPortError {
    /// Two ports on one interface would send each frame back to where it came from.
    #[error("interface {interface} is port {port} already; delete that one first")]
    InterfaceInUse {
        /// Name of the interface.
        interface: String,
        /// The port that has it.
        port: PortNumber,
    },
    /// The port cannot have these settings.
    #[error(transparent)]
    Settings(#[from] SetPortError),
    /// It was to be a further link of a port that is no more.
    #[error("port {0} was deleted")]
    NoSuchPort(PortNumber),
}

/// The kernel shows something else of a port's interface than before. Supervisor to Switch.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct InterfaceChanged {
    /// Which port.
    pub port: PortNumber,
    /// What it shows now.
    pub status: InterfaceStatus,
}

/// Asks for a page of the ports, in the order of their numbers. Thousands at once would hold up
/// all frames for as long as that takes.
#[derive(Debug, Default, Message)]
#[rtype(result = "PortPage")]
pub struct ListPorts {
    /// The last port of the page before; `None`: the first page.
    pub after: Option<PortNumber>,
}

/// A page of the ports.
#[derive(Debug, Clone)]
pub struct PortPage {
    /// 64 at most.
    pub ports: Vec<PortSurvey>,
    /// Where the next page begins: [`ListPorts::after`]; `None`: that was the last one.
    pub next: Option<PortNumber>,
}

/// Asks how many ports there are.
#[derive(Debug, Message)]
#[rtype(result = "PortCounts")]
pub struct CountPorts;

/// How many ports there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, MessageResponse)]
pub struct PortCounts {
    /// All of them.
    pub all: usize,
    /// Those that are up.
    pub up: usize,
    /// Those that are sessions of clients.
    pub sessions: usize,
}

/// Sets up a port. The reply is the port as it is then.
#[derive(Debug, Message)]
#[rtype(result = "Result<PortInfo, SetPortError>")]
pub struct SetPort {
    /// Which port.
    pub port: PortNumber,
    /// What to set.
    pub settings: PortSettings,
    /// Names of the settings that the port shall have from elsewhere again: from the
    /// defaults, unless `settings` gives them.
    pub clear: Vec<&'static str>,
}

/// The Switch refuses settings of a port. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetPortError {
    /// There is no such port.
    #[error("no port {0}; listport shows the ports")]
    NoSuchPort(PortNumber),
    /// Names are unique.
    #[error("port {port} is named {name} already; choose another name, or rename that one first")]
    NameInUse {
        /// The name.
        name: PortName,
        /// The port that has it.
        port: PortNumber,
    },
    /// It names a profile that is not there.
    #[error("unknown profile {name}; known: {known}")]
    NoSuchProfile {
        /// The name.
        name: Label,
        /// The profiles that there are.
        known: String,
    },
    /// A port that waits for itself never comes up.
    #[error("carrier-from {port} is the port itself; name the one that it is to follow")]
    OwnCarrier {
        /// As it was named.
        port: PortRef,
    },
    /// Ports of this kind do not have the setting.
    #[error(transparent)]
    NotForKind(#[from] ForeignSetting),
    /// Settings for VLANs contradict each other.
    #[error(transparent)]
    Vlans(#[from] VlanError),
}

/// Sets what holds for all ports that have nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct SetDefaults {
    /// Time after which a learned address is forgotten.
    pub aging_time: Duration,
    /// Octets that all queues may take together.
    pub queue_memory: usize,
    /// Most IP addresses that are bound to stations; those that are bound stay.
    pub max_bindings: usize,
    /// The switch as a bridge of the spanning tree; `None`: it takes part in none.
    pub stp: Option<BridgeSettings>,
    /// Whether multicast goes only where it is wanted.
    pub snooping: SnoopingOptions,
    /// Settings of ports; what is `None` is as it was declared.
    pub ports: PortSettings,
    /// Profiles that ports may name, and that users have.
    pub profiles: Arc<Profiles>,
    /// Names of VLANs.
    pub vlan_names: BTreeMap<Vid, String>,
    /// Whether TAP devices and network interfaces take part in LLDP.
    pub lldp: bool,
}

/// Asks for the profiles.
#[derive(Debug, Message)]
#[rtype(result = "Arc<Profiles>")]
pub struct ListProfiles;

/// Asks which port has a name, or else which one is a device or an interface of that name.
#[derive(Debug, Message)]
#[rtype(result = "Option<PortNumber>")]
pub struct FindPort {
    /// The name.
    pub name: PortName,
}

/// Notes what control has set on the interface of a port, for when it is made anew.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct KeepInterface {
    /// Which port.
    pub port: PortNumber,
    /// All of its settings now.
    pub settings: Interface,
}

/// Deletes a port. The reply is the port as it was; `None`: no such port.
#[derive(Debug, Message)]
#[rtype(result = "Option<PortInfo>")]
pub struct DelPort {
    /// Which port.
    pub port: PortNumber,
    /// Why, for the port's farewell.
    pub stop: Stop,
}

/// Asks for all there is to know of a port; `None`: no such port.
#[derive(Debug, Message)]
#[rtype(result = "Option<PortReport>")]
pub struct ShowPort {
    /// Which port.
    pub port: PortNumber,
}

/// Asks for how to have the peer of a tunnel pinged; `None`: no such port.
#[derive(Debug, Message)]
#[rtype(result = "Option<Arc<Pings>>")]
pub struct FindPings {
    /// Which port.
    pub port: PortNumber,
}

/// Sends a frame of the switch's own out of all ports.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Flood {
    /// The frame.
    pub frame: Frame,
}

/// Asks for what there is to measure besides the ports, which [`ListPorts`] gives.
#[derive(Debug, Message)]
#[rtype(result = "Survey")]
pub struct TakeSurvey;

/// Adds a static entry to the forwarding database. The reply is the entry.
#[derive(Debug, Message)]
#[rtype(result = "Result<FdbInfo, FdbError>")]
pub struct AddFdb {
    /// VLAN of the address.
    pub vid: Vid,
    /// The address.
    pub mac: MacAddr,
    /// The port that it is behind.
    pub port: PortNumber,
}

/// Deletes an entry of the forwarding database, static or learned. The reply is the
/// entry as it was.
#[derive(Debug, Message)]
#[rtype(result = "Result<FdbInfo, FdbError>")]
pub struct DelFdb {
    /// VLAN of the address.
    pub vid: Vid,
    /// The address.
    pub mac: MacAddr,
}

/// Forgets what was learned, of one page. The reply is what was forgotten.
#[derive(Debug, Message)]
#[rtype(result = "Result<FdbPage, FdbError>")]
pub struct FlushFdb {
    /// Which entries; what says how they got there does not count.
    pub filter: FdbFilter,
    /// Whether static entries go as well.
    pub all: bool,
    /// Which page; the first is 0.
    pub page: usize,
}

/// Asks for a page of the forwarding database. Its entries come in no order: whoever wants
/// one sorts them elsewhere. 65,536 entries at once would hold up all frames for as long as
/// that takes.
#[derive(Debug, Default, Message)]
#[rtype(result = "FdbPage")]
pub struct ListFdb {
    /// Which entries.
    pub filter: FdbFilter,
    /// Which page; the first is 0.
    pub page: usize,
}

/// A page of the forwarding database.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FdbPage {
    /// What was asked for of it: [`PAGE`](crate::fdb::PAGE) entries at most.
    pub entries: Vec<FdbInfo>,
    /// The page to ask for next; `None`: that was the last one.
    pub next: Option<usize>,
}

/// Has frames copied to a mirror. The reply is where they come; who drops it ends the
/// mirror.
#[derive(Debug, Message)]
#[rtype(result = "Result<MirrorReader, TooManyMirrors>")]
pub struct AddMirror {
    /// Which frames.
    pub filter: Filter,
    /// Most octets of each.
    pub snaplen: usize,
    /// Octets that wait for the reader at most, with some overhead for each frame.
    pub octets: usize,
}

/// Ends all ports, as before the program's end. Answered when they have ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Shutdown;

/// Waits for the Switch's end: there is no answer but that nobody is there any more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct UntilEnd;

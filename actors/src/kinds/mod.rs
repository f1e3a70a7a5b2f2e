//! The kinds of port that come with the switch, one file each. None imports another.
//!
//! To add one: its file, its line below, and, if it can be asked for by name, its line in
//! `KINDS`.

#[cfg(feature = "devices")]
mod address;
#[cfg(feature = "tunnel")]
pub mod client;
#[cfg(feature = "devices")]
mod device;
mod info;
mod kind;
pub mod memory;
#[cfg(feature = "devices")]
pub mod netdev;
mod placement;
#[cfg(feature = "tunnel")]
pub mod session;
mod spec;
#[cfg(all(test, feature = "devices"))]
mod super_frames;
#[cfg(feature = "devices")]
pub mod tap;

#[cfg(feature = "tunnel")]
pub use client::{Client, ClientOptions};
#[cfg(feature = "schemars")]
pub use info::all_options;
pub use info::{KindInfo, kinds, register};
pub use kind::{Context, Further, Kind, OptionError, Store, Via};
pub use memory::Memory;
#[cfg(feature = "devices")]
pub use netdev::{Netdev, NetdevOptions};
pub(crate) use placement::Placement;
#[cfg(feature = "tunnel")]
pub use session::{Session, SessionInfo, shown};
pub(crate) use spec::Adding;
pub use spec::{PortSpec, SpecError};
#[cfg(feature = "devices")]
pub use tap::{Tap, TapOptions};

/// Kinds that can be asked for by name, in the order in which they are shown.
const KINDS: &[KindInfo] = &[
    #[cfg(feature = "devices")]
    KindInfo::of::<Tap>(),
    #[cfg(feature = "devices")]
    KindInfo::of::<Netdev>(),
    #[cfg(feature = "tunnel")]
    KindInfo::of::<Client>(),
];

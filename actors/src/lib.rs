//! The switch of etherws, for programs that embed it.
//!
//! A [`SwitchHandle`] is a learning Ethernet switch inside of a program. Its ports are
//! whatever carries frames: a channel ([`kinds::Memory`]), a TAP device, a network interface,
//! a WebSocket, or a kind of your own ([`port::Medium`], and [`kinds::Kind`] if control is to
//! add it by name).
//!
//! ```
//! use etherws_actors::prelude::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # actix::System::new().block_on(async {
//! let switch = SwitchHandle::start(SwitchOptions::default());
//! let (port, alice) = Memory::pair("alice", 64);
//! switch.add(port.leaf()).await?;
//! let (port, mut bob) = Memory::pair("bob", 64);
//! switch.add(port.leaf()).await?;
//!
//! let hello = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], &[0x88, 0xb5], b"hello"].concat();
//! alice.send(Frame::new(hello.into())).await?;
//! assert!(bob.recv().await.is_some_and(|frame| frame.data().ends_with(b"hello")));
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! # The path of a frame
//!
//! 1. A **link** reads it from its medium: [`kinds`], over [`sys`] or [`tunnel`].
//! 2. [`port::IngressSender`] waits for a credit and sends a batch ([`message::Ingress`]).
//! 3. The [`switch`] learns its source ([`fdb`]) and asks the [`relay`] for a verdict;
//!    floods pass the [`guard`]s, and [`mirror`]s see it.
//! 4. The [`gauge`] of the port that it leaves by admits it, or it is dropped and counted
//!    ([`counters`]).
//! 5. [`message::Egress`] takes a batch to the port's queue ([`port::EgressQueue`]), whose
//!    urgent lane overtakes the other.
//! 6. The link takes it from there, with work left on it ([`offload`]) or finished, and
//!    writes it.
//!
//! A frame is never an error: it is forwarded, or discarded for a counted reason.
//!
//! # Who does what
//!
//! [`supervisor`] opens media, and opens them again; [`control`] is what `etherws ctl` can
//! ask; [`settings`] are what an operator sets on a port; [`monitor`] tells what happens.
//! The pure part, without actors, clock and runtime, is `core`, whose modules stand here.
//!
//! # Features
//!
//! | feature | what it brings | default |
//! | --- | --- | --- |
//! | `tunnel` | WebSocket tunnels: client and session ports, TLS | yes |
//! | `devices` | TAP devices and network interfaces as ports | yes |
//! | `netlink` | addresses and MTU of interfaces | yes |
//! | `schemars` | JSON schemas of settings and of kinds' options | no |
//! | `clap` | the same as options of a command line | no |
#![warn(missing_docs)]
// What only some kinds use.
#![cfg_attr(not(all(feature = "tunnel", feature = "devices")), allow(dead_code))]

#[doc(hidden)]
pub mod bench;
#[cfg(any(feature = "devices", feature = "tunnel"))]
mod blocks;
#[cfg(feature = "tunnel")]
pub mod connect;
pub mod control;
mod core;
#[cfg(all(any(test, fuzzing), feature = "tunnel"))]
#[doc(hidden)]
pub mod fuzz;
mod handle;
pub mod kinds;
pub mod message;
pub mod mirror;
pub mod monitor;
#[cfg(feature = "netlink")]
pub(crate) mod netlink;
#[cfg(not(feature = "netlink"))]
#[path = "netlink/none.rs"]
pub(crate) mod netlink;
pub mod port;
pub mod supervisor;
pub mod switch;
pub mod sys;
pub mod tick;
#[cfg(feature = "tunnel")]
pub mod tunnel;
#[cfg(feature = "tunnel")]
pub mod turns;

pub use self::{
    core::{
        batch, bindings, counters, error, fdb, filter, frame, gauge, guard, holder, interface,
        links, lldp, memory, multicast, offload, packet, relay, secret, settings, state, stp, vlan,
    },
    handle::SwitchHandle,
};

/// What nearly every program that embeds a switch needs.
pub mod prelude {
    #[cfg(feature = "tunnel")]
    pub use crate::kinds::{Client, ClientOptions};
    #[cfg(feature = "devices")]
    pub use crate::kinds::{Netdev, NetdevOptions, Tap, TapOptions};
    pub use crate::{
        SwitchHandle,
        fdb::PortNumber,
        frame::{Frame, MAX_FRAME_LEN, MacAddr},
        kinds::{self, Context, Kind, Memory, PortSpec},
        port::{FrameIo, Link, Medium, PortError, PortIo},
        settings::PortSettings,
        switch::SwitchOptions,
    };
}

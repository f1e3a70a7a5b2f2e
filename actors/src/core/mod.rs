//! The pure core: what a switch decides, without actors, runtime, clock or log.
//!
//! Time is an argument, and nothing here waits, opens or writes anything. So all of it
//! can be tested against naive models, and none of it can hold up a frame.

pub(crate) mod announce;
pub(crate) mod backpressure;
pub mod batch;
pub mod bindings;
pub mod counters;
pub mod error;
pub(crate) mod fair;
pub mod fdb;
pub mod filter;
pub mod frame;
pub mod gauge;
pub mod guard;
pub mod holder;
pub(crate) mod impair;
pub mod interface;
pub(crate) mod isolation;
pub(crate) mod lanes;
pub(crate) mod line;
pub mod links;
pub mod lldp;
pub mod memory;
pub mod multicast;
mod names;
pub(crate) mod neighbors;
pub mod offload;
pub(crate) mod outgoing;
pub mod packet;
pub(crate) mod ports;
pub mod relay;
pub(crate) mod restraint;
pub mod secret;
pub mod settings;
pub mod state;
pub mod stp;
pub(crate) mod tick;
pub mod vlan;

//! The switch of etherws as Actix actors.
#![warn(missing_docs)]

#[doc(hidden)]
pub mod bench;
mod blocks;
pub mod connect;
pub mod control;
mod core;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod kinds;
pub mod message;
pub mod mirror;
pub mod monitor;
pub(crate) mod netlink;
pub mod port;
pub mod supervisor;
pub mod switch;
pub mod sys;
pub mod tunnel;

pub use crate::core::{
    batch, counters, error, fdb, frame, gauge, guard, holder, interface, offload, packet, relay,
    settings, state,
};

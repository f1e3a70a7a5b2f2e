//! The switch of etherws as Actix actors.
#![warn(missing_docs)]

mod announce;
#[doc(hidden)]
pub mod bench;
mod blocks;
pub mod control;
pub mod counters;
pub mod error;
pub mod fdb;
pub mod frame;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod guard;
pub mod message;
pub mod mirror;
pub mod monitor;
pub mod port;
pub mod relay;
pub mod supervisor;
pub mod switch;
pub mod sys;
pub mod tunnel;

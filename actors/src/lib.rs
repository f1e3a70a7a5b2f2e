//! The switch of etherws as Actix actors.
#![warn(missing_docs)]

pub mod control;
pub mod counters;
pub mod fdb;
pub mod frame;
pub mod message;
pub mod port;
mod sys;
mod tunnel;

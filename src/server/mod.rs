//! The HTTP side of the switch.

pub(crate) mod auth;

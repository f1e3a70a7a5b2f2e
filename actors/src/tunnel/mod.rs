//! Tunnels: Ethernet frames as binary WebSocket messages, one frame a message.
//!
//! Stands between the ports `session` and `client` and their streams. A new tunnel
//! comes from `dial` or from an accepted upgrade; from then on both
//! are a `WebSocket`. Nothing here knows a port's number or the forwarding
//! database.

pub mod codec;
mod encode;
pub mod link;
pub mod tcp;

pub use link::WebSocket;

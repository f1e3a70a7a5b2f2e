//! Tunnels: Ethernet frames as binary WebSocket messages, one frame or super-frame a message.
//!
//! Stands between the kinds `session` and `client` and their streams. A new tunnel comes
//! from [`dial`](crate::connect::dial()) or from an upgrade that was accepted; from then on
//! both are a [`WebSocket`]. Nothing here knows a port's number or the forwarding database.

pub mod codec;
mod encode;
mod framing;
mod heartbeat;
mod intake;
pub mod link;
mod messages;
mod pace;
pub(crate) mod typed;

pub use link::WebSocket;
pub use messages::Wire;
pub use typed::{SUBPROTOCOL, SUBPROTOCOL_HEADER};

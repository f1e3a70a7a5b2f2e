//! What lies between frames and a WebSocket.

pub(crate) mod segment;

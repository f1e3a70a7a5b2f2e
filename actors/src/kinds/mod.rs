//! The kinds of port that come with the switch, one file each. None imports another.

pub mod client;
mod device;
pub mod memory;
pub mod netdev;
pub mod session;
#[cfg(test)]
mod super_frames;
pub mod tap;

pub use client::{Client, ClientOptions};
pub use memory::Memory;
pub use netdev::Netdev;
pub use session::{Session, SessionInfo};
pub use tap::Tap;

//! The system underneath: TAP devices, packet sockets, interface settings.
//!
//! Below the ports `tap` and `netdev`. The only place with `unsafe`; nothing here
//! knows of actors, ports or the Switch.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use tokio::io::unix::AsyncFd;

use crate::core::frame::MAX_SUPER_FRAME_LEN;

mod ifreq;
pub mod inspect;
pub mod memory;
#[cfg(test)]
pub(crate) mod namespace;
pub(crate) mod packet;
mod tagged;
pub(crate) mod tap;
pub(crate) mod vnet;

/// Longest name of an interface in octets: the kernel's IFNAMSIZ less its NUL.
pub(crate) const MAX_NAME_LEN: usize = 15;

/// Room that a device's read needs: the longest frame behind its header. One that fills it
/// may have been longer.
pub(crate) const READ_OCTETS: usize = vnet::TUNNEL_LEN + MAX_SUPER_FRAME_LEN + 1;

/// A frame was lost because it was longer than what is read at once.
pub(crate) const TRUNCATED: io::ErrorKind = io::ErrorKind::FileTooLarge;

/// A frame was lost because the work that is left on it is not understood.
pub(crate) const UNKNOWN_OFFLOAD: io::ErrorKind = io::ErrorKind::InvalidData;

/// Tells when a device, or whatever else can be polled, is ready: its descriptor, registered with
/// the runtime under a number of its own.
///
/// # Errors
/// There are too many descriptors, or this one cannot be polled.
#[allow(unsafe_code)]
pub fn watch(device: BorrowedFd<'_>) -> io::Result<AsyncFd<OwnedFd>> {
    let own = device.try_clone_to_owned()?;
    // SAFETY: an `OwnedFd` is open until it is dropped, and never another one.
    Ok(unsafe { AsyncFd::register(own) }?)
}

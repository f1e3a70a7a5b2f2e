//! The system underneath: TAP devices, packet sockets, interface settings.
//!
//! Below the ports `tap` and `netdev`. The only place with `unsafe`; nothing here
//! knows of actors, ports or the Switch.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use tokio::io::unix::AsyncFd;

use crate::core::frame::MAX_FRAME_LEN;

mod ifreq;
pub mod inspect;
#[cfg(test)]
pub(crate) mod namespace;
pub(crate) mod packet;
pub(crate) mod tap;
pub(crate) mod vnet;

/// Longest name of an interface in octets: the kernel's IFNAMSIZ less its NUL.
pub(crate) const MAX_NAME_LEN: usize = 15;

/// Room that a device's read needs: the longest frame behind its header.
pub(crate) const READ_OCTETS: usize = vnet::LEN + MAX_FRAME_LEN;

/// Tells when a device is ready: its descriptor, registered with the runtime under
/// a number of its own.
#[allow(unsafe_code)]
pub(crate) fn watch(device: BorrowedFd<'_>) -> io::Result<AsyncFd<OwnedFd>> {
    let own = device.try_clone_to_owned()?;
    // SAFETY: an `OwnedFd` is open until it is dropped, and never another one.
    Ok(unsafe { AsyncFd::register(own) }?)
}

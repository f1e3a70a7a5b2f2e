//! The system underneath: TAP devices, packet sockets, interface settings.
//!
//! Below the ports `tap` and `netdev`. The only place with `unsafe`; nothing here
//! knows of actors, ports or the Switch.

pub(crate) mod link;
#[cfg(test)]
pub(crate) mod namespace;
pub(crate) mod packet;
pub(crate) mod tap;

/// Longest name of an interface in octets: the kernel's IFNAMSIZ less its NUL.
pub(crate) const MAX_NAME_LEN: usize = 15;

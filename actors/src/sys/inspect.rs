//! Questions to the kernel that only a person asks who looks for a fault: is the clock
//! right, does a device join packets on its own.
//!
//! Beside the ports, which need none of this. Never changes anything.
#![allow(unsafe_code)]

use std::io;

use nix::{
    errno::Errno,
    libc,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

use super::{
    MAX_NAME_LEN,
    ifreq::{ioctl, request},
};

/// Flag of large receive offload in an answer to `ETHTOOL_GFLAGS` (linux/ethtool.h).
const ETH_FLAG_LRO: u32 = 1 << 15;

/// `ETHTOOL_GFLAGS`, which libc does not have.
const ETHTOOL_GFLAGS: u32 = 0x25;

/// Whether something keeps the system's clock right: NTP or the like.
///
/// # Errors
/// The kernel does not tell.
pub fn clock_is_synchronized() -> io::Result<bool> {
    // SAFETY: all zero is a valid timex: integers alone; `modes` 0 changes nothing.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: it takes a pointer to one timex, and keeps none.
    Errno::result(unsafe { libc::adjtimex(&raw mut state) })?;
    Ok(state.status & libc::STA_UNSYNC == 0)
}

/// Whether interface `name` joins received TCP segments in a way that cannot be undone
/// (LRO), unlike GRO.
///
/// # Errors
/// There is no such interface, or it does not tell.
pub fn has_lro(name: &str) -> io::Result<bool> {
    #[repr(C)]
    struct Value {
        cmd: u32,
        data: u32,
    }
    if name.len() > MAX_NAME_LEN {
        return Err(Errno::ENODEV.into());
    }
    let any = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut value = Value { cmd: ETHTOOL_GFLAGS, data: 0 };
    let mut request = request(name);
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    ioctl(&any, libc::SIOCETHTOOL, &mut request)?;
    Ok(value.data & ETH_FLAG_LRO != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers() {
        assert!(clock_is_synchronized().is_ok());
        assert!(!has_lro("lo").expect("lo is everywhere"), "nothing is joined on loopback");
        for name in ["no-such-if0", "a-name-too-long-for-linux"] {
            assert_eq!(has_lro(name).unwrap_err().raw_os_error(), Some(libc::ENODEV), "{name}");
        }
    }
}

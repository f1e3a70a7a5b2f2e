//! `struct ifreq`: what the kernel is asked about one interface by ioctl.
//!
//! Below `sys/tap` and `sys/packet`. Never creates, moves or renames an interface
//! by itself.
#![allow(unsafe_code)]

use std::{io, os::fd::AsRawFd};

use nix::{errno::Errno, libc};

use super::MAX_NAME_LEN;

/// A request about interface `name`, at most [`MAX_NAME_LEN`] octets of it.
pub(super) fn request(name: &str) -> libc::ifreq {
    // SAFETY: all zero is a valid ifreq: integers and a union of plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name[..MAX_NAME_LEN].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

/// The name in a request.
pub(super) fn name_of(request: &libc::ifreq) -> String {
    let name: Vec<u8> =
        request.ifr_name.iter().map(|&c| c as u8).take_while(|&octet| octet != 0).collect();
    String::from_utf8_lossy(&name).into_owned()
}

/// Makes the request. `code` must be one that takes an ifreq. With musl libc has some codes as
/// wider integers than those that ioctl takes.
pub(super) fn ioctl(
    fd: &impl AsRawFd,
    code: impl TryInto<libc::Ioctl>,
    request: &mut libc::ifreq,
) -> io::Result<()> {
    let code = code.try_into().map_err(|_| Errno::EINVAL)?;
    // SAFETY: each code given here takes a pointer to one ifreq, and keeps none.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), code, request) })?;
    Ok(())
}

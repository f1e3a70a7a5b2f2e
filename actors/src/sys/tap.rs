//! A TAP device: a network interface of the kernel whose cable end we hold.
//!
//! Opened by the port `tap`. Whole Ethernet frames and super-frames, one a system
//! call, never waiting. The device lives as long as its descriptor: a failed open
//! leaves nothing behind.
#![allow(unsafe_code)]

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
};

use bytes::{BufMut, BytesMut};
use nix::{
    errno::Errno,
    libc,
    net::if_::if_nametoindex,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

use super::{
    MAX_NAME_LEN, READ_OCTETS, TRUNCATED,
    ifreq::{ioctl, name_of, request},
    vnet,
};
use crate::core::frame::{Frame, MacAddr, Offload};

/// Where the kernel makes TUN and TAP devices.
const CLONE_DEVICE: &str = "/dev/net/tun";

#[expect(clippy::cast_possible_truncation, reason = "flags of 16 bits, as the kernel has them")]
const TAP_FLAGS: libc::c_short =
    (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
#[expect(clippy::cast_possible_truncation, reason = "the same")]
const UP: libc::c_short = libc::IFF_UP as libc::c_short;

/// Sets whether the device has a carrier, an int: `_IOW('T', 226, int)`. Since Linux 4.20.
const TUNSETCARRIER: libc::Ioctl = 0x4004_54e2;

/// The work that a kernel may leave to us, from the most that we can do to none:
/// super-frames in UDP tunnels came with Linux 6.17, UDP segmentation with 6.2.
const OFFLOADS: [libc::c_uint; 4] = [ALL | TUNNELS, ALL, TCP, 0];
const ALL: libc::c_uint = TCP | libc::TUN_F_USO4 | libc::TUN_F_USO6;
const TCP: libc::c_uint =
    libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
/// `TUN_F_UDP_TUNNEL_GSO` and `TUN_F_UDP_TUNNEL_GSO_CSUM`: in the longer header only.
const TUNNELS: libc::c_uint = 0x80 | 0x100;

/// A TAP device could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TapError {
    /// The kernel would not take the name.
    #[error(
        "{name:?} cannot name a TAP device; give 1 to {MAX_NAME_LEN} ASCII characters without \
         blanks, '/' or ':', with at most one '%d' for a number"
    )]
    Name { name: String },
    /// The kernel has no TUN/TAP driver.
    #[error("no {CLONE_DEVICE} to make TAP device {name:?}; load the kernel module: modprobe tun")]
    NoDriver { name: String, source: io::Error },
    /// Neither root nor CAP_NET_ADMIN.
    #[error(
        "no permission to make TAP device {name:?}; it needs CAP_NET_ADMIN: run as root, or in a \
         user namespace (unshare -Urn), or have root make it for this user (ip tuntap add)"
    )]
    Permission { name: String, source: io::Error },
    /// A persistent device of ours that nobody has brought up.
    #[error(
        "TAP device {name:?} is down, and bringing it up needs CAP_NET_ADMIN; as root: \
         ip link set {name} up"
    )]
    Down { name: String, source: io::Error },
    /// It exists, and another program holds it.
    #[error("TAP device {name:?} is in use by another program; end that, or choose another name")]
    Busy { name: String, source: io::Error },
    /// It exists, and is something else.
    #[error("interface {name:?} exists and is not a TAP device; choose another name")]
    NoTap { name: String, source: io::Error },
    /// Anything else.
    #[error("cannot {what} TAP device {name:?}")]
    Other { what: &'static str, name: String, source: io::Error },
}

/// An open TAP device, up, with a vnet header before each frame.
#[derive(Debug)]
pub(crate) struct Tap {
    file: File,
    name: String,
    is_new: bool,
    offloads: libc::c_uint,
}

/// Whether a device may be called so.
///
/// # Errors
/// It may not.
pub(crate) fn check_name(name: &str) -> Result<(), TapError> {
    if is_valid(name) { Ok(()) } else { Err(TapError::Name { name: name.to_owned() }) }
}

impl Tap {
    /// Makes the device, or attaches to a persistent one that nobody uses, and
    /// brings it up. A `%d` in `name` becomes the lowest free number. It gets the address
    /// that `mac` gives for it; without one it keeps the kernel's.
    pub(crate) fn open(
        name: &str,
        mac: impl FnOnce(&Self) -> Option<MacAddr>,
    ) -> Result<Self, TapError> {
        check_name(name)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(CLONE_DEVICE)
            .map_err(|source| open_error(name, source))?;
        let is_new = if_nametoindex(name).is_err();
        let mut request = request(name);
        request.ifr_ifru.ifru_flags = TAP_FLAGS;
        ioctl(&file, libc::TUNSETIFF, &mut request).map_err(|source| set_error(name, source))?;
        let mut tap = Self { file, name: name_of(&request), is_new, offloads: 0 };
        tap.set_offloads().map_err(|source| set_error(&tap.name, source))?;
        let failed = |what, source| TapError::Other { what, name: tap.name.clone(), source };
        if let Some(mac) = mac(&tap) {
            tap.set_mac(mac).map_err(|source| failed("set the MAC address of", source))?;
        }
        tap.bring_up().map_err(|source| match source.raw_os_error() {
            Some(libc::EPERM) => TapError::Down { name: tap.name.clone(), source },
            _ => failed("bring up", source),
        })?;
        Ok(tap)
    }

    fn set_offloads(&mut self) -> io::Result<()> {
        let mut last = Ok(());
        for offloads in OFFLOADS {
            self.offloads = offloads;
            // A persistent device still has what its last user has set.
            last = self.set_header_len().and_then(|()| self.try_offloads(offloads));
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// Octets of the header before each frame.
    const fn header_len(&self) -> usize {
        if self.offloads & TUNNELS != 0 { vnet::TUNNEL_LEN } else { vnet::LEN }
    }

    fn set_header_len(&self) -> io::Result<()> {
        let len = libc::c_int::try_from(self.header_len()).unwrap_or_default();
        // SAFETY: TUNSETVNETHDRSZ reads one int at the pointer.
        let result = unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TUNSETVNETHDRSZ, &len) };
        Errno::result(result)?;
        Ok(())
    }

    fn try_offloads(&self, offloads: libc::c_uint) -> io::Result<()> {
        // SAFETY: TUNSETOFFLOAD takes flags in the place of a pointer.
        let result = unsafe {
            let flags = libc::c_ulong::from(offloads);
            libc::ioctl(self.file.as_raw_fd(), libc::TUNSETOFFLOAD, flags)
        };
        Errno::result(result)?;
        Ok(())
    }

    /// Whether the device was made, and was not there before.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Whether the kernel leaves TCP super-frames whole, and UDP ones.
    pub(crate) fn takes_super_frames(&self) -> (bool, bool) {
        let has = |flag| self.offloads & flag != 0;
        (has(libc::TUN_F_TSO4), has(libc::TUN_F_USO4))
    }

    /// Gives the device a carrier, or takes it away.
    pub(crate) fn set_carrier(&self, has_carrier: bool) -> io::Result<()> {
        let carrier = libc::c_int::from(has_carrier);
        // SAFETY: TUNSETCARRIER reads one int at the pointer.
        let result = unsafe { libc::ioctl(self.file.as_raw_fd(), TUNSETCARRIER, &carrier) };
        Errno::result(result)?;
        Ok(())
    }

    /// Whether super-frames in UDP tunnels are left whole, and taken.
    pub(crate) const fn takes_tunnels(&self) -> bool {
        self.offloads & TUNNELS != 0
    }

    fn set_mac(&self, mac: MacAddr) -> io::Result<()> {
        let mut request = request(&self.name);
        // SAFETY: all zero is a valid sockaddr: integers alone.
        let mut address: libc::sockaddr = unsafe { std::mem::zeroed() };
        address.sa_family = libc::ARPHRD_ETHER;
        for (to, from) in address.sa_data.iter_mut().zip(mac.0) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_hwaddr = address;
        ioctl(&self.file, libc::SIOCSIFHWADDR, &mut request)
    }

    /// Frames of the host that the kernel has dropped, for want of room in the device's
    /// queue above all; `None` where the device is not in this namespace.
    pub(crate) fn dropped(&self) -> Option<u64> {
        let devices = std::fs::read_to_string("/proc/net/dev").ok()?;
        let counters = devices.lines().find_map(|line| {
            let (name, counters) = line.split_once(':')?;
            (name.trim() == self.name).then_some(counters)
        })?;
        // Eight of received packets, and then octets, packets, errors.
        counters.split_whitespace().nth(8 + 3)?.parse().ok()
    }

    fn bring_up(&self) -> io::Result<()> {
        let any: OwnedFd =
            socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        let mut request = request(&self.name);
        ioctl(&any, libc::SIOCGIFFLAGS, &mut request)?;
        // SAFETY: SIOCGIFFLAGS has filled in the flags.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        // Who owns a persistent device needs no capability to use it, but to set it.
        if flags & UP != 0 {
            return Ok(());
        }
        request.ifr_ifru.ifru_flags = flags | UP;
        ioctl(&any, libc::SIOCSIFFLAGS, &mut request)
    }

    /// The device's real name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Reads one frame into the spare capacity of `buffer` and splits it off, with
    /// the work that is left on it. `WouldBlock`: there is none; EBADFD: the device
    /// was deleted; [`UNKNOWN_OFFLOAD`](super::UNKNOWN_OFFLOAD), [`TRUNCATED`]: a frame was
    /// lost.
    pub(crate) fn recv(&self, buffer: &mut BytesMut) -> io::Result<(BytesMut, Offload)> {
        buffer.reserve(READ_OCTETS);
        let spare = buffer.chunk_mut();
        // SAFETY: `spare` is READ_OCTETS writable octets or more, which may be
        // uninitialised: the kernel only writes to them.
        let read =
            unsafe { libc::read(self.file.as_raw_fd(), spare.as_mut_ptr().cast(), READ_OCTETS) };
        let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: the kernel has written the first `read` octets.
        unsafe { buffer.advance_mut(read) };
        let mut data = buffer.split();
        // The kernel does not tell how long it was.
        if read == READ_OCTETS {
            return Err(TRUNCATED.into());
        }
        let offload = vnet::take(&mut data, self.header_len())?;
        Ok((data, offload))
    }

    /// Writes one frame with the work that is left on it. `WouldBlock`: no room.
    pub(crate) fn send(&self, frame: &Frame) -> io::Result<()> {
        vnet::write(&self.file, frame, self.header_len())
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // The next user of a persistent device may not know of super-frames. Of
        // others nothing is left to be set.
        let _ = self.try_offloads(0);
        self.offloads = 0;
        let _ = self.set_header_len();
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What the kernel takes as the name of a new interface, a little tightened.
fn is_valid(name: &str) -> bool {
    let plain = name.replacen("%d", "", 1);
    (1..=MAX_NAME_LEN).contains(&name.len())
        && name != "."
        && name != ".."
        && plain.bytes().all(|b| b.is_ascii_graphic() && !b"/:%".contains(&b))
}

fn open_error(name: &str, source: io::Error) -> TapError {
    let name = name.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => TapError::NoDriver { name, source },
        io::ErrorKind::PermissionDenied => TapError::Permission { name, source },
        _ if source.raw_os_error() == Some(libc::ENODEV) => TapError::NoDriver { name, source },
        _ => TapError::Other { what: "open the driver for", name, source },
    }
}

fn set_error(name: &str, source: io::Error) -> TapError {
    let name = name.to_owned();
    match source.raw_os_error() {
        Some(libc::EPERM) => TapError::Permission { name, source },
        Some(libc::EBUSY) => TapError::Busy { name, source },
        // The name was checked, so it is the device that does not fit.
        Some(libc::EINVAL) => TapError::NoTap { name, source },
        _ => TapError::Other { what: "make", name, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::namespace::{drop_capabilities, in_namespace};

    #[test]
    fn names_that_the_kernel_would_refuse_are_named_in_the_error() {
        for name in ["", "sixteen_octets__", "a/b", "a b", "a:b", "%d%d", "a%s", "..", "ü", "a\0"]
        {
            let error = Tap::open(name, |_| None).expect_err(name).to_string();
            assert!(error.starts_with(&format!("{name:?} cannot name")), "{error}");
        }
        for name in ["ewp%d", "%d", "fifteen_octets_", "tap0", "a.b-c"] {
            assert!(is_valid(name), "{name}");
        }
    }

    #[test]
    fn devices_are_numbered_up_and_gone_with_their_descriptor() {
        in_namespace(|| {
            let first = Tap::open("ewp%d", |_| None).expect("a TAP");
            let second = Tap::open("ewp%d", |_| None).expect("another");
            assert_eq!((first.name(), second.name()), ("ewp0", "ewp1"));
            let flags = std::fs::read_to_string("/proc/net/dev").expect("procfs");
            assert!(flags.contains("ewp1:"));
            drop(second);
            let flags = std::fs::read_to_string("/proc/net/dev").expect("procfs");
            assert!(flags.contains("ewp0:") && !flags.contains("ewp1:"));
        });
    }

    #[test]
    fn without_permission_the_error_says_which_one() {
        in_namespace(|| {
            drop_capabilities();
            let error = Tap::open("ewp0", |_| None).expect_err("no permission").to_string();
            assert!(error.contains("\"ewp0\"; it needs CAP_NET_ADMIN"), "{error}");
        });
    }

    #[test]
    fn a_device_in_use_and_a_device_of_another_kind_are_told_apart() {
        in_namespace(|| {
            let tap = Tap::open("ewp0", |_| None).expect("a TAP");
            assert!(matches!(Tap::open(tap.name(), |_| None), Err(TapError::Busy { .. })));
            assert!(matches!(Tap::open("lo", |_| None), Err(TapError::NoTap { .. })));
        });
    }
}

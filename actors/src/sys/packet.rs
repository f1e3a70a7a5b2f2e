//! A packet socket: the frames of an interface that exists already.
//!
//! Opened by the port `netdev`. Whole Ethernet frames with the VLAN tags that the
//! kernel has taken out, and with the metadata of super-frames; one a system call,
//! never waiting. Never brings an interface up, and never sees what this host
//! itself sends by it.
#![allow(unsafe_code)]

use std::{
    array,
    cell::RefCell,
    io::{self, IoSlice},
    mem::{self, size_of},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr,
};

use bytes::{Buf, BufMut, BytesMut};
use nix::{
    errno::Errno,
    libc::{self, c_int},
    net::if_::{if_indextoname, if_nametoindex},
    sys::socket::{self, AddressFamily, SockFlag, SockType},
};

use super::{
    MAX_NAME_LEN, READ_OCTETS, TRUNCATED, UNKNOWN_OFFLOAD,
    ifreq::{ioctl, request},
    tagged::Ring,
    vnet::{self, Prefix},
};
use crate::core::{
    frame::{Frame, Offload},
    packet::{TAG_LEN, TPID_CVLAN},
};

/// Where a tag goes: behind the two addresses.
const TAG_AT: usize = 12;

/// Frames in one system call: beyond it its own cost is lost in noise.
pub(crate) const SEND_FRAMES: usize = 32;

/// Receive buffer: 10 ms of 3 Gbit/s, some 60 super-frames. Beyond it the kernel
/// drops, and counts.
const RECEIVE_OCTETS: c_int = 4 * 1024 * 1024;

#[expect(clippy::cast_possible_truncation, reason = "constants that fit the kernel's own fields")]
const PROMISCUOUS: u16 = libc::PACKET_MR_PROMISC as u16;
#[expect(clippy::cast_possible_truncation, reason = "the same")]
const FAMILY: u16 = libc::AF_PACKET as u16;
#[expect(clippy::cast_possible_truncation, reason = "the same")]
const ALL_PROTOCOLS: u16 = libc::ETH_P_ALL as u16;

/// A packet socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PacketError {
    /// No interface of that name.
    #[error("no network interface {name:?}; `ip link` lists the interfaces")]
    NoInterface { name: String },
    /// Neither root nor CAP_NET_RAW.
    #[error(
        "no permission to read the frames of {name:?}; it needs CAP_NET_RAW: run as root, or in a \
         user namespace (unshare -Urn)"
    )]
    Permission { name: String, source: io::Error },
    /// A tunnel of IP packets, say.
    #[error("interface {name:?} carries no Ethernet frames (its ARP hardware type is {kind})")]
    NoEthernet { name: String, kind: u16 },
    /// Anything else.
    #[error("cannot open a packet socket on {name:?}")]
    Other { name: String, source: io::Error },
}

/// Room for one `tpacket_auxdata` control message, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// An open packet socket, bound to one interface, which is promiscuous meanwhile.
#[derive(Debug)]
pub(crate) struct PacketSocket {
    fd: OwnedFd,
    /// As it was last known.
    name: RefCell<String>,
    index: u32,
    /// For frames whose tags make them longer than a write may be.
    ring: RefCell<Option<Ring>>,
}

impl PacketSocket {
    /// Opens a socket on interface `name`, which may be down.
    pub(crate) fn open(name: &str) -> Result<Self, PacketError> {
        let no_interface = || PacketError::NoInterface { name: name.to_owned() };
        if name.is_empty() || name.len() > MAX_NAME_LEN || name.contains('\0') {
            return Err(no_interface());
        }
        let index = if_nametoindex(name).map_err(|_| no_interface())?;
        let failed = |source: io::Error| {
            let name = name.to_owned();
            match source.raw_os_error() {
                Some(libc::EPERM) => PacketError::Permission { name, source },
                Some(libc::ENODEV | libc::ENXIO) => PacketError::NoInterface { name },
                _ => PacketError::Other { name, source },
            }
        };
        let fd = socket().map_err(failed)?;
        let known = RefCell::new(name.to_owned());
        let socket = Self { fd, name: known, index, ring: RefCell::default() };
        socket.set_options().map_err(failed)?;
        match bind(&socket.fd, socket.ifindex(), ALL_PROTOCOLS).map_err(failed)? {
            libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Ok(socket),
            kind => Err(PacketError::NoEthernet { name: name.to_owned(), kind }),
        }
    }

    fn set_options(&self) -> io::Result<()> {
        let fd = &self.fd;
        set(fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1)?;
        set(fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1)?;
        set(fd, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1)?;
        // Beyond net.core.rmem_max with CAP_NET_ADMIN, up to it without.
        set(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &RECEIVE_OCTETS)
            .or_else(|_| set(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &RECEIVE_OCTETS))?;
        // A membership goes with the socket, IFF_PROMISC would stay.
        let membership = libc::packet_mreq {
            mr_ifindex: self.ifindex(),
            mr_type: PROMISCUOUS,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        set(fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership)
    }

    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    fn ifindex(&self) -> c_int {
        self.index.cast_signed()
    }

    /// Name of the interface.
    pub(crate) fn name(&self) -> String {
        self.name.borrow().clone()
    }

    /// Whether the interface that the socket was opened on is still there, perhaps under
    /// another name: not deleted, moved to another namespace, or made anew.
    pub(crate) fn is_present(&self) -> bool {
        if if_nametoindex(self.name.borrow().as_str()) == Ok(self.index) {
            return true;
        }
        let name = if_indextoname(self.index).ok().and_then(|name| name.into_string().ok());
        // nix takes the null of an index that is no more for success.
        let name = name.filter(|name| !name.is_empty());
        let is_present = name.is_some();
        name.into_iter().for_each(|name| *self.name.borrow_mut() = name);
        is_present
    }

    /// MTU of the interface now, in octets behind the Ethernet header.
    pub(crate) fn mtu(&self) -> io::Result<usize> {
        let mut request = request(&self.name.borrow());
        ioctl(&self.fd, libc::SIOCGIFMTU, &mut request)?;
        // SAFETY: SIOCGIFMTU has filled in the MTU.
        let mtu = unsafe { request.ifr_ifru.ifru_mtu };
        usize::try_from(mtu).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Receives one frame into the spare capacity of `buffer` and splits it off,
    /// with the work that is left on it.
    ///
    /// `WouldBlock`: there is none. [`TRUNCATED`], [`UNKNOWN_OFFLOAD`], and `UnexpectedEof`
    /// for one that is too short: a frame was lost. ENETDOWN, once: the interface went
    /// down, or away.
    pub(crate) fn recv(&self, buffer: &mut BytesMut) -> io::Result<(BytesMut, Offload)> {
        buffer.reserve(READ_OCTETS);
        let tag = self.recv_behind(buffer)?;
        let mut data = buffer.split();
        let Some(tag) = tag else {
            let offload = vnet::take(&mut data, vnet::LEN)?;
            return Ok((data, offload));
        };
        let offload = vnet::decode(&data, 4).ok_or(UNKNOWN_OFFLOAD)?;
        // The addresses move over the header, which is read: 12 octets, not the frame.
        data.advance(vnet::LEN - TAG_LEN);
        data.copy_within(TAG_LEN..TAG_LEN + TAG_AT, 0);
        data[TAG_AT..TAG_AT + TAG_LEN].copy_from_slice(&tag);
        let offload = vnet::settled(&mut data, offload)?;
        Ok((data, offload))
    }

    /// The system call: header and frame behind what `buffer` holds already. Gives
    /// the VLAN tag that the kernel has taken out.
    fn recv_behind(&self, buffer: &mut BytesMut) -> io::Result<Option<[u8; 4]>> {
        let mut control = Control([0; 64]);
        let mut part =
            libc::iovec { iov_base: buffer.chunk_mut().as_mut_ptr().cast(), iov_len: READ_OCTETS };
        // SAFETY: all zero is a valid msghdr: integers and null pointers.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = control.0.len() as _;
        // SAFETY: `message` points to READ_OCTETS octets of spare capacity that the
        // caller has reserved, and to `control`; both live longer than the call, and
        // the kernel only writes to them.
        let received = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &mut message, 0) };
        let received = usize::try_from(received).map_err(|_| match Errno::last() {
            // A super-frame of a kind for which the header has no word: SCTP, say.
            Errno::EINVAL => UNKNOWN_OFFLOAD.into(),
            errno => io::Error::from(errno),
        })?;
        if message.msg_flags & libc::MSG_TRUNC != 0 {
            return Err(TRUNCATED.into());
        }
        if received < vnet::LEN + TAG_AT {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: the kernel has written so many octets.
        unsafe { buffer.advance_mut(received) };
        Ok(taken_tag(&message))
    }

    /// Sends frames, each with the work that is left on it, from the first on: as many
    /// as there is room for, and at most [`SEND_FRAMES`]. How many; an error is that of
    /// the first. `WouldBlock`: no room.
    pub(crate) fn send(&self, frames: &[Frame]) -> io::Result<usize> {
        let frames = &frames[..frames.len().min(SEND_FRAMES)];
        if let [frame] = frames {
            return vnet::write(&self.fd, frame, vnet::LEN).map(|()| 1);
        }
        let parts: [(Prefix, &[u8]); SEND_FRAMES] =
            array::from_fn(|at| frames.get(at).map_or((Prefix::NONE, &[][..]), Prefix::of));
        let mut slices = parts.each_ref().map(|(prefix, rest)| [prefix, *rest].map(IoSlice::new));
        // SAFETY: all zero is a valid mmsghdr: null pointers, and nothing behind them.
        let mut messages: [libc::mmsghdr; SEND_FRAMES] = unsafe { mem::zeroed() };
        for (message, parts) in messages.iter_mut().zip(&mut slices) {
            message.msg_hdr.msg_iov = parts.as_mut_ptr().cast();
            message.msg_hdr.msg_iovlen = parts.len() as _;
        }
        let (fd, count) = (self.fd.as_raw_fd(), libc::c_uint::try_from(frames.len()));
        // SAFETY: each of so many messages points at two slices, which have the layout of
        // iovec, and they at `parts` and `frames`: all of it outlives the call, which
        // only reads what the slices point at.
        let sent =
            unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), count.unwrap_or_default(), 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Sends a frame that [`send`](Self::send) found too long, of `len` octets at most with
    /// its tags.
    pub(crate) fn send_tagged(&self, frame: &Frame, len: usize) -> io::Result<()> {
        // Where there is no ring, it stays too long.
        let too_long = || io::Error::from_raw_os_error(libc::EMSGSIZE);
        if frame.len() > len {
            return Err(too_long());
        }
        let len = vnet::LEN + len;
        let mut ring = self.ring.borrow_mut();
        // An MTU may have grown.
        let ring = match ring.take().filter(|ring| ring.fits(len)) {
            Some(open) => ring.insert(open),
            None => ring.insert(Ring::open(self.ifindex(), len).map_err(|_| too_long())?),
        };
        ring.send(frame)
    }

    /// Frames that the kernel has dropped for want of buffers since the last call.
    pub(crate) fn drops(&self) -> u32 {
        let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut len = socklen::<libc::tpacket_stats>();
        // SAFETY: the kernel writes at most `len` octets, the size of `statistics`.
        let result = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                ptr::from_mut(&mut statistics).cast(),
                &mut len,
            )
        };
        if result == 0 { statistics.tp_drops } else { 0 }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A packet socket of no protocol yet: until it is bound it receives nothing, so no frame of
/// another interface can slip in.
pub(super) fn socket() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    Ok(socket::socket(AddressFamily::Packet, SockType::Raw, flags, None)?)
}

/// Sets an option.
pub(super) fn set<T>(fd: &OwnedFd, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads `size_of::<T>()` octets at `value`.
    let result = unsafe {
        let value = ptr::from_ref(value).cast();
        libc::setsockopt(fd.as_raw_fd(), level, option, value, socklen::<T>())
    };
    Errno::result(result)?;
    Ok(())
}

/// Binds to an interface, and gives its ARP hardware type.
pub(super) fn bind(fd: &OwnedFd, index: c_int, protocols: u16) -> io::Result<u16> {
    // SAFETY: all zero is a valid sockaddr_ll: it is made of integers.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = FAMILY;
    address.sll_protocol = protocols.to_be();
    address.sll_ifindex = index;
    let mut len = socklen::<libc::sockaddr_ll>();
    // SAFETY: the kernel reads `len` octets of `address`.
    let result = unsafe { libc::bind(fd.as_raw_fd(), ptr::from_ref(&address).cast(), len) };
    Errno::result(result)?;
    // SAFETY: the kernel writes at most `len` octets of `address`.
    let result =
        unsafe { libc::getsockname(fd.as_raw_fd(), ptr::from_mut(&mut address).cast(), &mut len) };
    Errno::result(result)?;
    Ok(address.sll_hatype)
}

/// Size of an option's or address's type.
#[expect(clippy::cast_possible_truncation, reason = "types of some tens of octets")]
const fn socklen<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

/// The VLAN tag that the kernel took out of the frame, as it was on the wire.
fn taken_tag(message: &libc::msghdr) -> Option<[u8; 4]> {
    // SAFETY: `message` is as recvmsg has left it, its control buffer still there;
    // a control message of this type holds a tpacket_auxdata, at any alignment.
    let data = unsafe {
        let control = libc::CMSG_FIRSTHDR(message);
        if control.is_null()
            || (*control).cmsg_level != libc::SOL_PACKET
            || (*control).cmsg_type != libc::PACKET_AUXDATA
        {
            return None;
        }
        ptr::read_unaligned(libc::CMSG_DATA(control).cast::<libc::tpacket_auxdata>())
    };
    if data.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let tpid = match data.tp_status & libc::TP_STATUS_VLAN_TPID_VALID {
        0 => TPID_CVLAN,
        _ => data.tp_vlan_tpid,
    };
    let ([a, b], [c, d]) = (tpid.to_be_bytes(), data.tp_vlan_tci.to_be_bytes());
    Some([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;
    use crate::sys::namespace::{cable, drop_capabilities, in_namespace};

    #[test]
    fn an_interface_that_is_not_there_is_named() {
        for name in ["", "no_such_one", "sixteen_octets__", "a\0b"] {
            let error = PacketSocket::open(name).expect_err(name);
            assert!(matches!(error, PacketError::NoInterface { .. }), "{error}");
            assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
        }
    }

    #[test]
    fn without_permission_the_error_says_which_one() {
        in_namespace(|| {
            drop_capabilities();
            let error = PacketSocket::open("lo").expect_err("no permission").to_string();
            assert!(error.contains("\"lo\"; it needs CAP_NET_RAW"), "{error}");
        });
    }

    #[test]
    fn a_socket_sees_what_the_other_end_sends_and_not_what_its_own_sends() {
        in_namespace(|| {
            cable("v0", "v1");
            let (here, there) =
                (PacketSocket::open("v0").unwrap(), PacketSocket::open("v1").unwrap());
            // Local experimental EtherType: the system's own frames have others.
            let mut frame = [7; 60];
            frame[12..14].copy_from_slice(&[0x88, 0xb5]);
            there.send(&[Frame::new(bytes::Bytes::copy_from_slice(&frame))]).unwrap();
            let mut buffer = BytesMut::new();
            let ours = |socket: &PacketSocket, buffer: &mut BytesMut| {
                iter::from_fn(|| match socket.recv(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                    other => Some(other),
                })
                .filter_map(Result::ok)
                .filter(|(data, _)| data[12..14] == [0x88, 0xb5])
                .map(|(data, _)| data)
                .collect::<Vec<_>>()
            };
            assert_eq!(ours(&here, &mut buffer), [&frame[..]]);
            assert!(ours(&there, &mut buffer).is_empty());
        });
    }
}

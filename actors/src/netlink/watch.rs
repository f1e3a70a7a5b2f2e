//! What becomes of an interface, as the kernel tells it: carrier, name, addresses, and where
//! it has gone. It is told by its index, which a name may leave.
//!
//! Beside the frame's path. What the kernel says is only a reason to look again: a message
//! that is lost for want of room is one as well.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    pin::pin,
    sync::Arc,
};

use futures_util::TryStreamExt;
use nix::{libc, net::if_::if_nametoindex};
use rtnetlink::{
    Handle,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage},
        link::{LinkAttribute, LinkFlags, LinkMessage},
    },
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};
use tokio::io::unix::AsyncFd;

use super::{Netlink, address_of, mtu_of};
use crate::{
    core::{
        frame::MacAddr,
        interface::{Carrier, InterfaceStatus},
    },
    sys,
};

/// Groups of messages: links, and addresses of both families.
const GROUPS: libc::c_int = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;

/// Room for one datagram: as much as the kernel puts into one (NLMSG_GOODSIZE, 8 KiB, at
/// most), several times.
const DATAGRAM_OCTETS: usize = 32 * 1024;

/// Datagrams that are taken in a row: more than a machine's interfaces say at a time.
const DATAGRAMS: usize = 256;

/// Watches one interface.
#[derive(Debug)]
pub(crate) struct Watch {
    socket: Socket,
    /// Tells when there is something to read from it.
    ready: Arc<AsyncFd<OwnedFd>>,
    index: u32,
    /// Whether it may be otherwise than `last`.
    stale: bool,
    last: Option<InterfaceStatus>,
    /// Whether another network namespace has it.
    is_elsewhere: bool,
}

impl Watch {
    /// Watches the interface that is called `name` now.
    ///
    /// # Errors
    /// There is none, or no such socket.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket.bind(&SocketAddr::new(0, GROUPS.unsigned_abs()))?;
        let ready = Arc::new(sys::watch(socket.as_fd())?);
        let index = if_nametoindex(name)?;
        Ok(Self { socket, ready, index, stale: true, last: None, is_elsewhere: false })
    }

    /// How it is now; `None` if the kernel does not say.
    pub(crate) async fn first(&mut self) -> Option<InterfaceStatus> {
        self.last = self.look().await;
        self.last.clone()
    }

    /// What has become of it, once that is something else than before. May be dropped and
    /// called again.
    pub(crate) async fn changed(&mut self) -> InterfaceStatus {
        loop {
            if !self.stale {
                self.wait().await;
            }
            let now = self.look().await;
            self.stale = false;
            if let Some(now) = now
                && self.last.as_ref() != Some(&now)
            {
                self.last = Some(now.clone());
                return now;
            }
        }
    }

    /// Whether another network namespace had it when it was last heard of.
    pub(crate) fn was_moved(&mut self) -> bool {
        // All that was said before whoever asks could know of the end.
        let _ = (0..DATAGRAMS).try_for_each(|_| self.receive());
        self.is_elsewhere
    }

    async fn wait(&mut self) {
        while !self.stale {
            let socket = Arc::clone(&self.ready);
            // The runtime ends, and with it all of this.
            let Ok(mut ready) = socket.readable().await else { return };
            if (0..DATAGRAMS).try_for_each(|_| self.receive()).is_err() {
                ready.clear_ready();
            }
        }
    }

    /// Takes one datagram.
    fn receive(&mut self) -> io::Result<()> {
        let mut octets = Vec::with_capacity(DATAGRAM_OCTETS);
        match self.socket.recv(&mut octets, libc::MSG_DONTWAIT) {
            Ok(_) => self.read(&octets),
            // Some were lost.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.stale = true,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn read(&mut self, mut octets: &[u8]) {
        while let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(octets) {
            // Messages are aligned to 4 octets (netlink(7)).
            let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
            if let NetlinkPayload::InnerMessage(message) = message.payload {
                self.note(&message);
            }
            match octets.get(length.next_multiple_of(4).max(4)..) {
                Some(rest) => octets = rest,
                None => return,
            }
        }
    }

    fn note(&mut self, message: &RouteNetlinkMessage) {
        let index = match message {
            RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link) => {
                link.header.index
            }
            RouteNetlinkMessage::NewAddress(address) | RouteNetlinkMessage::DelAddress(address) => {
                address.header.index
            }
            _ => return,
        };
        let is_moved = |attribute: &LinkAttribute| {
            matches!(attribute, LinkAttribute::NewNetnsId(_) | LinkAttribute::NewIfIndex(_))
        };
        match message {
            // A bridge speaks of its members in a family of its own.
            RouteNetlinkMessage::DelLink(link)
                if index == self.index && link.header.interface_family == AddressFamily::Unspec =>
            {
                self.is_elsewhere = link.attributes.iter().any(is_moved);
            }
            RouteNetlinkMessage::NewLink(link) if self.is_elsewhere && self.is_back(link) => {
                self.is_elsewhere = false;
                self.index = index;
            }
            _ if index != self.index => return,
            _ => {}
        }
        self.stale = true;
    }

    /// Whether this is the interface that had gone: it keeps its index if that is free.
    fn is_back(&self, link: &LinkMessage) -> bool {
        let address = link.attributes.iter().find_map(mac_of);
        self.last.as_ref().is_some_and(|last| address == Some(last.mac))
    }

    async fn look(&self) -> Option<InterfaceStatus> {
        if self.is_elsewhere {
            let last = self.last.clone()?;
            return Some(InterfaceStatus {
                carrier: Carrier::Elsewhere,
                addresses: Vec::new(),
                ..last
            });
        }
        // What cannot be read is as it was.
        let netlink = Netlink::connect("").ok()?;
        let index = self.index;
        let link = netlink.handle.link().get().match_index(index).execute();
        let link = pin!(link).try_next().await.ok()??;
        let mut status = status(&link)?;
        status.addresses = addresses(&netlink.handle, index).await.unwrap_or_default();
        Some(status)
    }
}

/// What a link says of itself.
fn status(link: &LinkMessage) -> Option<InterfaceStatus> {
    let flags = link.header.flags;
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })?;
    // A file of sysctl that cannot be read: a station like most.
    let forwarding = std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{name}/forwarding"));
    Some(InterfaceStatus {
        carrier: match (flags.contains(LinkFlags::Up), flags.contains(LinkFlags::LowerUp)) {
            (false, _) => Carrier::Down,
            (true, false) => Carrier::Lost,
            (true, true) => Carrier::Up,
        },
        mac: link.attributes.iter().find_map(mac_of).unwrap_or(MacAddr([0; 6])),
        addresses: Vec::new(),
        mtu: mtu_of(link).0,
        is_router: forwarding.is_ok_and(|text| text.trim() == "1"),
        name,
    })
}

fn mac_of(attribute: &LinkAttribute) -> Option<MacAddr> {
    match attribute {
        LinkAttribute::Address(octets) => Some(MacAddr(octets.as_slice().try_into().ok()?)),
        _ => None,
    }
}

/// Those that are in use: not while others may object to them (RFC 4862, 5.4).
async fn addresses(handle: &Handle, index: u32) -> Result<Vec<(IpAddr, u8)>, rtnetlink::Error> {
    let mut addresses = Vec::new();
    let mut all = pin!(handle.address().get().set_link_index_filter(index).execute());
    while let Some(message) = all.try_next().await? {
        if !is_tentative(&message) {
            addresses.extend(address_of(&message));
        }
    }
    Ok(addresses)
}

fn is_tentative(message: &AddressMessage) -> bool {
    let unsure = AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed;
    message.header.flags.intersects(unsure)
        || message.attributes.iter().any(|attribute| match attribute {
            AddressAttribute::Flags(flags) => {
                flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed)
            }
            _ => false,
        })
}

//! The port kind `netdev`: a network interface that exists already.
//!
//! The network behind the interface is the peer; what this host itself sends by it
//! is not seen. The interface is made promiscuous, never brought up or down.

use std::{
    cell::Cell,
    io,
    os::fd::{AsFd, BorrowedFd},
};

use bytes::BytesMut;
use nix::libc;
use tokio::sync::OnceCell;

use super::{
    Context, Kind, OptionError, Via,
    device::{Device, Fault, carry, common_fault, interface_options},
};
use crate::{
    core::{
        counters::Discard,
        error::one_line,
        frame::{Frame, Gso, MAX_FRAME_LEN},
        offload::segment::is_plain,
        settings::{InterfaceName, LinkSettings},
    },
    netlink,
    port::{Link, Medium, PortError, PortIo, io_error},
    sys::{packet::PacketSocket, tap::Tap},
};

/// Name of the device for super-frames in UDP tunnels.
const TUNNELS_NAME: &str = "ewtx%d";

/// A network interface to be joined.
#[derive(Debug)]
pub struct Netdev {
    name: String,
}

impl Netdev {
    /// The interface called `name`, which may be down.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

interface_options! {
    /// Options of a netdev port.
    NetdevOptions, "Name of the interface"
}

impl Kind for Netdev {
    const NAME: &'static str = "netdev";
    const HELP: &'static str = "An existing network interface";
    const INTERFACE: bool = true;
    type Options = NetdevOptions;

    fn target(options: &NetdevOptions) -> &str {
        &options.name
    }

    fn check(options: &mut NetdevOptions, _: Via) -> Vec<OptionError> {
        let text = if options.name == "lo" {
            "lo is the loopback interface, which leads to no network; give another interface, or \
             add a tap port for this host"
                .to_owned()
        } else {
            match options.name.parse::<InterfaceName>() {
                Ok(_) => return Vec::new(),
                Err(error) => one_line(&error),
            }
        };
        vec![OptionError::new("target", text)]
    }

    fn medium(options: NetdevOptions, _: &Context) -> Result<Self, PortError> {
        Ok(Self::new(options.name))
    }
}

impl Medium for Netdev {
    type Link = NetdevLink;

    fn kind(&self) -> &'static str {
        Self::NAME
    }

    fn target(&self) -> String {
        self.name.clone()
    }

    fn interface(&self) -> Option<String> {
        Some(self.name.clone())
    }

    fn takes_offload(&self) -> bool {
        true
    }

    async fn open(&mut self) -> Result<NetdevLink, PortError> {
        let socket = PacketSocket::open(&self.name)?;
        Ok(NetdevLink { socket, takes_datagrams: Cell::new(true), tunnels: OnceCell::new() })
    }
}

/// The interface is no longer the one that was opened.
#[derive(Debug, thiserror::Error)]
#[error("interface {0} was deleted or moved away; the port waits for one of its former name")]
struct Gone(String);

/// A network interface that is joined.
#[derive(Debug)]
pub struct NetdevLink {
    socket: PacketSocket,
    takes_datagrams: Cell<bool>,
    /// For super-frames in UDP tunnels, of whose headers a packet socket cannot be told: a
    /// TAP device from which the kernel sends by the interface. `None`: this kernel cannot.
    tunnels: OnceCell<Option<Tap>>,
}

impl Link for NetdevLink {
    async fn run(self, io: PortIo) -> Result<(), PortError> {
        carry(self, io).await
    }
}

impl AsFd for NetdevLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Device for NetdevLink {
    fn name(&self) -> String {
        self.socket.name()
    }

    fn recv(&self, block: &mut BytesMut) -> Result<Frame, Fault> {
        let (data, offload) = self.socket.recv(block).map_err(|error| self.fault(error))?;
        if data.len() > MAX_FRAME_LEN && offload.gso == Gso::None {
            return Err(Fault::Frame(Discard::TooLong));
        }
        Ok(Frame::with_offload(data.freeze(), offload))
    }

    fn takes_datagrams(&self) -> bool {
        self.takes_datagrams.get()
    }

    async fn takes_tunnels(&self) -> bool {
        let open = || async { open_tunnels(self.socket.index()).await.ok() };
        self.tunnels.get_or_init(open).await.is_some()
    }

    // Plain frames go many at a time. A super-frame is worth a call of its own, whose
    // error is its own.
    fn send(&self, frames: &[Frame]) -> Result<usize, Fault> {
        let gso = |frame: &Frame| frame.offload().gso;
        let plain = frames.iter().take_while(|&frame| gso(frame) == Gso::None).count();
        let frames = &frames[..frames.len().min(plain.max(1))];
        let gso = frames.first().map_or(Gso::None, gso);
        if let (true, Some(frame)) = (gso != Gso::None, frames.first())
            && !self.fits(frame).map_err(|error| self.fault(error))?
        {
            return Err(Fault::Frame(Discard::TooLong));
        }
        if let (Some(Some(tap)), [frame]) = (self.tunnels.get(), frames)
            && gso != Gso::None
            && !is_plain(frame)
        {
            // Someone may have deleted it, or set it down.
            return tap.send(frame).map(|()| 1).map_err(|_| Fault::MustBeCut);
        }
        let sent = match (self.socket.send(frames), frames.first()) {
            (Err(error), Some(frame)) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                let longest = self.longest(frame).map_err(|error| self.fault(error))?;
                self.socket.send_tagged(frame, longest).map(|()| 1)
            }
            (sent, _) => sent,
        };
        sent.map_err(|error| match error.raw_os_error() {
            // Before Linux 6.2 a packet socket refuses them, and nothing tells
            // beforehand.
            Some(libc::EINVAL) if gso == Gso::Udp && self.takes_datagrams.replace(false) => {
                Fault::MustBeCut
            }
            // Work that it would do only elsewhere.
            Some(libc::EINVAL) if frames.first().is_some_and(|f| !f.offload().is_none()) => {
                Fault::MustBeCut
            }
            _ => self.fault(error),
        })
    }

    async fn check(&self, _: &LinkSettings) -> Result<(Discard, u64), PortError> {
        if self.socket.is_present() {
            Ok((Discard::LackOfBuffers, self.socket.drops().into()))
        } else {
            Err(Box::new(Gone(self.socket.name())))
        }
    }
}

/// Makes a device from which the kernel sends by the interface `index`. It is gone with its
/// descriptor.
async fn open_tunnels(index: u32) -> Result<Tap, PortError> {
    let tap = Tap::open(TUNNELS_NAME, |tap| {
        // Nobody is behind it. Where this may not be written it has an address, and no more.
        let ipv6 = format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", tap.name());
        let _ = std::fs::write(ipv6, "1");
        None
    })?;
    if !tap.takes_tunnels() {
        return Err("no super-frames in UDP tunnels before Linux 6.17".into());
    }
    // Nobody reads what the host sends by it.
    netlink::set_queue(tap.name(), 1).await?;
    netlink::redirect(tap.name(), index).await?;
    Ok(tap)
}

impl NetdevLink {
    /// Whether the segments of a super-frame are no longer than the interface's MTU.
    /// Tags come on top of it (IEEE 802.3, 3.2.7), as for a bridge. Of plain frames the
    /// kernel looks itself.
    fn fits(&self, frame: &Frame) -> io::Result<bool> {
        let Some(headers) = frame.headers_len() else { return Ok(false) };
        Ok(headers + usize::from(frame.offload().gso_size) <= self.longest(frame)?)
    }

    /// Longest frame with the tags of this one: the MTU, behind a header with them.
    fn longest(&self, frame: &Frame) -> io::Result<usize> {
        let payload = frame.header().map_or(0, |header| header.payload().len());
        Ok(frame.len() - payload + self.socket.mtu()?)
    }

    fn fault(&self, error: io::Error) -> Fault {
        if let Some(fault) = common_fault(&error) {
            return fault;
        }
        match error.raw_os_error() {
            Some(libc::EMSGSIZE) => Fault::Frame(Discard::TooLong),
            Some(libc::ENETDOWN) if self.socket.is_present() => Fault::Down,
            Some(libc::ENETDOWN | libc::ENODEV | libc::ENXIO) => {
                Fault::Lost(Box::new(Gone(self.socket.name())))
            }
            _ => Fault::Lost(io_error(format!("lost interface {}", self.socket.name()), error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::core::frame::Offload;
    use crate::{
        kinds::device::harness::{Rig, is_probe, probe, until},
        sys::namespace::{await_carrier, cable, in_namespace, ip},
    };

    fn run(test: impl Future<Output = ()>) {
        actix_rt::System::new().block_on(test);
    }

    fn send(peer: &PacketSocket, octets: &[u8]) {
        peer.send(&[Frame::new(Bytes::copy_from_slice(octets))]).expect("sent");
    }

    #[test]
    fn an_interface_that_is_not_there_is_refused() {
        run(async {
            let error = Netdev::new("no_such_one").open().await.expect_err("no interface");
            assert!(error.to_string().starts_with("no network interface \"no_such_one\""));
        });
    }

    #[test]
    fn vlan_tags_pass_unchanged_both_ways() {
        in_namespace(|| {
            cable("v0", "v1");
            run(async {
                let mut rig = Rig::open(&mut Netdev::new("v0")).await;
                let peer = PacketSocket::open("v1").expect("a socket");
                let tags: [&[u8]; 4] = [
                    &[],
                    &[0x81, 0x00, 0xe0, 0x64],
                    &[0x81, 0x00, 0x00, 0x00],
                    &[0x88, 0xa8, 0x20, 0x05, 0x81, 0x00, 0x30, 0x07],
                ];
                let mut block = BytesMut::new();
                for tag in tags {
                    let mut octets = probe(b"under a tag");
                    octets.splice(12..12, tag.iter().copied());
                    send(&peer, &octets);
                    rig.expect("in, as sent", |frame| frame.data() == octets).await;
                    rig.send_octets(&octets);
                    until("out, as sent", || {
                        peer.recv(&mut block).is_ok_and(|(data, _)| data == octets)
                    })
                    .await;
                }
            });
        });
    }

    #[test]
    fn a_frame_longer_than_the_mtu_is_counted_and_ends_nothing() {
        in_namespace(|| {
            cable("v0", "v1");
            run(async {
                let mut rig = Rig::open(&mut Netdev::new("v0")).await;
                rig.send_octets(&probe(&[0; 3000]));
                until("too long", || rig.counters.discards(Discard::TooLong) == 1).await;
                rig.send_octets(&probe(&[0; 1500]));
                until("the longest", || rig.counters.tx_frames() == 1).await;
                assert!(rig.is_running());
            });
        });
    }

    #[test]
    fn a_super_frame_whose_segments_exceed_the_mtu_is_counted() {
        in_namespace(|| {
            cable("v0", "v1");
            run(async {
                let mut rig = Rig::open(&mut Netdev::new("v0")).await;
                // IPv4 and TCP without options: 1460 octets of payload fit.
                let frame = |tag: &[u8], gso_size| {
                    let mut data = probe(&[0; 9000]);
                    data[12..14].copy_from_slice(&[0x08, 0x00]);
                    data[14] = 0x45;
                    data[23] = 6;
                    data[46] = 0x50;
                    data.splice(12..12, tag.iter().copied());
                    let csum = Some((34 + u16::try_from(tag.len()).expect("4"), 16));
                    let offload = Offload { gso: Gso::Tcp4, gso_size, csum, ..Offload::NONE };
                    Frame::with_offload(Bytes::from(data), offload)
                };
                let tag = [0x81, 0x00, 0x00, 0x0a];
                rig.send(vec![frame(&[], 1461), frame(&tag, 1461)]);
                // Seven segments each.
                until("too long", || rig.counters.discards(Discard::TooLong) == 14).await;
                rig.send(vec![frame(&[], 1460), frame(&tag, 1460)]);
                until("the longest", || rig.counters.tx_frames() == 14).await;
            });
        });
    }

    #[test]
    fn an_interface_that_is_down_carries_nothing_until_it_is_up() {
        in_namespace(|| {
            ip("link add v0 type veth peer name v1");
            ip("link set v1 up");
            run(async {
                let mut rig = Rig::open(&mut Netdev::new("v0")).await;
                rig.send_octets(&probe(b"down from the start"));
                until("down", || rig.counters.discards(Discard::OnError) == 1).await;
                for round in 1..=2 {
                    ip("link set v0 up");
                    await_carrier("v1");
                    let peer = PacketSocket::open("v1").expect("a socket");
                    send(&peer, &probe(b"in"));
                    rig.expect("a frame in", is_probe).await;
                    rig.send_octets(&probe(b"out"));
                    until("a frame out", || rig.counters.tx_frames() == round).await;
                    ip("link set v0 down");
                    rig.send_octets(&probe(b"down again"));
                    until("down", || rig.counters.discards(Discard::OnError) == 1 + round).await;
                }
                assert!(rig.is_running());
                rig.stop().await.expect("a wanted end");
            });
        });
    }

    #[test]
    fn a_deleted_interface_ends_the_link() {
        in_namespace(|| {
            let ends: [(&str, &[&str]); 3] = [
                ("deleted", &["link del v0"]),
                ("deleted while down", &["link set v0 down", "link del v0"]),
                (
                    "renamed, then deleted",
                    &["link set v0 down", "link set v0 name v2", "link del v2"],
                ),
            ];
            for (what, commands) in ends {
                cable("v0", "v1");
                run(async {
                    let mut netdev = Netdev::new("v0");
                    let rig = Rig::open(&mut netdev).await;
                    commands.iter().for_each(|command| ip(command));
                    let error = rig.end().await.expect_err(what).to_string();
                    assert!(error.contains(" was deleted or moved away"), "{error}");
                    let error = netdev.open().await.expect_err("it has gone").to_string();
                    assert!(error.starts_with("no network interface"), "{error}");
                    cable("v0", "v1");
                    let rig = Rig::open(&mut netdev).await;
                    let peer = PacketSocket::open("v1").expect("a socket");
                    send(&peer, &probe(b"back"));
                    rig.expect("a frame of the new one", is_probe).await;
                    ip("link del v0");
                });
            }
        });
    }

    #[test]
    fn a_renamed_interface_goes_on() {
        in_namespace(|| {
            cable("v0", "v1");
            run(async {
                let mut rig = Rig::open(&mut Netdev::new("v0")).await;
                ip("link set v0 down");
                ip("link set v0 name v2");
                ip("link set v2 up");
                await_carrier("v1");
                let peer = PacketSocket::open("v1").expect("a socket");
                // Looked after once a second.
                tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
                send(&peer, &probe(b"in"));
                rig.expect("a frame in", is_probe).await;
                rig.send_octets(&probe(b"out"));
                until("a frame out", || rig.counters.tx_frames() == 1).await;
                assert!(rig.is_running());
            });
        });
    }

    #[test]
    fn a_frame_sent_to_the_loopback_interface_comes_back_once() {
        in_namespace(|| {
            ip("link set lo up");
            run(async {
                let mut rig = Rig::open(&mut Netdev::new("lo")).await;
                rig.send_octets(&probe(b"once"));
                rig.expect("its echo", is_probe).await;
                // What comes after it was sent after it: no second echo between.
                rig.send_octets(&probe(b"mark"));
                let next = rig.expect("the mark", is_probe).await;
                assert!(next.data()[14..].starts_with(b"mark"));
            });
        });
    }
}

//! The port kind `netdev`: a network interface that exists already.
//!
//! The network behind the interface is the peer; what this host itself sends by it
//! is not seen. The interface is made promiscuous, never brought up or down. Its
//! super-frames are cut before they enter the Switch.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use bytes::BytesMut;
use nix::libc;

use super::{
    Link, Medium, PortError, PortIo,
    device::{Device, Fault, carry},
    io_error,
};
use crate::{
    counters::{Counters, Discard},
    frame::{Frame, Gso, MAX_FRAME_LEN},
    sys::packet::PacketSocket,
    tunnel::segment::{BadOffload, finish_checksum, segment},
};

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

impl Medium for Netdev {
    type Link = NetdevLink;

    fn kind(&self) -> &'static str {
        "netdev"
    }

    fn target(&self) -> String {
        self.name.clone()
    }

    fn interface(&self) -> Option<String> {
        Some(self.name.clone())
    }

    async fn open(&mut self) -> Result<NetdevLink, PortError> {
        Ok(NetdevLink(PacketSocket::open(&self.name)?))
    }
}

/// The interface is no longer the one that was opened.
#[derive(Debug, thiserror::Error)]
#[error("interface {0} was deleted, renamed or moved away; the port waits for one of that name")]
struct Gone(String);

/// A network interface that is joined.
#[derive(Debug)]
pub struct NetdevLink(PacketSocket);

impl Link for NetdevLink {
    async fn run(self, io: PortIo) -> Result<(), PortError> {
        carry(self, io).await
    }
}

impl AsFd for NetdevLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Device for NetdevLink {
    fn recv(&self, block: &mut BytesMut, batch: &mut Vec<Frame>) -> Result<(), Fault> {
        let lost = |BadOffload| Fault::Frame(Discard::OnError);
        let (mut data, offload) = self.0.recv(block).map_err(|error| self.fault(error))?;
        if offload.gso != Gso::None {
            let frame = Frame::with_offload(data.freeze(), offload);
            return segment(frame, |frame| batch.push(frame)).map_err(lost);
        }
        // Here, where the octets are still ours alone, it takes no copy.
        if let Some(csum) = offload.csum {
            finish_checksum(&mut data, csum).map_err(lost)?;
        }
        if data.len() > MAX_FRAME_LEN {
            return Err(Fault::Frame(Discard::OnError));
        }
        batch.push(Frame::new(data.freeze()));
        Ok(())
    }

    fn send(&self, frame: &[u8]) -> Result<(), Fault> {
        self.0.send(frame).map_err(|error| self.fault(error))
    }

    fn check(&self, counters: &Counters) -> Result<(), PortError> {
        counters.discarded(Discard::LackOfBuffers, self.0.drops().into());
        if self.0.is_present() { Ok(()) } else { Err(Box::new(Gone(self.0.name().to_owned()))) }
    }
}

impl NetdevLink {
    fn fault(&self, error: io::Error) -> Fault {
        if error.kind() == io::ErrorKind::InvalidData {
            return Fault::Frame(Discard::OnError);
        }
        match error.raw_os_error() {
            Some(libc::EAGAIN) => Fault::WouldBlock,
            Some(libc::ENOBUFS | libc::ENOMEM) => Fault::Frame(Discard::LackOfBuffers),
            // Too long for the interface's MTU, too short, or of a kind that the
            // kernel cannot describe.
            Some(libc::EMSGSIZE | libc::EINVAL | libc::EINTR) => Fault::Frame(Discard::OnError),
            Some(libc::ENETDOWN) if self.0.is_present() => Fault::Down,
            Some(libc::ENETDOWN | libc::ENODEV | libc::ENXIO) => {
                Fault::Lost(Box::new(Gone(self.0.name().to_owned())))
            }
            _ => Fault::Lost(io_error(format!("lost interface {}", self.0.name()), error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{IpAddr, Shutdown, TcpListener, TcpStream, UdpSocket},
        sync::mpsc,
        thread,
    };

    use nix::{
        sched::{CloneFlags, unshare},
        sys::socket::{setsockopt, sockopt},
        unistd::gettid,
    };
    use pnet_packet::{
        Packet,
        ip::IpNextHeaderProtocols::Tcp,
        ipv4::Ipv4Packet,
        ipv6::Ipv6Packet,
        tcp::{TcpPacket, ipv4_checksum, ipv6_checksum},
    };

    use super::*;
    use crate::{
        port::device::harness::{Rig, is_probe, probe, until},
        sys::namespace::{await_carrier, cable, in_namespace, ip},
    };

    fn run(test: impl Future<Output = ()>) {
        actix_rt::System::new().block_on(test);
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
                    peer.send(&octets).expect("sent");
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
                until("too long", || rig.counters.discards(Discard::OnError) == 1).await;
                rig.send_octets(&probe(&[0; 1500]));
                until("the longest", || rig.counters.tx_frames() == 1).await;
                assert!(rig.is_running());
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
                    peer.send(&probe(b"in")).expect("sent");
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
    fn a_deleted_or_renamed_interface_ends_the_link() {
        in_namespace(|| {
            let ends: [(&str, &[&str]); 3] = [
                ("deleted", &["link del v0"]),
                ("deleted while down", &["link set v0 down", "link del v0"]),
                ("renamed", &["link set v0 down", "link set v0 name v2", "link del v2"]),
            ];
            for (what, commands) in ends {
                cable("v0", "v1");
                run(async {
                    let mut netdev = Netdev::new("v0");
                    let rig = Rig::open(&mut netdev).await;
                    commands.iter().for_each(|command| ip(command));
                    let error = rig.end().await.expect_err(what).to_string();
                    assert!(error.starts_with("interface v0 was deleted"), "{error}");
                    let error = netdev.open().await.expect_err("it has gone").to_string();
                    assert!(error.starts_with("no network interface"), "{error}");
                    cable("v0", "v1");
                    let rig = Rig::open(&mut netdev).await;
                    let peer = PacketSocket::open("v1").expect("a socket");
                    peer.send(&probe(b"back")).expect("sent");
                    rig.expect("a frame of the new one", is_probe).await;
                    ip("link del v0");
                });
            }
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

    /// A thread with a network namespace and a network stack of its own, which lasts
    /// as long as the value.
    struct Host {
        done: mpsc::Receiver<()>,
        go: mpsc::Sender<()>,
        thread: thread::JoinHandle<()>,
    }

    impl Host {
        fn new(
            interface: &'static str,
            addresses: [&'static str; 2],
            body: impl FnOnce() + Send + 'static,
        ) -> Self {
            let (tell, told) = mpsc::channel();
            let (go, going) = mpsc::channel();
            let (end, done) = mpsc::channel();
            let thread = thread::spawn(move || {
                unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
                tell.send(gettid()).expect("the test waits");
                going.recv().expect("the interface is here");
                ip(&format!("link set {interface} up"));
                for address in addresses {
                    let nodad = if address.contains(':') { "nodad" } else { "" };
                    ip(&format!("addr add {address} dev {interface} {nodad}"));
                }
                body();
                drop(end);
                // The namespace, and with it the cable, goes with the thread.
                assert!(going.recv().is_err(), "the test lets go");
            });
            let id = told.recv().expect("the thread runs");
            ip(&format!("link set {interface} netns {id}"));
            go.send(()).expect("the thread waits");
            Self { done, go, thread }
        }

        /// Whether its body has ended, well or by a panic.
        fn is_done(&self) -> bool {
            self.done.try_recv() == Err(mpsc::TryRecvError::Disconnected)
        }

        fn join(self) {
            drop(self.go);
            self.thread.join().expect("no panic");
        }
    }

    /// That a TCP segment is no longer than the MTU allows and has the right checksum.
    fn check_segment(frame: &Frame) -> bool {
        assert!(frame.offload().is_none() && frame.len() <= 1514, "{} octets", frame.len());
        let ip = &frame.data()[14..];
        let (tcp, right) = match frame.header().map(|header| header.ethertype()) {
            Some(0x0800) if ip[9] == Tcp.0 => {
                let ip = Ipv4Packet::new(ip).expect("IPv4");
                let tcp =
                    TcpPacket::new(&frame.data()[34..14 + usize::from(ip.get_total_length())])
                        .expect("TCP");
                let right = ipv4_checksum(&tcp, &ip.get_source(), &ip.get_destination());
                (tcp, right)
            }
            Some(0x86dd) if ip[6] == Tcp.0 => {
                let ip = Ipv6Packet::new(ip).expect("IPv6");
                let tcp = TcpPacket::new(&frame.data()[54..]).expect("TCP");
                let right = ipv6_checksum(&tcp, &ip.get_source(), &ip.get_destination());
                (tcp, right)
            }
            _ => return false,
        };
        assert_eq!(tcp.get_checksum(), right);
        !tcp.payload().is_empty()
    }

    /// Sent by TCP, and more than all buffers on the way hold.
    const STREAM_OCTETS: usize = 8 * 1024 * 1024;

    /// Sent by UDP, as one super-frame of four datagrams.
    const DATAGRAMS: usize = 4;

    fn octet(at: usize) -> u8 {
        (at % 251).to_le_bytes()[0]
    }

    /// One host receives, the other sends: by TCP, then by UDP.
    fn super_frames(receiver: IpAddr, kind: Gso) {
        cable("a0", "a1");
        cable("b0", "b1");
        let (tell, told) = mpsc::channel();
        let a = Host::new("a1", ["192.0.2.1/24", "2001:db8::1/64"], move || {
            let listener = TcpListener::bind((receiver, 0)).expect("a listener");
            let socket = UdpSocket::bind((receiver, 0)).expect("a socket");
            let addresses = (listener.local_addr(), socket.local_addr());
            tell.send((addresses.0.expect("bound"), addresses.1.expect("bound"))).expect("sent");
            let mut stream = Vec::new();
            let mut connection = listener.accept().expect("a connection").0;
            connection.read_to_end(&mut stream).expect("the stream");
            assert_eq!(stream.len(), STREAM_OCTETS);
            assert!(stream.iter().enumerate().all(|(at, &is)| is == octet(at)));
            drop(connection);
            for _ in 0..DATAGRAMS {
                let mut datagram = [0; 2000];
                assert_eq!(socket.recv(&mut datagram).expect("a datagram"), 1000);
            }
        });
        let b = Host::new("b1", ["192.0.2.2/24", "2001:db8::2/64"], move || {
            let (tcp, udp) = told.recv().expect("the other host listens");
            let stream: Vec<u8> = (0..STREAM_OCTETS).map(octet).collect();
            let mut connection = TcpStream::connect(tcp).expect("a connection");
            connection.write_all(&stream).expect("sent");
            connection.shutdown(Shutdown::Write).expect("ended");
            // Until the other side has all: a datagram in the rush could be dropped.
            assert_eq!(connection.read(&mut [0]).expect("its end"), 0);
            let any = if udp.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).expect("a socket");
            setsockopt(&socket, sockopt::UdpGsoSegment, &1000).expect("UDP segmentation");
            socket.send_to(&vec![7; 1000 * DATAGRAMS], udp).expect("sent");
        });
        let witness = PacketSocket::open("b0").expect("a socket");
        run(async {
            let mut near = Rig::open(&mut Netdev::new("a0")).await;
            let mut far = Rig::open(&mut Netdev::new("b0")).await;
            let mut segments = 0;
            until("all has arrived", || {
                let (up, down) = (far.take(), near.take());
                segments += up.iter().filter(|frame| check_segment(frame)).count();
                down.iter().for_each(|frame| assert!(check_segment(frame) || frame.len() <= 1514));
                near.send(up);
                far.send(down);
                a.is_done() && b.is_done()
            })
            .await;
            assert!(segments >= STREAM_OCTETS / 1460, "{segments} segments");
            assert_eq!(near.counters.discards(Discard::OnError), 0);
            assert_eq!(far.counters.discards(Discard::OnError), 0);
        });
        // The test shows something only if there were super-frames.
        let mut block = BytesMut::new();
        let seen = std::iter::from_fn(|| witness.recv(&mut block).ok())
            .filter(|(data, offload)| offload.gso == kind && data.len() > 10_000)
            .count();
        assert!(seen > 0, "no super-frame on the way");
        a.join();
        b.join();
    }

    #[test]
    fn super_frames_of_ipv4_arrive_cut_and_whole() {
        in_namespace(|| super_frames([192, 0, 2, 1].into(), Gso::Tcp4));
    }

    #[test]
    fn super_frames_of_ipv6_arrive_cut_and_whole() {
        in_namespace(|| super_frames([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(), Gso::Tcp6));
    }
}

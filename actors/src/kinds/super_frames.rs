//! Tests of what `tap` and `netdev` have in common with each other and with nobody
//! else: super-frames of real network stacks, whole from one device to the other.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
};

use bytes::BytesMut;
use nix::{
    sched::{CloneFlags, unshare},
    sys::socket::{setsockopt, sockopt},
    unistd::gettid,
};
use pnet_packet::{
    ip::IpNextHeaderProtocols::Tcp,
    ipv4::Ipv4Packet,
    ipv6::Ipv6Packet,
    tcp::{TcpPacket, ipv4_checksum, ipv6_checksum},
};

use super::{
    Netdev, Tap,
    device::harness::{Rig, until},
};
use crate::{
    core::{
        counters::Discard,
        frame::{Frame, Gso, MacAddr},
        offload::{
            coalesce::tests::joined,
            segment::{segment, tests::Shape},
        },
        packet::reference,
    },
    sys::{
        namespace::{cable, in_namespace, ip},
        packet::PacketSocket,
    },
};

/// A thread with a network namespace and a network stack of its own, which lasts
/// as long as the value.
struct Host {
    done: mpsc::Receiver<()>,
    go: mpsc::Sender<()>,
    up: Arc<AtomicBool>,
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
        let up = Arc::<AtomicBool>::default();
        let is_up = Arc::clone(&up);
        let thread = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            tell.send(gettid()).expect("the test waits");
            going.recv().expect("the interface is here");
            ip(&format!("link set {interface} up"));
            for address in addresses {
                let nodad = if address.contains(':') { "nodad" } else { "" };
                ip(&format!("addr add {address} dev {interface} {nodad}"));
            }
            is_up.store(true, Relaxed);
            body();
            drop(end);
            // The namespace, and with it the cable, goes with the thread.
            assert!(going.recv().is_err(), "the test lets go");
        });
        let id = told.recv().expect("the thread runs");
        ip(&format!("link set {interface} netns {id}"));
        go.send(()).expect("the thread waits");
        Self { done, go, up, thread }
    }

    /// Whether its interface is up.
    fn is_up(&self) -> bool {
        self.up.load(Relaxed)
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

/// A port's two sides: its medium, and the interface of the host behind it.
#[derive(Clone, Copy)]
enum Kind {
    Netdev,
    Tap,
}

impl Kind {
    async fn open(self, own: &str, host: &str) -> Rig {
        match self {
            Self::Netdev => {
                cable(own, host);
                Rig::open(&mut Netdev::new(own)).await
            }
            Self::Tap => Rig::open(&mut Tap::new(host)).await,
        }
    }
}

/// That a frame is no longer than the MTU allows, and a TCP checksum right.
fn check(frame: &Frame) {
    assert!(frame.offload().is_none() && frame.len() <= 1514, "{} octets", frame.len());
    let ip = &frame.data()[14..];
    let (tcp, right) = match frame.header().map(|header| header.ethertype()) {
        Some(0x0800) if ip[9] == Tcp.0 => {
            let ip = Ipv4Packet::new(ip).expect("IPv4");
            let tcp = TcpPacket::new(&frame.data()[34..14 + usize::from(ip.get_total_length())])
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
        _ => return,
    };
    assert_eq!(tcp.get_checksum(), right);
}

/// Sent by TCP, and more than all buffers on the way hold.
const STREAM_OCTETS: usize = 8 * 1024 * 1024;

/// Sent by UDP, as one super-frame of four datagrams.
const DATAGRAMS: usize = 4;

fn octet(at: usize) -> u8 {
    (at % 251).to_le_bytes()[0]
}

/// One host behind a port receives, the other sends: by TCP, then by UDP.
async fn super_frames(near: Kind, far: Kind, receiver: IpAddr) {
    let kind = if receiver.is_ipv4() { Gso::Tcp4 } else { Gso::Tcp6 };
    let mut near = near.open("a0", "a1").await;
    let mut far = far.open("b0", "b1").await;
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
    let mut whole = 0;
    until("all has arrived", || {
        let (up, down) = (far.take(), near.take());
        if !a.is_up() || !b.is_up() {
            // A TAP that is down would refuse and count it.
            return false;
        }
        for frame in up.iter().chain(&down) {
            segment(frame.clone(), |frame| check(&frame)).expect("fields that fit the frame");
        }
        whole += up.iter().filter(|f| f.offload().gso == kind && f.len() > 10_000).count();
        near.send(up);
        far.send(down);
        a.is_done() && b.is_done()
    })
    .await;
    assert!(whole > 0, "no super-frame on the way");
    assert_eq!(near.counters.discards(Discard::OnError), 0);
    assert_eq!(far.counters.discards(Discard::OnError), 0);
    a.join();
    b.join();
}

const IPV4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const IPV6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

fn run(test: impl Future<Output = ()>) {
    actix_rt::System::new().block_on(test);
}

#[test]
fn from_netdev_to_netdev_by_ipv4() {
    in_namespace(|| run(super_frames(Kind::Netdev, Kind::Netdev, IPV4)));
}

#[test]
fn from_tap_to_tap_by_ipv4() {
    in_namespace(|| run(super_frames(Kind::Tap, Kind::Tap, IPV4)));
}

#[test]
fn from_netdev_to_tap_by_ipv6() {
    in_namespace(|| run(super_frames(Kind::Tap, Kind::Netdev, IPV6)));
}

#[test]
fn from_tap_to_netdev_by_ipv6() {
    in_namespace(|| run(super_frames(Kind::Netdev, Kind::Tap, IPV6)));
}

/// What a tunnel's peer sends one by one: 40 segments, tagged.
fn segments() -> Vec<Vec<u8>> {
    let segments = cut(Shape::tcp4(40 * 1444, 1444).frame());
    segments.into_iter().map(|frame| frame.data().to_vec()).collect()
}

fn cut(frame: Frame) -> Vec<Frame> {
    let mut frames = Vec::new();
    segment(frame, |frame| frames.push(frame)).expect("fields that fit the frame");
    frames
}

/// Sends frames to port `number`, and gives what the kernel sees behind it up to the
/// last.
async fn sent_by(kind: Kind, number: usize, frames: Vec<Frame>) -> Vec<Frame> {
    let [own, host] = ["a", "b"].map(|name| format!("{name}{number}"));
    let mut rig = kind.open(&own, &host).await;
    let host = PacketSocket::open(&host).expect("a socket");
    let expected = on_wire(&frames);
    rig.send(frames);
    let mut block = BytesMut::new();
    let mut seen = Vec::new();
    until("the last segment", || {
        while let Ok((data, offload)) = host.recv(&mut block) {
            let frame = Frame::with_offload(data.freeze(), offload);
            // Not what the host itself has to say.
            if frame.header().is_some_and(|header| header.src() == MacAddr([2; 6])) {
                seen.push(frame);
            }
        }
        on_wire(&seen) >= expected
    })
    .await;
    assert_eq!((rig.counters.tx_frames(), rig.counters.tx_octets()), expected);
    seen
}

fn on_wire(frames: &[Frame]) -> (u64, u64) {
    let sum = |a: (u64, u64), b: (u64, u64)| (a.0 + b.0, a.1 + b.1);
    frames.iter().map(Frame::on_wire).fold((0, 0), sum)
}

/// Sends segments that stand together.
async fn sent_whole(kind: Kind) {
    let segments = segments();
    let seen = sent_by(kind, 0, joined(&segments)).await;
    assert_eq!(seen.len(), 1);
    assert!(seen.into_iter().flat_map(cut).map(Frame::into_data).eq(segments));
}

#[test]
fn segments_that_stand_together_enter_the_host_as_one() {
    in_namespace(|| run(sent_whole(Kind::Tap)));
}

#[test]
fn segments_that_stand_together_leave_an_interface_as_one() {
    in_namespace(|| run(sent_whole(Kind::Netdev)));
}

/// Sends a super-frame between frames, with each change of their tag.
async fn sent_changed(kind: Kind) {
    let segments = segments();
    let plain = Frame::new(segments[0].clone().into());
    let frames = [plain.clone(), joined(&segments).remove(0), plain.clone(), plain];
    for at in 0..4 {
        let frames = frames.each_ref().map(|frame| reference::changes(frame)[at].clone());
        let by_hand: Vec<_> = frames.iter().map(reference::by_hand).flat_map(cut).collect();
        let seen = sent_by(kind, at, frames.into()).await;
        assert_eq!(seen.len(), 4, "change {at}");
        assert!(seen.into_iter().flat_map(cut).eq(by_hand), "change {at}");
    }
}

#[test]
fn a_changed_tag_enters_the_host_as_if_done_by_hand() {
    in_namespace(|| run(sent_changed(Kind::Tap)));
}

#[test]
fn a_changed_tag_leaves_an_interface_as_if_done_by_hand() {
    in_namespace(|| run(sent_changed(Kind::Netdev)));
}

#[test]
fn a_segment_with_a_wrong_checksum_enters_alone_and_unchanged() {
    in_namespace(|| {
        run(async {
            let mut segments = segments();
            segments[7][1000] ^= 1;
            let seen = sent_by(Kind::Tap, 0, joined(&segments)).await;
            assert_eq!(seen.len(), 3);
            assert_eq!(seen[1].data(), segments[7]);
        });
    });
}

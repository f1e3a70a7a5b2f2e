//! The port kind `tap`: a new network interface of this host.
//!
//! The host's network stack is the peer. The interface lives as long as the link:
//! a restarted port makes it anew, with the name, the MAC address and the settings
//! that it had, so that the host's neighbours need not notice.

use std::{
    cell::Cell,
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use bytes::BytesMut;
use nix::libc;
use slog::debug;

use super::{
    Context, Kind, OptionError, Store, Via, address,
    device::{Device, Fault, carry, common_fault, interface_options},
};
use crate::{
    core::{
        counters::Discard,
        error::one_line,
        frame::Frame,
        interface::Interface,
        settings::{DeviceMac, InterfaceName, LinkSettings, PortSettings},
    },
    netlink,
    port::{Link, Medium, PortError, PortIo, io_error},
    switch::random_mac,
    sys,
};

/// Frames that the kernel queues for us; beyond it drops. As all other devices have it, and
/// a burst of as many datagrams passes: of 512 half of them were lost. It is no standing
/// queue, since we read whenever the Switch takes: a ping under load takes a millisecond
/// longer at most. A queue of 128 brought half as many small frames a second, one of 32 a
/// third, and lost TCP's segments too.
const QUEUE_FRAMES: u32 = 1000;

/// A TAP device to be made.
#[derive(Debug)]
pub struct Tap {
    name: String,
    mac: Option<DeviceMac>,
    bridge: Option<InterfaceName>,
    store: Option<Arc<dyn Store>>,
}

impl Tap {
    /// A device called `name`: 1 to 15 ASCII characters. One `%d` in it becomes
    /// the lowest free number when it is opened, and stays that number.
    ///
    /// [`open`](Medium::open) says what is wrong with a name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), mac: None, bridge: None, store: None }
    }
}

interface_options! {
    /// Options of a tap port.
    TapOptions, "Name of the device; %d becomes the lowest free number"
}

impl Kind for Tap {
    const NAME: &'static str = "tap";
    const HELP: &'static str = "A new TAP device";
    const INTERFACE: bool = true;
    type Options = TapOptions;

    fn target(options: &TapOptions) -> &str {
        &options.name
    }

    fn check(options: &mut TapOptions, _: Via) -> Vec<OptionError> {
        let checked = sys::tap::check_name(&options.name);
        checked
            .err()
            .map(|error| OptionError::new("target", one_line(&error)))
            .into_iter()
            .collect()
    }

    fn medium(options: TapOptions, context: &Context) -> Result<Self, PortError> {
        Ok(Self { store: context.store.clone(), ..Self::new(options.name) })
    }
}

impl Medium for Tap {
    type Link = TapLink;

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

    fn is_host(&self) -> bool {
        true
    }

    fn set(&mut self, settings: &PortSettings) {
        self.mac = settings.mac;
        self.bridge.clone_from(&settings.bridge);
    }

    async fn open(&mut self) -> Result<TapLink, PortError> {
        // Before there is a device: none is to be seen with another address.
        let machine = address::Machine::find(self.store.clone()).await;
        let tap = sys::tap::Tap::open(&self.name, |tap| {
            if tap.is_new() {
                netlink::set_optimistic(tap.name());
            }
            match self.mac {
                Some(DeviceMac::Address(mac)) => Some(mac),
                // A persistent device has its address from whoever made it.
                _ if !tap.is_new() => None,
                Some(DeviceMac::Random) => Some(random_mac()),
                None => machine.map(|machine| machine.device(tap.name())),
            }
        })?;
        if tap.is_new() {
            netlink::set_queue(tap.name(), QUEUE_FRAMES).await?;
        }
        if let Some(bridge) = &self.bridge {
            netlink::set_master(tap.name(), bridge.as_str()).await?;
        }
        tap.name().clone_into(&mut self.name);
        // What was lost on a device that was there is not known yet.
        let dropped = Cell::new(tap.is_new().then_some(0));
        Ok(TapLink { tap, queue: Cell::new(None), has_carrier: Cell::new(true), dropped })
    }

    async fn configure(&mut self, settings: &Interface) -> Result<(), PortError> {
        Ok(netlink::restore(&self.name, settings).await?)
    }
}

/// A TAP device that is up.
#[derive(Debug)]
pub struct TapLink {
    tap: sys::tap::Tap,
    /// The queue that was set on it.
    queue: Cell<Option<u32>>,
    has_carrier: Cell<bool>,
    /// Frames that the kernel had dropped for want of room in it.
    dropped: Cell<Option<u64>>,
}

impl Link for TapLink {
    async fn run(self, io: PortIo) -> Result<(), PortError> {
        let (tcp, udp) = self.tap.takes_super_frames();
        debug!(io.log, "offload accepted by the kernel"; "tcp" => tcp, "udp" => udp);
        carry(self, io).await
    }
}

impl AsFd for TapLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tap.as_fd()
    }
}

impl Device for TapLink {
    fn name(&self) -> String {
        self.tap.name().to_owned()
    }

    fn recv(&self, block: &mut BytesMut) -> Result<Frame, Fault> {
        let (data, offload) = self.tap.recv(block).map_err(|error| self.fault(error))?;
        Ok(Frame::with_offload(data.freeze(), offload))
    }

    fn takes_datagrams(&self) -> bool {
        // What the kernel gives it also takes.
        self.tap.takes_super_frames().1
    }

    async fn takes_tunnels(&self) -> bool {
        self.tap.takes_tunnels()
    }

    fn send(&self, frames: &[Frame]) -> Result<usize, Fault> {
        let Some(frame) = frames.first() else { return Ok(0) };
        self.tap.send(frame).map(|()| 1).map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL) if !frame.offload().is_none() => Fault::MustBeCut,
            _ => self.fault(error),
        })
    }

    async fn check(&self, settings: &LinkSettings) -> Result<(Discard, u64), PortError> {
        let wanted = settings.txqueuelen();
        if let Some(frames) = wanted
            && wanted != self.queue.replace(wanted)
        {
            // The device may be in another namespace by now: it works all the same.
            let _ = netlink::set_queue(self.tap.name(), frames).await;
        }
        let wanted = settings.has_carrier();
        let had_carrier = self.has_carrier.replace(wanted);
        if wanted != had_carrier {
            // Before Linux 4.20 it keeps the one that it has.
            let _ = self.tap.set_carrier(wanted);
        }
        let now = self.tap.dropped();
        let before = self.dropped.replace(now);
        // Without a carrier the kernel drops whatever the host sends: no queue is too short.
        let more = now.zip(before).filter(|_| wanted && had_carrier);
        let more = more.map_or(0, |(now, before)| now.saturating_sub(before));
        Ok((Discard::DeviceQueue, more))
    }
}

impl TapLink {
    fn fault(&self, error: io::Error) -> Fault {
        if let Some(fault) = common_fault(&error) {
            return fault;
        }
        match error.raw_os_error() {
            // The interface is down (EIO).
            Some(libc::EMSGSIZE | libc::EIO) => Fault::Frame(Discard::OnError),
            // EBADFD above all: the interface was deleted.
            _ => Fault::Lost(io_error(format!("lost TAP device {}", self.tap.name()), error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::UdpSocket,
        process::{Command, Stdio},
    };

    use pnet_packet::{Packet, icmp, ipv4};

    use super::*;
    use crate::{
        kinds::device::harness::{Rig, probe, until},
        sys::namespace::{in_namespace, ip},
    };

    const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 7];

    fn run(test: impl Future<Output = ()>) {
        actix_rt::System::new().block_on(test);
    }

    #[test]
    fn a_wrong_name_is_refused() {
        run(async {
            let error = Tap::new("a/b").open().await.expect_err("no name");
            assert!(error.to_string().starts_with("\"a/b\" cannot name"), "{error}");
        });
    }

    fn queue(name: &str) -> Option<String> {
        let output = Command::new("ip").args(["link", "show", name]).output().expect("ip");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace().skip_while(|&word| word != "qlen").nth(1).map(str::to_owned)
    }

    #[test]
    fn a_new_device_gets_a_queue_and_one_that_was_there_keeps_its_own() {
        in_namespace(|| {
            run(async {
                let _new = Tap::new("ewp0").open().await.expect("a TAP");
                assert_eq!(queue("ewp0"), Some(QUEUE_FRAMES.to_string()));
                ip("tuntap add dev ewp1 mode tap");
                ip("link set ewp1 txqueuelen 77");
                let _old = Tap::new("ewp1").open().await.expect("a persistent TAP");
                assert_eq!(queue("ewp1").as_deref(), Some("77"));
            });
        });
    }

    #[test]
    fn the_host_is_answered_by_arp_and_ping() {
        in_namespace(|| {
            run(async {
                let mut tap = Tap::new("ewp%d");
                let mut rig = Rig::open(&mut tap).await;
                assert_eq!(tap.target(), "ewp0");
                assert_eq!(tap.interface().as_deref(), Some("ewp0"));
                ip("addr add 192.0.2.1/24 dev ewp0");
                let mut ping = Command::new("ping")
                    .args(["-c", "1", "-s", "1472", "-w", "15", "192.0.2.2"])
                    .stdout(Stdio::null())
                    .spawn()
                    .expect("ping");
                let request = rig.expect("ARP", |f| f.data()[12..14] == [0x08, 0x06]).await;
                let mut reply = request.data().to_vec();
                reply.copy_within(6..12, 0);
                reply[6..12].copy_from_slice(&GATEWAY);
                reply[21] = 2;
                reply.copy_within(22..32, 32);
                reply[22..28].copy_from_slice(&GATEWAY);
                reply[28..32].copy_from_slice(&[192, 0, 2, 2]);
                rig.send_octets(&reply);
                let is_echo = |f: &Frame| f.data()[12..14] == [0x08, 0x00] && f.data()[23] == 1;
                let request = rig.expect("ICMP", is_echo).await;
                assert_eq!(request.len(), 1514);
                assert_eq!(request.header().map(|h| h.dst().0), Some(GATEWAY));
                let packet = ipv4::Ipv4Packet::new(&request.data()[14..]).expect("IPv4");
                let echo = icmp::IcmpPacket::new(packet.payload()).expect("ICMP");
                assert_eq!(packet.get_checksum(), ipv4::checksum(&packet));
                assert_eq!(echo.get_checksum(), icmp::checksum(&echo));
                let mut reply = request.data().to_vec();
                reply.copy_within(6..12, 0);
                reply[6..12].copy_from_slice(&GATEWAY);
                reply.copy_within(26..30, 30);
                reply[26..30].copy_from_slice(&[192, 0, 2, 2]);
                reply[34] = 0;
                let checksum = {
                    let echo = icmp::IcmpPacket::new(&reply[34..]).expect("ICMP");
                    icmp::checksum(&echo).to_be_bytes()
                };
                reply[36..38].copy_from_slice(&checksum);
                rig.send_octets(&reply);
                until("ping ends", || ping.try_wait().is_ok_and(|s| s.is_some())).await;
                assert!(ping.wait().is_ok_and(|status| status.success()));
                assert_eq!(rig.counters.tx_frames(), 2);
                assert_eq!(rig.counters.tx_octets(), 42 + 1514);
                rig.stop().await.expect("a wanted end");
                assert!(nix::net::if_::if_nametoindex("ewp0").is_err(), "it has gone");
            });
        });
    }

    #[test]
    fn a_burst_arrives_whole_and_in_order() {
        in_namespace(|| {
            run(async {
                let rig = Rig::open(&mut Tap::new("ewp0")).await;
                ip("addr add 192.0.2.1/24 dev ewp0");
                ip("neigh add 192.0.2.2 lladdr 02:00:00:00:00:07 dev ewp0");
                let socket = UdpSocket::bind("192.0.2.1:0").expect("a socket");
                // Fewer than the interface's queue holds.
                for number in 0..200_u32 {
                    let mut datagram = [0; 900];
                    datagram[..4].copy_from_slice(&number.to_be_bytes());
                    socket.send_to(&datagram, "192.0.2.2:9").expect("sent");
                }
                let mut numbers = Vec::new();
                until("200 datagrams", || {
                    let frames = rig.take();
                    let ours = frames.iter().filter(|f| f.len() == 942);
                    numbers.extend(
                        ours.map(|f| [f.data()[42], f.data()[43], f.data()[44], f.data()[45]]),
                    );
                    numbers.len() >= 200
                })
                .await;
                assert!(numbers.into_iter().map(u32::from_be_bytes).eq(0..200));
            });
        });
    }

    #[test]
    fn its_queue_can_be_set_and_what_it_drops_is_counted() {
        in_namespace(|| {
            run(async {
                let rig = Rig::open(&mut Tap::new("ewp0")).await;
                ip("addr add 192.0.2.1/24 dev ewp0");
                ip("neigh add 192.0.2.2 lladdr 02:00:00:00:00:07 dev ewp0");
                let mut settings = PortSettings::default();
                settings.set("txqueuelen", "20").expect("a number");
                rig.set(&settings);
                until("a short queue", || queue("ewp0").as_deref() == Some("20")).await;
                let socket = UdpSocket::bind("192.0.2.1:0").expect("a socket");
                // Nobody reads meanwhile: this is the only thread.
                for _ in 0..100 {
                    socket.send_to(&[0; 900], "192.0.2.2:9").expect("sent");
                }
                // More where the kernel's own frames (IPv6) were in the queue.
                until("drops", || rig.counters.discards(Discard::DeviceQueue) >= 80).await;
            });
        });
    }

    #[test]
    fn what_the_host_sends_without_a_carrier_is_no_matter_of_the_queue() {
        in_namespace(|| {
            run(async {
                let rig = Rig::open(&mut Tap::new("ewp0")).await;
                ip("addr add 192.0.2.1/24 dev ewp0");
                ip("neigh add 192.0.2.2 lladdr 02:00:00:00:00:07 dev ewp0");
                let mut settings = PortSettings::default();
                settings.set("carrier-from", "uplink").expect("a name");
                rig.set(&settings);
                rig.set_carrier(false);
                let shows = |word: &str| {
                    let output = Command::new("ip").args(["link", "show", "ewp0"]).output();
                    String::from_utf8_lossy(&output.expect("ip").stdout).contains(word)
                };
                until("no carrier", || shows("NO-CARRIER")).await;
                let socket = UdpSocket::bind("192.0.2.1:0").expect("a socket");
                for _ in 0..50 {
                    // Whatever the kernel says to it.
                    let _ = socket.send_to(&[0; 900], "192.0.2.2:9");
                }
                rig.set_carrier(true);
                until("a carrier", || shows("LOWER_UP")).await;
                assert_eq!(rig.counters.discards(Discard::DeviceQueue), 0);
            });
        });
    }

    #[test]
    fn refused_frames_are_counted_and_end_nothing() {
        in_namespace(|| {
            run(async {
                let mut rig = Rig::open(&mut Tap::new("ewp0")).await;
                rig.send_octets(&[1; 5]);
                until("a short frame", || rig.counters.discards(Discard::OnError) == 1).await;
                ip("link set ewp0 down");
                rig.send_octets(&probe(b"while it is down"));
                until("a down interface", || rig.counters.discards(Discard::OnError) == 2).await;
                ip("link set ewp0 up");
                rig.send_octets(&probe(b"up again"));
                until("an up interface", || rig.counters.tx_frames() == 1).await;
                assert!(rig.is_running());
            });
        });
    }

    #[test]
    fn a_deleted_device_ends_the_link_and_comes_back_under_its_name() {
        in_namespace(|| {
            run(async {
                let first = sys::tap::Tap::open("ewp%d", |_| None).expect("ewp0");
                let mut tap = Tap::new("ewp%d");
                let rig = Rig::open(&mut tap).await;
                drop(first);
                ip("link del ewp1");
                let error = rig.end().await.expect_err("device lost");
                assert_eq!(error.to_string(), "lost TAP device ewp1");
                let rig = Rig::open(&mut tap).await;
                assert_eq!(tap.target(), "ewp1", "not the free ewp0");
                rig.stop().await.expect("a wanted end");
            });
        });
    }
}

//! Switches of in-memory ports on a virtual clock: nothing here waits in real time.

#[path = "switch/attacks.rs"]
mod attacks;
#[path = "switch/bindings.rs"]
mod bindings;
#[path = "switch/bpdu.rs"]
mod bpdu;
#[path = "switch/events.rs"]
mod events;
#[path = "switch/guards.rs"]
mod guards;
#[path = "switch/idle.rs"]
mod idle;
#[path = "switch/isolation.rs"]
mod isolation;
#[path = "switch/links.rs"]
mod links;
#[path = "switch/lists.rs"]
mod lists;
#[path = "switch/lldp.rs"]
mod lldp;
#[path = "switch/mirror_ports.rs"]
mod mirror_ports;
#[path = "switch/mirrors.rs"]
mod mirrors;
#[path = "switch/multicast.rs"]
mod multicast;
#[path = "switch/neighbors.rs"]
mod neighbors;
#[path = "switch/rates.rs"]
mod rates;
#[path = "switch/restarts.rs"]
mod restarts;
#[path = "switch/stp.rs"]
mod stp;
#[path = "switch/vlans.rs"]
mod vlans;

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::{Future, pending},
    rc::Rc,
    time::Duration,
};

use actix::{Actor, Addr};
use bytes::Bytes;
use etherws_actors::{
    control::{Control, ControlError},
    counters::Discard,
    fdb::{FdbFilter, PortNumber},
    frame::Frame,
    guard::storm::StormLimit,
    holder::{Holder, Instance},
    interface,
    kinds::{Memory, memory::MemoryHandle},
    message::{self, FdbInfo, PortInfo, Shutdown},
    port::{Link, Medium, PortError, PortIo, queue::QUEUE_OCTETS},
    settings::PortSettings,
    supervisor,
    switch::{Switch, SwitchOptions},
    tick,
};
use slog::Logger;

fn run(test: impl Future<Output = ()>) {
    let runtime = tick::runtime().expect("a runtime");
    actix_rt::System::with_tokio_rt(|| runtime).block_on(async {
        tokio::time::pause();
        test.await;
    });
}

fn log() -> Logger {
    Logger::root(slog::Discard, slog::o!())
}

struct Lab {
    switch: Addr<Switch>,
    control: Control,
}

impl Lab {
    /// Without loop guard: each frame of its own would be in the way.
    fn new() -> Self {
        Self::with(SwitchOptions {
            ports: PortSettings { loop_guard: Some(false), ..PortSettings::default() },
            ..SwitchOptions::default()
        })
    }

    fn with(options: SwitchOptions) -> Self {
        let switch = Switch::new(options).start();
        Self { control: Control::new(switch.clone(), log()), switch }
    }

    async fn memory(&self) -> MemoryHandle {
        let (port, handle) = Memory::pair("test", 1024);
        supervisor::add(&self.switch, port, &log()).await.expect("memory ports open");
        handle
    }

    async fn add<M: Medium>(&self, medium: M) -> PortNumber {
        supervisor::add(&self.switch, medium, &log()).await.expect("the first open succeeds")
    }

    async fn ports(&self) -> Vec<PortInfo> {
        self.control.list_ports().await.expect("the switch lives")
    }

    async fn port(&self, number: u32) -> PortInfo {
        let ports = self.ports().await;
        ports.into_iter().find(|p| p.port.get() == number).expect("port is listed")
    }

    async fn fdb(&self) -> Vec<FdbInfo> {
        self.control.list_fdb(FdbFilter::default()).await.expect("the switch lives")
    }

    async fn delete(&self, number: u32) -> Result<PortInfo, ControlError> {
        self.control.del_port(port(number)).await
    }

    async fn shut(&self, number: u32, shut: bool) {
        let settings = PortSettings { shut: Some(shut), ..PortSettings::default() };
        self.control.set_port(port(number), settings, Vec::new()).await.expect("port is there");
    }

    /// Lets all tasks run until none has anything to do, on the virtual clock.
    async fn settle(&self) {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn port(number: u32) -> PortNumber {
    PortNumber::new(number).expect("ports count from 1")
}

/// An untagged frame of 60 octets between two stations; 0xff is all of them.
fn frame(dst: u8, src: u8) -> Frame {
    let mut data = vec![0; 60];
    data[..6].copy_from_slice(&if dst == 0xff { [0xff; 6] } else { [2, 0, 0, 0, 0, dst] });
    data[6..12].copy_from_slice(&[2, 0, 0, 0, 0, src]);
    data[12..14].copy_from_slice(&[0x88, 0xb5]);
    Frame::new(Bytes::from(data))
}

#[test]
fn unknown_is_flooded_and_known_goes_to_one_port() {
    run(async {
        let lab = Lab::new();
        let (mut a, mut b, mut c) = (lab.memory().await, lab.memory().await, lab.memory().await);
        a.send(frame(2, 1)).await.expect("port 1");
        assert_eq!(b.recv().await, Some(frame(2, 1)));
        assert_eq!(c.recv().await, Some(frame(2, 1)));
        b.send(frame(1, 2)).await.expect("port 2");
        assert_eq!(a.recv().await, Some(frame(1, 2)));
        lab.settle().await;
        assert_eq!(c.try_recv(), None, "a known address was flooded");
        let fdb: Vec<_> =
            lab.fdb().await.iter().map(|e| (e.mac.to_string(), e.entry.port.get())).collect();
        assert_eq!(fdb, [("02:00:00:00:00:01".to_owned(), 1), ("02:00:00:00:00:02".to_owned(), 2)]);
        let a = lab.port(1).await;
        assert_eq!((a.counters.rx_frames(), a.counters.tx_frames()), (1, 1));
        assert_eq!((a.counters.rx_octets(), a.counters.tx_octets()), (60, 60));
    });
}

#[test]
fn a_frame_never_goes_back_to_its_port() {
    run(async {
        let lab = Lab::new();
        let (mut a, mut b) = (lab.memory().await, lab.memory().await);
        a.send(frame(0xff, 1)).await.expect("port 1");
        a.send(frame(0xff, 2)).await.expect("port 1");
        a.send(frame(2, 1)).await.expect("port 1");
        lab.settle().await;
        assert_eq!(a.try_recv(), None);
        assert_eq!(
            (b.try_recv(), b.try_recv(), b.try_recv().is_none()),
            (Some(frame(0xff, 1)), Some(frame(0xff, 2)), true)
        );
        assert_eq!(lab.port(1).await.counters.discards(Discard::SamePort), 1);
    });
}

#[test]
fn frames_too_short_for_a_header_are_counted_and_discarded() {
    run(async {
        let lab = Lab::new();
        let (a, mut b) = (lab.memory().await, lab.memory().await);
        for len in 0..14 {
            a.send(Frame::new(Bytes::from(vec![0xff; len]))).await.expect("port 1");
        }
        let mut cut_tag = vec![0xff; 17];
        cut_tag[12..14].copy_from_slice(&[0x81, 0x00]);
        a.send(Frame::new(Bytes::from(cut_tag))).await.expect("port 1");
        lab.settle().await;
        assert_eq!(b.try_recv(), None);
        let counters = lab.port(1).await.counters;
        assert_eq!(counters.discards(Discard::OnError), 15);
        assert_eq!(counters.rx_frames(), 15, "they were received all the same");
    });
}

#[test]
fn a_shut_port_neither_sends_nor_receives_and_keeps_its_addresses() {
    run(async {
        let lab = Lab::new();
        let (mut a, mut b, mut c) = (lab.memory().await, lab.memory().await, lab.memory().await);
        a.send(frame(0xff, 1)).await.expect("port 1");
        lab.settle().await;
        assert!(b.try_recv().is_some() && c.try_recv().is_some());
        lab.shut(1, true).await;
        a.send(frame(0xff, 1)).await.expect("port 1");
        b.send(frame(0xff, 2)).await.expect("port 2");
        b.send(frame(1, 2)).await.expect("port 2");
        lab.settle().await;
        assert_eq!(a.try_recv(), None);
        assert_eq!(c.try_recv(), Some(frame(0xff, 2)));
        assert_eq!(c.try_recv(), None, "known unicast to a shut port is lost, not flooded");
        let info = lab.port(1).await;
        assert!(info.shut);
        assert_eq!((info.counters.rx_frames(), info.counters.tx_frames()), (1, 0));
        assert!(lab.fdb().await.iter().any(|e| e.entry.port == info.port));
        lab.shut(1, false).await;
        b.send(frame(1, 2)).await.expect("port 2");
        assert_eq!(a.recv().await, Some(frame(1, 2)));
    });
}

#[test]
fn a_deleted_port_leaves_no_address_and_its_number_is_never_used_again() {
    run(async {
        let lab = Lab::new();
        let (mut a, b) = (lab.memory().await, lab.memory().await);
        a.send(frame(0xff, 1)).await.expect("port 1");
        b.send(frame(0xff, 2)).await.expect("port 2");
        lab.settle().await;
        lab.delete(1).await.expect("port 1 is there");
        assert!(lab.fdb().await.iter().all(|e| e.entry.port == port(2)));
        while a.recv().await.is_some() {}
        assert!(matches!(lab.delete(1).await, Err(ControlError::NoSuchPort(p)) if p == port(1)));
        lab.memory().await;
        let numbers: Vec<_> = lab.ports().await.iter().map(|p| p.port.get()).collect();
        assert_eq!(numbers, [2, 3]);
    });
}

#[test]
fn addresses_age_and_move() {
    run(async {
        let lab = Lab::with(SwitchOptions {
            aging_time: Duration::from_secs(10),
            ..SwitchOptions::default()
        });
        let (a, b) = (lab.memory().await, lab.memory().await);
        a.send(frame(0xff, 1)).await.expect("port 1");
        lab.settle().await;
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(lab.fdb().await[0].age, 4);
        b.send(frame(0xff, 1)).await.expect("port 2");
        lab.settle().await;
        let fdb = lab.fdb().await;
        assert_eq!((fdb.len(), fdb[0].entry.port, fdb[0].age), (1, port(2), 0));
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(lab.fdb().await, []);
    });
}

/// What a [`Scripted`] port does at one opening.
enum Act {
    /// Carries nothing, takes nothing from its queue.
    Stall,
    /// Sends this frame and then does as the next act says.
    Send(Frame),
    /// Carries nothing for this long and then does as the next act says.
    Hold(Duration),
    Lose,
    Panic,
    PanicInOpen,
    RefuseToOpen,
}

/// A port that plays its acts, one an opening, and stalls when they have run out.
#[derive(Clone)]
struct Scripted(Rc<RefCell<VecDeque<Act>>>);

impl Scripted {
    fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self(Rc::new(RefCell::new(acts.into_iter().collect())))
    }

    fn next(&self) -> Act {
        self.0.borrow_mut().pop_front().unwrap_or(Act::Stall)
    }
}

impl Medium for Scripted {
    type Link = Self;

    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn target(&self) -> String {
        "script".to_owned()
    }

    async fn open(&mut self) -> Result<Self, PortError> {
        let first =
            self.0.borrow().front().map(|act| matches!(act, Act::RefuseToOpen | Act::PanicInOpen));
        if first == Some(true) {
            match self.next() {
                Act::PanicInOpen => panic!("in open"),
                _ => return Err("the script refuses".into()),
            }
        }
        Ok(self.clone())
    }
}

impl Link for Scripted {
    async fn run(self, mut io: PortIo) -> Result<(), PortError> {
        loop {
            match self.next() {
                Act::Send(frame) => io.ingress.send(vec![frame]).await?,
                Act::Hold(time) => tokio::time::sleep(time).await,
                Act::Lose => return Err("the script loses it".into()),
                Act::Panic => panic!("as scripted"),
                _ => break,
            }
        }
        tokio::select! {
            _ = io.stop.wait() => Ok(()),
            () = pending() => Ok(()),
        }
    }
}

#[test]
fn a_refused_port_leaves_nothing_behind() {
    run(async {
        let lab = Lab::new();
        let refused = Scripted::new([Act::RefuseToOpen]);
        let error = supervisor::add(&lab.switch, refused, &log()).await.expect_err("refused");
        assert_eq!(error.to_string(), "the script refuses");
        let panics = Scripted::new([Act::PanicInOpen]);
        let error = supervisor::add(&lab.switch, panics, &log()).await.expect_err("panics");
        assert_eq!(error.to_string(), "panicked: in open");
        assert!(lab.ports().await.is_empty());
        lab.memory().await;
        assert_eq!(lab.ports().await[0].port, port(1), "refused ports take no number");
    });
}

#[test]
fn a_port_that_takes_nothing_is_bounded_and_harms_no_other() {
    run(async {
        let lab = Lab::new();
        let (a, mut b) = (lab.memory().await, lab.memory().await);
        let stalled = lab.add(Scripted::new([])).await;
        let mut data = frame(0xff, 1).into_data().to_vec();
        data.resize(1514, 0);
        let broadcast = Frame::new(Bytes::from(data));
        for _ in 0..2000 {
            a.send(broadcast.clone()).await.expect("port 1");
            assert_eq!(b.recv().await.as_ref(), Some(&broadcast));
        }
        let counters = lab.port(stalled.get()).await.counters;
        let queued = 2000 - counters.discards(Discard::LackOfBuffers);
        // Flooded frames have a quarter of it.
        assert!(queued <= (QUEUE_OCTETS / 4 / 1514) as u64, "{queued} frames queued");
        assert!(queued > (QUEUE_OCTETS / 8 / 1514) as u64, "{queued} frames queued");
    });
}

#[test]
fn a_sender_waits_for_its_only_receiver_but_not_for_a_stuck_one() {
    run(async {
        let lab = Lab::new();
        let (a, mut b) = (lab.memory().await, lab.memory().await);
        let stuck = lab.add(Scripted::new([Act::Send(frame(0xff, 3))])).await;
        lab.settle().await;
        while b.try_recv().is_some() {}
        let mut data = frame(3, 1).into_data().to_vec();
        data.resize(1514, 0);
        for _ in 0..1000 {
            a.send(Frame::new(Bytes::from(data.clone()))).await.expect("port 1");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        let counters = lab.port(stuck.get()).await.counters;
        let received = lab.port(1).await.counters.rx_frames();
        assert!(received < 1000, "{received} frames were read for a queue that is long");
        assert_eq!(counters.discards(Discard::LackOfBuffers), 0);
        a.send(frame(0xff, 1)).await.expect("port 1");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(b.try_recv(), Some(frame(0xff, 1)), "others wait no longer");
        assert_eq!(lab.port(1).await.counters.rx_frames(), 1001);
    });
}

#[test]
fn shutdown_is_answered_when_all_ports_have_ended() {
    run(async {
        let lab = Lab::new();
        let mut a = lab.memory().await;
        lab.add(Scripted::new([])).await;
        lab.switch.send(Shutdown).await.expect("the switch lives");
        assert_eq!(a.recv().await, None);
    });
}

/// A port that is a network interface, and carries nothing.
struct Interface;
impl Medium for Interface {
    type Link = Scripted;

    fn kind(&self) -> &'static str {
        "netdev"
    }

    fn target(&self) -> String {
        "eth0".to_owned()
    }

    fn interface(&self) -> Option<String> {
        Some("eth0".to_owned())
    }

    async fn open(&mut self) -> Result<Scripted, PortError> {
        Ok(Scripted::new([]))
    }
}

#[test]
fn two_ports_on_one_interface_are_refused() {
    run(async {
        let lab = Lab::new();
        lab.add(Interface).await;
        let error = supervisor::add(&lab.switch, Interface, &log()).await.expect_err("refused");
        assert_eq!(error.to_string(), "interface eth0 is port 1 already; delete that one first");
    });
}

#[test]
fn what_was_set_on_an_interface_is_set_again_when_it_is_made_anew() {
    struct Interface {
        script: Scripted,
        configured: Rc<RefCell<Vec<interface::Interface>>>,
    }
    impl Medium for Interface {
        type Link = Scripted;

        fn kind(&self) -> &'static str {
            "tap"
        }

        fn target(&self) -> String {
            "ewp0".to_owned()
        }

        async fn configure(&mut self, settings: &interface::Interface) -> Result<(), PortError> {
            self.configured.borrow_mut().push(settings.clone());
            Ok(())
        }

        async fn open(&mut self) -> Result<Scripted, PortError> {
            self.script.open().await
        }
    }
    run(async {
        let lab = Lab::new();
        let configured = Rc::default();
        let script = Scripted::new([Act::Hold(Duration::from_secs(1)), Act::Lose]);
        let port = lab.add(Interface { script, configured: Rc::clone(&configured) }).await;
        let settings =
            interface::Interface { addresses: vec![([192, 0, 2, 1].into(), 24)], mtu: 1400 };
        let keep = message::KeepInterface { port, settings: settings.clone() };
        lab.switch.send(keep).await.expect("the switch lives");
        assert!(configured.borrow().is_empty());
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(*configured.borrow(), [settings]);
    });
}

/// A port in memory that somebody holds.
struct Held(Memory, Holder);

impl Medium for Held {
    type Link = <Memory as Medium>::Link;

    fn kind(&self) -> &'static str {
        "server"
    }

    fn target(&self) -> String {
        self.0.target()
    }

    fn restarts(&self) -> bool {
        false
    }

    fn holder(&self) -> Option<Holder> {
        Some(self.1.clone())
    }

    async fn open(&mut self) -> Result<Self::Link, PortError> {
        self.0.open().await
    }
}

#[test]
fn ports_of_a_holder_share_what_is_limited() {
    run(async {
        let limit = StormLimit::Rate { rate: 1, burst: 10 };
        let lab = Lab::with(SwitchOptions {
            ports: PortSettings {
                loop_guard: Some(false),
                storm_broadcast: Some(limit),
                max_macs: Some(4),
                ..PortSettings::default()
            },
            ..SwitchOptions::default()
        });
        let mut behind = lab.memory().await;
        let mut sessions = Vec::new();
        for identity in ["a", "a", "a", "b"] {
            let (port, handle) = Memory::pair("held", 64);
            let holder = Holder { identity: identity.into(), user: None, instance: None };
            lab.add(Held(port, holder)).await;
            sessions.push(handle);
        }
        for (at, session) in (1..).zip(&sessions) {
            for n in 0..8 {
                session.send(frame(0xff, 10 * at + n)).await.expect("a port");
            }
        }
        lab.settle().await;
        let received: Vec<_> = std::iter::from_fn(|| behind.try_recv()).collect();
        let of_b = received.iter().filter(|frame| frame.data()[11] >= 40).count();
        assert_eq!((received.len(), of_b), (10 + 8, 8), "\"a\" has its burst once");
        let fdb = lab.fdb().await;
        let of_b = fdb.iter().filter(|line| line.mac.0[5] >= 40).count();
        assert_eq!((fdb.len(), of_b), (4 + 4, 4), "and its addresses");
    });
}

#[test]
fn a_holder_that_comes_again_ends_its_former_port_alone_and_is_told_what_is_behind() {
    run(async {
        let lab = Lab::new();
        let behind = lab.memory().await;
        behind.send(frame(0xff, 9)).await.expect("port 1");
        lab.settle().await;
        let [one, other] = [(); 2].map(|()| Instance::random().expect("random numbers"));
        let held = async |identity: &str, instance| {
            let (port, handle) = Memory::pair("held", 64);
            let instance = Some(instance);
            lab.add(Held(port, Holder { identity: identity.into(), user: None, instance })).await;
            lab.settle().await;
            handle
        };
        let mut former = held("a", one).await;
        let (mut another_name, _another_port) = (held("b", one).await, held("a", other).await);
        assert_eq!(former.try_recv(), None, "a first connect announces nothing");
        former.send(frame(9, 5)).await.expect("port 2");

        let mut again = held("a", one).await;
        let numbers = async || lab.ports().await.iter().map(|p| p.port.get()).collect::<Vec<_>>();
        assert_eq!(numbers().await, [1, 3, 4, 5]);
        assert_eq!(former.recv().await, None, "its link has ended");
        let fdb: Vec<_> = lab.fdb().await.iter().map(|entry| entry.entry.port.get()).collect();
        assert_eq!(fdb, [1], "what was behind it is forgotten");
        let announced = again.try_recv().expect("an announcement");
        let header = announced.header().expect("a header");
        assert_eq!((header.ethertype(), header.src().0[5]), (0x8035, 9));
        assert_eq!((again.try_recv(), another_name.try_recv()), (None, None));

        // Whatever becomes of the former one, and whenever.
        drop(former);
        lab.settle().await;
        assert_eq!(numbers().await, [1, 3, 4, 5]);
    });
}

//! Rates in whole switches, on a virtual clock.

use std::cell::Cell;

use etherws_actors::{
    batch::{BATCH_FRAMES, INGRESS_CREDITS},
    port::FrameIo,
};

use super::*;

/// Length of the frames here, as on a wire without FCS.
const LEN: usize = 1514;

fn long(dst: u8, src: u8) -> Frame {
    let mut data = frame(dst, src).into_data().to_vec();
    data.resize(LEN, 0);
    Frame::new(Bytes::from(data))
}

fn settings(all: &[(&str, &str)]) -> PortSettings {
    let mut settings = PortSettings { loop_guard: Some(false), ..PortSettings::default() };
    all.iter().for_each(|(name, value)| settings.set(name, value).expect("a good value"));
    settings
}

/// A port of somebody who may have others.
struct Held(Memory);

impl Medium for Held {
    type Link = <Memory as Medium>::Link;

    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn target(&self) -> String {
        self.0.target()
    }

    fn holder(&self) -> Option<Holder> {
        Some(Holder { identity: "alice".into(), user: None, instance: None })
    }

    async fn open(&mut self) -> Result<Self::Link, PortError> {
        self.0.open().await
    }
}

/// A switch whose second port knows the station 2, and further ports, with these settings.
struct Rates {
    lab: Lab,
    to: MemoryHandle,
    from: Vec<MemoryHandle>,
}

impl Rates {
    async fn new(to: &[(&str, &str)], from: &[&[(&str, &str)]]) -> Self {
        let lab = Lab::new();
        let add = async |settings| {
            let (port, handle) = Memory::pair("test", 4096);
            supervisor::add_with(&lab.switch, Held(port), settings, &log()).await.expect("a port");
            handle
        };
        let (port, to_handle) = Memory::pair("test", 4096);
        supervisor::add_with(&lab.switch, port, settings(to), &log()).await.expect("a port");
        let mut handles = Vec::new();
        for from in from {
            handles.push(add(settings(from)).await);
        }
        to_handle.send(frame(0xff, 2)).await.expect("port 1");
        lab.settle().await;
        Self { lab, to: to_handle, from: handles }
    }

    /// Has each port send a frame a millisecond, 12 Mbit/s, and gives how many arrive meanwhile.
    async fn offered(&mut self, seconds: u64) -> u64 {
        let (start, mut sent, mut arrived) = (tokio::time::Instant::now(), 0, 0);
        let all = u128::from(1000 * seconds);
        while sent < all {
            tokio::time::sleep(Duration::from_millis(1)).await;
            while sent < start.elapsed().as_millis().min(all) {
                for (at, from) in (10..).zip(&self.from) {
                    from.send(long(2, at)).await.expect("its port");
                }
                sent += 1;
            }
            while let Some(frame) = self.to.try_recv() {
                assert_eq!(frame.len(), LEN);
                arrived += 1;
            }
        }
        arrived
    }

    async fn set(&self, number: u32, name: &str, value: &str) {
        let mut settings = PortSettings::default();
        settings.set(name, value).expect("a good value");
        self.lab.control.set_port(port(number), settings, Vec::new()).await.expect("a port");
    }
}

/// Frames of 1,514 octets in a second, of as many bits.
fn frames(bits: u64) -> u64 {
    bits / 8 / LEN as u64
}

fn assert_near(arrived: u64, wanted: u64) {
    assert!(arrived.abs_diff(wanted) <= wanted / 20, "{arrived}, not {wanted}");
}

#[test]
fn each_direction_shapes_and_polices_to_its_rate() {
    for (to, from, reason) in [
        ("rate-out", "4mbit", Discard::LackOfBuffers),
        ("rate-out", "4mbit/20kb police", Discard::RateOut),
    ] {
        run(async {
            let mut rates = Rates::new(&[(to, from)], &[&[]]).await;
            let arrived = rates.offered(4).await;
            assert_near(arrived, 4 * frames(4_000_000));
            let counters = rates.lab.port(1).await.counters;
            assert!(counters.discards(reason) > 1000 || reason == Discard::LackOfBuffers);
        });
    }
    for (rate, reason) in [("4mbit/20kb", Discard::RateIn), ("4mbit shape", Discard::LackOfBuffers)]
    {
        run(async {
            let mut rates = Rates::new(&[], &[&[("rate-in", rate)]]).await;
            let arrived = rates.offered(4).await;
            assert_near(arrived, 4 * frames(4_000_000));
            let counters = rates.lab.port(2).await.counters;
            let waiting = if reason == Discard::RateIn { 0 } else { QUEUE_OCTETS / (LEN + 64) };
            let lost = counters.discards(reason);
            let sum = arrived + lost + waiting as u64;
            assert!(sum.abs_diff(4000) < 10, "{arrived}, {lost} and {waiting} of 4000");
            assert!(counters.rx_frames() + waiting as u64 + 10 > 4000, "what was lost came in");
        });
    }
}

#[test]
fn all_sessions_of_a_holder_share_a_rate() {
    for rate in ["4mbit shape", "4mbit/20kb police"] {
        run(async {
            let limit = [("rate-in", rate)];
            let mut rates = Rates::new(&[], &[&limit[..]; 5]).await;
            assert_near(rates.offered(4).await, 4 * frames(4_000_000));
        });
    }
}

#[test]
fn another_rate_counts_at_once_and_none_lets_all_pass_in_order() {
    run(async {
        let mut rates = Rates::new(&[], &[&[("rate-in", "8kbit shape")]]).await;
        assert!(rates.offered(1).await < 20);
        rates.set(2, "rate-in", "6mbit shape").await;
        assert_near(rates.offered(2).await, 2 * frames(6_000_000));
        rates.set(2, "rate-in", "off").await;
        // First what was queued, which is more than may be under way at once.
        assert!(rates.offered(1).await > 1500);
        assert_eq!(rates.offered(1).await, 1000);
    });
}

#[test]
fn pings_overtake_what_is_shaped() {
    run(async {
        let mut rates = Rates::new(&[("rate-out", "1mbit")], &[&[]]).await;
        rates.offered(1).await;
        let mut ping = frame(2, 10).into_data().to_vec();
        ping[12..34].copy_from_slice(&[
            0x08, 0x00, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ]);
        let ping = Frame::new(Bytes::from(ping));
        rates.from[0].send(ping.clone()).await.expect("port 2");
        let mut before = 0;
        while rates.to.recv().await.expect("frames go on") != ping {
            before += 1;
        }
        assert!(before < 5, "{before} of {} that wait", frames(11_000_000));
    });
}

#[test]
fn a_delay_is_that_of_both_lines_and_ends_with_its_setting() {
    run(async {
        let delay = [("delay", "in 30ms out 7s")];
        let mut rates = Rates::new(&[("delay", "out 20ms")], &[&delay]).await;
        let start = tokio::time::Instant::now();
        for _ in 0..5 {
            rates.from[0].send(long(2, 10)).await.expect("port 2");
        }
        for _ in 0..5 {
            rates.to.recv().await.expect("the switch lives");
        }
        let took = start.elapsed().as_millis();
        assert!((49..=53).contains(&took), "{took} ms");
        rates.set(2, "delay", "10s").await;
        rates.from[0].send(frame(2, 10)).await.expect("port 2");
        rates.lab.settle().await;
        assert_eq!(rates.to.try_recv(), None);
        let start = tokio::time::Instant::now();
        rates.set(2, "delay", "off").await;
        assert_eq!(rates.to.recv().await, Some(frame(2, 10)));
        assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
        assert!((975..=980).contains(&rates.offered(1).await), "the others are under way");
        // The same while nothing is under way.
        rates.set(1, "delay", "off").await;
        rates.set(2, "delay", "1ms").await;
        rates.from[0].send(frame(2, 10)).await.expect("port 2");
        rates.lab.settle().await;
        while rates.to.try_recv().is_some() {}
        rates.set(2, "delay", "off").await;
        assert!((997..=1000).contains(&rates.offered(1).await), "the last are on their way");
    });
}

#[test]
fn losses_are_counted_and_the_same_again_with_the_same_seed() {
    let lost = |settings: &'static [(&str, &str)]| {
        let lost = Rc::new(RefCell::new(0));
        let out = Rc::clone(&lost);
        run(async move {
            let mut rates = Rates::new(&[], &[settings]).await;
            let mut arrived = rates.offered(2).await;
            rates.lab.settle().await;
            while rates.to.try_recv().is_some() {
                arrived += 1;
            }
            let counters = rates.lab.port(2).await.counters;
            assert_eq!(counters.rx_frames(), 2000, "what is lost has come in");
            assert_eq!(arrived + counters.discards(Discard::Impaired), 2000);
            *out.borrow_mut() = 2000 - arrived;
        });
        *lost.borrow()
    };
    let settings: &[_] = &[("loss", "in 10%"), ("impair-seed", "7")];
    let first = lost(settings);
    assert_eq!(first, lost(settings));
    assert!((170..230).contains(&first), "{first}");
}

#[test]
fn frames_that_bridges_keep_to_a_link_count_as_well() {
    run(async {
        let limits = [("rate-in", "1mbit/20kb"), ("storm-octets", "off")];
        let mut rates = Rates::new(&[], &[&limits]).await;
        let mut lldp = long(0xff, 10).into_data().to_vec();
        lldp[..6].copy_from_slice(&[0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e]);
        for _ in 0..100 {
            rates.from[0].send(Frame::new(lldp.clone().into())).await.expect("port 2");
        }
        rates.lab.settle().await;
        let arrived = std::iter::from_fn(|| rates.to.try_recv()).count();
        assert!((13..16).contains(&arrived), "{arrived}, not a burst");
        let lost = rates.lab.port(2).await.counters.discards(Discard::RateIn);
        assert_eq!(lost, 100 - arrived as u64);
    });
}

/// A port that learns of the station 2, and then counts what it is given as fast as its thread
/// lets it.
#[derive(Clone)]
struct Taker {
    hello: Rc<Cell<bool>>,
    taken: Rc<Cell<u64>>,
}

impl Medium for Taker {
    type Link = Self;

    fn kind(&self) -> &'static str {
        "taker"
    }

    fn target(&self) -> String {
        "test".to_owned()
    }

    async fn open(&mut self) -> Result<Self, PortError> {
        Ok(self.clone())
    }
}

impl FrameIo for Taker {
    async fn recv(&self) -> std::io::Result<Frame> {
        if self.hello.replace(false) { Ok(frame(0xff, 2)) } else { pending().await }
    }

    async fn send(&self, _: &Frame) -> std::io::Result<()> {
        self.taken.set(self.taken.get() + 1);
        Ok(())
    }
}

#[test]
fn a_hundred_who_send_to_one_wait_for_it_however_short_their_frames_are() {
    const EACH: u64 = 2_000;
    run(async {
        let lab = Lab::new();
        let taker = Taker { hello: Rc::new(Cell::new(true)), taken: Rc::default() };
        let taken = Rc::clone(&taker.taken);
        lab.add(taker).await;
        lab.settle().await;
        for sender in 10..110 {
            let handle = lab.memory().await;
            actix_rt::spawn(async move {
                for _ in 0..EACH {
                    handle.send(frame(2, sender)).await.expect("its port");
                }
                pending::<()>().await;
            });
        }
        let sent = 100 * EACH;
        let lost = loop {
            lab.settle().await;
            let lost = lab.port(1).await.counters.discards(Discard::LackOfBuffers);
            if taken.get() + lost == sent {
                break lost;
            }
        };
        // What their credits were for before anybody had to wait, and nothing after it.
        let credits = (100 * INGRESS_CREDITS * BATCH_FRAMES) as u64;
        assert!(lost < credits, "{lost} of {sent} are lost");
    });
}

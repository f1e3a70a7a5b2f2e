//! Networks of switches, cables and attackers on a virtual clock: what the guard promises,
//! held against what a look at the whole network says.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use proptest::prelude::*;

use super::*;
use crate::core::packet::HEADER_LEN;

/// What is at an end of a cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Port(usize, PortNumber),
    Attacker,
}

/// A cable, or a network without switches of ours: what one end sends all others get.
#[derive(Debug, Clone)]
struct Segment {
    ends: Vec<End>,
    /// Whether the ports on it are open, and whether it carries what they send.
    open: bool,
    carries: bool,
    delay: u64,
}

/// When what arrives, in which order, over which segment and where.
type Flight = (u64, u64, usize, End, Vec<u8>);

struct World {
    start: Instant,
    now: u64,
    random: u64,
    switches: Vec<LoopGuard>,
    numbers: Vec<u32>,
    guarded: Vec<bool>,
    segments: Vec<Segment>,
    blocked: BTreeSet<(usize, PortNumber)>,
    /// All ports that ever were.
    ever: BTreeSet<(usize, PortNumber)>,
    flying: BinaryHeap<Reverse<Flight>>,
    sent: u64,
    /// What an attacker has heard, and where attackers sit.
    booty: Vec<Vec<u8>>,
    attackers: Vec<usize>,
}

impl World {
    fn new(ids: &[u8]) -> Self {
        let start = Instant::now();
        let switch = |id: &u8| LoopGuard { id: [*id; 16], ..LoopGuard::new(start) };
        Self {
            start,
            now: 0,
            random: 0x9e37_79b9_7f4a_7c15,
            switches: ids.iter().map(switch).collect(),
            numbers: vec![0; ids.len()],
            guarded: vec![true; ids.len()],
            segments: Vec::new(),
            blocked: BTreeSet::new(),
            ever: BTreeSet::new(),
            flying: BinaryHeap::new(),
            sent: 0,
            booty: Vec::new(),
            attackers: Vec::new(),
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn dice(&mut self, sides: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % sides as u64).expect("it is small")
    }

    /// Joins switches by a new segment, closed as yet.
    fn join(&mut self, switches: &[usize], delay: u64) -> usize {
        let ends = switches.iter().map(|&switch| {
            self.numbers[switch] += 1;
            End::Port(switch, PortNumber::new(self.numbers[switch]).expect("from 1"))
        });
        let ends = ends.collect();
        self.segments.push(Segment { ends, open: false, carries: true, delay });
        self.segments.len() - 1
    }

    fn infiltrate(&mut self, segment: usize) {
        self.segments[segment].ends.push(End::Attacker);
        self.attackers.push(segment);
    }

    fn set_open(&mut self, segment: usize, open: bool) {
        let now = self.now();
        self.segments[segment].open = open;
        for end in self.segments[segment].ends.clone() {
            let End::Port(switch, port) = end else { continue };
            self.ever.insert((switch, port));
            if open {
                self.switches[switch].open(port, self.guarded[switch], SELDOM, now);
            } else {
                self.blocked.remove(&(switch, port));
                self.switches[switch].close(port, now);
            }
            self.obey(switch);
        }
    }

    fn obey(&mut self, switch: usize) {
        for action in self.switches[switch].take_actions() {
            match action {
                Action::Send(port, frame) => {
                    self.send(End::Port(switch, port), None, frame.data());
                }
                Action::Block { port, .. } => {
                    assert!(self.blocked.insert((switch, port)), "blocked twice");
                }
                Action::Unblock { port, .. } => {
                    assert!(self.blocked.remove(&(switch, port)), "it was not blocked");
                }
            }
        }
    }

    fn send(&mut self, from: End, at: Option<usize>, data: &[u8]) {
        let found = self.segments.iter().position(|segment| segment.ends.contains(&from));
        let Some(segment) = at.or(found) else { return };
        let Segment { ends, open, carries, delay } = self.segments[segment].clone();
        for end in ends {
            if open && carries && (end != from || from == End::Attacker && at.is_none()) {
                self.sent += 1;
                let when = self.now + delay;
                self.flying.push(Reverse((when, self.sent, segment, end, data.to_vec())));
            }
        }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now += 1;
            let now = self.now();
            for switch in 0..self.switches.len() {
                if self.switches[switch].due().is_some_and(|due| due <= now) {
                    self.switches[switch].look(now);
                    self.obey(switch);
                }
            }
            while let Some(Reverse((when, ..))) = self.flying.peek()
                && *when <= self.now
            {
                let Reverse((_, _, segment, end, data)) = self.flying.pop().expect("it is there");
                if self.segments[segment].open && self.segments[segment].carries {
                    self.arrive(end, data);
                }
            }
            assert!(self.flying.len() < 10_000, "a storm");
            self.attack();
        }
    }

    fn arrive(&mut self, end: End, data: Vec<u8>) {
        match end {
            End::Attacker if self.booty.len() < 500 => self.booty.push(data),
            End::Attacker => {
                let at = self.dice(500);
                self.booty[at] = data;
            }
            End::Port(switch, port) => {
                let now = self.now();
                self.switches[switch].receive(port, &Frame::new(data.into()), now);
                self.obey(switch);
            }
        }
    }

    /// Sends something now and then, by any of the attackers' cables: what was heard at any
    /// of them, with other hops or as it was, and searches of invented switches.
    fn attack(&mut self) {
        if self.attackers.is_empty() || self.dice(20) > 0 {
            return;
        }
        let roll = self.dice(self.attackers.len());
        let at = self.attackers[roll];
        let data = if self.booty.is_empty() || self.dice(5) == 0 {
            let id = [u8::try_from(self.dice(3) * 100).expect("it is small"); 16];
            let hops = u8::try_from(self.dice(2) * 16).expect("it is small");
            let round = self.now;
            let vid = Vid::UNTAGGED;
            let probe = Probe { id, port: 1, round, vid, tag: self.random, hops };
            probe.frame(vid).into_data().to_vec()
        } else {
            // The latest as often as all others.
            let back = self.dice(self.booty.len());
            let back = if self.dice(2) == 0 { self.dice(back.min(8) + 1) } else { back };
            let mut data = self.booty[self.booty.len() - 1 - back].clone();
            if self.dice(2) == 0 {
                data[HEADER_LEN + 44] = 16;
            }
            data
        };
        self.send(End::Attacker, Some(at), &data);
    }

    /// Which segments are one network, without `but`, over ports that `counts` is true of.
    fn networks(
        &self,
        but: Option<usize>,
        counts: impl Fn(usize, PortNumber) -> bool,
    ) -> Vec<usize> {
        let mut network: Vec<_> = (0..self.segments.len()).collect();
        for switch in (0..self.switches.len()).filter(|switch| Some(*switch) != but) {
            let joined: Vec<_> =
                self.ports(switch).filter(|(port, _)| counts(switch, *port)).collect();
            for pair in joined.windows(2) {
                let (one, other) = (network[pair[0].1], network[pair[1].1]);
                network.iter_mut().filter(|of| **of == one).for_each(|of| *of = other);
            }
        }
        network
    }

    /// The ports of a switch whose segments work.
    fn ports(&self, switch: usize) -> impl Iterator<Item = (PortNumber, usize)> {
        self.segments.iter().enumerate().flat_map(move |(at, segment)| {
            let works = segment.open && segment.carries;
            segment.ends.iter().filter_map(move |end| match *end {
                End::Port(of, port) if of == switch && works => Some((port, at)),
                _ => None,
            })
        })
    }

    fn active(&self) -> Vec<usize> {
        self.networks(None, |switch, port| !self.blocked.contains(&(switch, port)))
    }

    /// Whether whoever was joined by working cables is joined over ports that carry frames.
    fn is_whole(&self) -> bool {
        let (all, active) = (self.networks(None, |_, _| true), self.active());
        let works = |at: usize| self.segments[at].open && self.segments[at].carries;
        let segments: Vec<_> = (0..self.segments.len()).filter(|at| works(*at)).collect();
        // A segment with nothing but switches on it needs only one of them.
        let switches_joined = (0..self.switches.len()).all(|one| {
            (0..self.switches.len()).all(|other| {
                let reach = |network: &[usize], switch, carrying: bool| -> BTreeSet<usize> {
                    let carries = |port| !carrying || !self.blocked.contains(&(switch, port));
                    let ports = self.ports(switch).filter(|(port, _)| carries(*port));
                    ports.map(|(_, at)| network[at]).collect()
                };
                let joined = |network: &[usize], carrying| {
                    !reach(network, one, carrying).is_disjoint(&reach(network, other, carrying))
                };
                !joined(&all, false) || joined(&active, true)
            })
        });
        switches_joined
            && segments.iter().all(|&at| {
                let ends = &self.segments[at].ends;
                ends.iter().any(|end| {
                    matches!(end, End::Port(switch, port)
                    if !self.blocked.contains(&(*switch, *port)))
                })
            })
    }

    /// Pairs of ports of one switch that lead to the same network while both carry frames.
    fn loops(&self) -> Vec<(usize, PortNumber, PortNumber)> {
        let mut found = Vec::new();
        let carries = |switch, port| !self.blocked.contains(&(switch, port));
        for switch in 0..self.switches.len() {
            let network = self.networks(Some(switch), carries);
            let ports: Vec<_> =
                self.ports(switch).filter(|(port, _)| carries(switch, *port)).collect();
            for (at, one) in ports.iter().enumerate() {
                for other in &ports[at + 1..] {
                    if network[one.1] == network[other.1] {
                        found.push((switch, one.0, other.0));
                    }
                }
            }
        }
        found
    }

    /// Has broadcasts go round: whoever hears one twice suspects.
    fn traffic(&mut self) {
        let now = self.now();
        for (switch, one, other) in self.loops() {
            self.switches[switch].suspect(one, other, Vid::UNTAGGED, now);
            self.obey(switch);
        }
    }
}

#[derive(Debug, Clone)]
struct Plan {
    ids: Vec<u8>,
    cables: Vec<(Vec<usize>, u64)>,
    changes: Vec<(usize, u8, u64)>,
}

fn plans() -> impl Strategy<Value = Plan> {
    (2usize..6).prop_flat_map(|count| {
        let ids = Just((1..=u8::try_from(count).expect("few")).collect::<Vec<_>>()).prop_shuffle();
        let cable = (proptest::collection::vec(0..count, 2..4), 1u64..40);
        let cables = proptest::collection::vec(cable, 1..9);
        let change = (0usize..9, 0u8..3, 0u64..4000);
        let changes = proptest::collection::vec(change, 0..12);
        (ids, cables, changes).prop_map(|(ids, cables, changes)| Plan { ids, cables, changes })
    })
}

fn build(plan: &Plan) -> World {
    let mut world = World::new(&plan.ids);
    for (switches, delay) in &plan.cables {
        world.join(switches, *delay);
    }
    world
}

fn play(world: &mut World, plan: &Plan) {
    for segment in 0..world.segments.len() {
        world.set_open(segment, true);
        let pause = u64::try_from(world.dice(300)).expect("small");
        world.run(pause);
    }
    for &(segment, change, pause) in &plan.changes {
        let segment = segment % world.segments.len();
        match change {
            0 => world.set_open(segment, !world.segments[segment].open),
            1 => world.segments[segment].carries = false,
            _ => world.segments[segment].carries = true,
        }
        world.run(pause);
        world.traffic();
    }
    for _ in 0..20 {
        world.traffic();
        world.run(500);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_network_becomes_a_tree_and_stays_whole(plan in plans()) {
        let mut world = build(&plan);
        play(&mut world, &plan);
        prop_assert_eq!(world.loops(), []);
        prop_assert!(world.is_whole(), "{:?} {:?}", world.blocked, world.segments);
    }

    #[test]
    fn one_attacker_blocks_nobody(plan in plans(), place in 0usize..9, seed in 1u64..) {
        let mut world = build(&plan);
        world.random = seed;
        // On a cable of others, or on one of its own.
        if place % 2 == 0 {
            let segment = place % world.segments.len();
            world.infiltrate(segment);
        } else {
            let segment = world.join(&[place % plan.ids.len()], 3);
            world.infiltrate(segment);
        }
        play(&mut world, &plan);
        for _ in 0..50 {
            world.run(100);
            prop_assert!(world.is_whole(), "{:?} {:?}", world.blocked, world.segments);
            prop_assert_eq!(world.loops(), []);
        }
    }

    /// A hub and switches with one uplink each, whatever else is behind them: two
    /// accomplices can say to each other what they hear.
    #[test]
    fn accomplices_block_only_where_one_of_them_sits(
        clients in 2usize..6, places in (0usize..12, 0usize..12), seed in 1u64..,
    ) {
        let ids: Vec<_> = (0..=clients).map(|client| 100 + u8::try_from(client).expect("few")).collect();
        let mut world = World::new(&ids);
        world.random = seed;
        for client in 1..=clients {
            world.join(&[0, client], 5);
        }
        let lans: Vec<_> = (0..=clients).map(|switch| world.join(&[switch], 1)).collect();
        for place in [places.0, places.1] {
            // A LAN, or a session of its own at the hub.
            let segment = lans.get(place).copied().unwrap_or_else(|| world.join(&[0], 5));
            world.infiltrate(segment);
        }
        for segment in 0..world.segments.len() {
            world.set_open(segment, true);
        }
        let mut ever = BTreeSet::new();
        for _ in 0..100 {
            world.run(100);
            ever.extend(world.blocked.iter().copied());
        }
        for (switch, port) in ever {
            let without = world.networks(Some(switch), |_, _| true);
            let at = world.ports(switch).find(|(one, _)| *one == port).expect("it is open").1;
            prop_assert!(
                world.attackers.iter().any(|place| without[*place] == without[at]),
                "{} {}", switch, port
            );
        }
    }

    #[test]
    fn of_parallel_tunnels_one_carries_frames_whatever_comes_and_goes(
        ids in Just(vec![1u8, 2]).prop_shuffle(),
        tunnels in 2usize..4,
        changes in proptest::collection::vec((0usize..4, any::<bool>(), 0u64..6000), 1..20),
        delay in 1u64..60,
    ) {
        let mut world = World::new(&ids);
        for _ in 0..tunnels {
            world.join(&[0, 1], delay);
        }
        for (tunnel, loud, pause) in changes {
            let tunnel = tunnel % tunnels;
            let segment = &mut world.segments[tunnel];
            if !segment.open {
                world.segments[tunnel].carries = true;
                world.set_open(tunnel, true);
            } else if loud || !segment.carries {
                world.set_open(tunnel, false);
            } else {
                segment.carries = false;
            }
            let mut gap = 0;
            for _ in 0..=pause / 10 {
                world.run(10);
                gap = if world.is_whole() { 0 } else { gap + 10 };
                prop_assert!(gap <= 1000, "at {}", world.now);
            }
        }
        world.run(2000);
        prop_assert_eq!(world.loops(), []);
        let works: Vec<_> = world.segments.iter().filter(|one| one.open && one.carries).collect();
        prop_assert!(world.blocked.len() + 1 >= works.len());
        let deciders: BTreeMap<_, _> = world.blocked.iter().copied().collect();
        prop_assert!(deciders.len() <= 1, "one switch decides: {:?}", world.blocked);
    }
}

#[test]
fn a_ring_of_three_is_cut_at_once_and_once() {
    let mut world = World::new(&[2, 1, 3]);
    for (one, other) in [(0, 1), (1, 2), (2, 0)] {
        let segment = world.join(&[one, other], 20);
        world.set_open(segment, true);
        world.run(1000);
    }
    assert_eq!((world.loops().len(), world.blocked.len()), (0, 1));
    assert_eq!(world.blocked.first().map(|(switch, _)| *switch), Some(1), "the lowest decides");
    world.run(60_000);
    assert_eq!(world.blocked.len(), 1);
}

#[test]
fn a_ring_is_cut_though_one_switch_on_it_has_no_guard() {
    let mut world = World::new(&[2, 1, 3]);
    world.guarded[1] = false;
    for (one, other) in [(0, 1), (1, 2), (2, 0)] {
        let segment = world.join(&[one, other], 20);
        world.set_open(segment, true);
        world.run(1000);
    }
    assert_eq!((world.loops().len(), world.blocked.len()), (0, 1));
    assert_eq!(world.blocked.first().map(|(switch, _)| *switch), Some(0));
}

#[test]
fn old_and_forged_frames_count_for_nothing() {
    let now = Instant::now();
    let mut guard = LoopGuard::new(now);
    let [one, other] = [PortNumber::FIRST, PortNumber::FIRST.next()];
    guard.open(one, true, SELDOM, now);
    guard.open(other, true, SELDOM, now);
    let sent = guard.take_actions();
    let [Action::Send(_, first), Action::Send(..)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(guard.receive(one, first, now), Heard::Returned);
    for at in HEADER_LEN + 24..HEADER_LEN + 44 {
        let mut data = first.data().to_vec();
        data[at] ^= 1;
        assert_eq!(
            guard.receive(other, &Frame::new(data.into()), now),
            Heard::Forged,
            "octet {at}"
        );
    }
    assert_eq!(guard.take_actions(), []);
    assert_eq!(guard.receive(other, first, now), Heard::Loop);
    assert_eq!(guard.take_actions(), [Action::Block { port: other, with: one }]);
    let late = now + ROUND * (u32::try_from(FRESH).expect("few") + 1);
    assert_eq!(guard.receive(other, first, late), Heard::Forged, "too old");
}

#[test]
fn an_idle_guard_looks_only_to_greet_and_at_ticks() {
    let (start, mut looks) = (Instant::now(), 0);
    let mut guard = LoopGuard::new(start);
    assert_eq!(guard.due(), None, "no ports");
    let numbers: Vec<_> = (1..=4).filter_map(PortNumber::new).collect();
    for (number, interval) in numbers.iter().zip([SELDOM, SELDOM, OFTEN, OFTEN]) {
        guard.open(*number, true, interval, start);
    }
    let mut greetings = guard.take_actions().len();
    let mut now = start + ROUND;
    guard.look(now);
    assert_eq!(guard.take_actions(), [], "its first look finds no loop");
    while now < start + TICK * 100 {
        now = guard.due().expect("ports are guarded");
        assert_eq!((now - start).as_nanos() % TICK.as_nanos(), 0, "{now:?}");
        guard.look(now);
        greetings += guard.take_actions().len();
        looks += 1;
    }
    assert_eq!((looks, greetings), (100, 4 + 2 * 100 + 2 * 10));
    numbers.iter().for_each(|number| guard.close(*number, now));
    guard.look(now);
    assert_eq!(guard.due(), None, "no ports again");
}

//! Networks of bridges on a virtual clock: whatever the network is and whatever link fails, there is
//! a tree at the end and no loop before.
//!
//! One weakness is the standard's own. Where a link to the root fails and there are rings behind it,
//! what was said before may go round there until it is too old (counting to infinity), and loops may
//! come and go meanwhile. It shows itself by a message age that no path in the network has.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
};

use proptest::prelude::*;

use super::*;

/// Of a link. What is on its way when another link fails may close a loop for as long.
const LONGEST_DELAY: Time = 60;

/// Longest loop while something goes round: max age, of which each bridge that it passes takes one
/// second, and keeps it for no longer.
const BOUND: Time = 20 * SECOND;

/// Milliseconds of virtual time.
type Time = u64;

const SECOND: Time = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Up,
    /// Both ends know it.
    Down,
    /// Nothing passes, and nobody knows.
    Silent,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Tick(usize),
    Arrives { link: usize, end: usize, octets: Vec<u8> },
}

#[derive(Debug, Clone)]
struct Wire {
    /// Bridge and port at both ends.
    ends: [(usize, PortNumber); 2],
    delay: Time,
    state: Link,
}

pub(super) struct Network {
    pub(super) bridges: Vec<Bridge>,
    wires: Vec<Wire>,
    at: HashMap<(usize, PortNumber), (usize, usize)>,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    now: Time,
    sequence: u64,
    /// Since when there is a loop.
    looping: Option<Time>,
    /// The longest there was.
    pub(super) longest: Time,
    /// Whether something that was said has gone round.
    counts: bool,
}

/// What a network is made of: priorities of its bridges and phases of their clocks; links with
/// their delay.
#[derive(Debug, Clone)]
struct Plan {
    bridges: Vec<(u16, Time)>,
    links: Vec<(usize, usize, Time, u32)>,
    edge: Edge,
}

fn number(n: u32) -> PortNumber {
    PortNumber::new(n).expect("not 0")
}

pub(super) const CONFIG: PortConfig =
    PortConfig { cost: 20_000, priority: 128, edge: Edge::Auto, root_guard: false };

impl Network {
    fn new(plan: &Plan) -> Self {
        let bridge = |(at, &(priority, _)): (usize, &(u16, Time))| {
            let mac = MacAddr([2, 0, 0, 0, 0, u8::try_from(at).expect("few") + 1]);
            Bridge::new(mac, BridgeSettings { priority, ..BridgeSettings::default() })
        };
        let mut network = Self {
            bridges: plan.bridges.iter().enumerate().map(bridge).collect(),
            wires: Vec::new(),
            at: HashMap::new(),
            events: BinaryHeap::new(),
            now: 0,
            sequence: 0,
            looping: None,
            longest: 0,
            counts: false,
        };
        for (at, &(_, phase)) in plan.bridges.iter().enumerate() {
            network.schedule(phase, Event::Tick(at));
        }
        for (wire, &(a, b, delay, cost)) in plan.links.iter().enumerate() {
            let n = u32::try_from(wire).expect("few") * 2;
            let ends = [(a, number(n + 1)), (b, number(n + 2))];
            for (end, (bridge, port)) in ends.into_iter().enumerate() {
                network.at.insert((bridge, port), (wire, end));
                let config = PortConfig { cost, edge: plan.edge, ..CONFIG };
                assert!(network.bridges[bridge].configure(port, config));
            }
            network.wires.push(Wire { ends, delay, state: Link::Down });
        }
        network
    }

    fn schedule(&mut self, after: Time, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((self.now + after, self.sequence, event)));
    }

    /// Does what a bridge says.
    fn obey(&mut self, bridge: usize) {
        for action in self.bridges[bridge].take_actions() {
            let Action::Send(port, frame) = action else { continue };
            let header = frame.header().expect("a header");
            if let Some(Bpdu::Information(one)) = Bpdu::read(header) {
                self.counts |= usize::from(one.times.message_age) >= self.bridges.len();
            }
            let (link, end) = self.at[&(bridge, port)];
            if self.wires[link].state == Link::Up {
                let event = Event::Arrives { link, end: 1 - end, octets: frame.data().to_vec() };
                self.schedule(self.wires[link].delay, event);
            }
        }
        self.check();
    }

    fn set(&mut self, wire: usize, state: Link) {
        let was = mem::replace(&mut self.wires[wire].state, state);
        for (bridge, port) in self.wires[wire].ends {
            match state {
                Link::Up if was == Link::Down => self.bridges[bridge].open(port),
                Link::Down => self.bridges[bridge].close(port),
                _ => {}
            }
            self.obey(bridge);
        }
    }

    fn all_up(&mut self) {
        (0..self.wires.len()).for_each(|wire| self.set(wire, Link::Up));
    }

    fn run(&mut self, time: Time) {
        let end = self.now + time;
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > end {
                self.events.push(Reverse((at, 0, event)));
                break;
            }
            self.now = at;
            match event {
                Event::Tick(bridge) => {
                    self.bridges[bridge].tick();
                    self.schedule(SECOND, Event::Tick(bridge));
                    self.obey(bridge);
                }
                Event::Arrives { link, end, octets } => {
                    // What was on its way when the link failed is lost.
                    if self.wires[link].state == Link::Up {
                        let (bridge, port) = self.wires[link].ends[end];
                        let header = Ethernet::new_checked(&octets).expect("a header");
                        self.bridges[bridge].receive(port, header);
                        self.obey(bridge);
                    }
                }
            }
        }
        self.now = end;
    }

    fn carries(&self, wire: &Wire) -> bool {
        wire.state == Link::Up
            && wire
                .ends
                .iter()
                .all(|&(bridge, port)| self.bridges[bridge].state(port) == Some(State::Forwarding))
    }

    /// Components that links join, and whether one of these closes a loop.
    fn components(&self, joins: impl Fn(&Wire) -> bool) -> (Vec<usize>, bool) {
        let mut of: Vec<usize> = (0..self.bridges.len()).collect();
        let mut has_loop = false;
        for wire in self.wires.iter().filter(|wire| joins(wire)) {
            let [a, b] = wire.ends.map(|(bridge, _)| of[bridge]);
            has_loop |= a == b;
            of.iter_mut().filter(|one| **one == b).for_each(|one| *one = a);
        }
        (of, has_loop)
    }

    fn check(&mut self) {
        let (_, has_loop) = self.components(|wire| self.carries(wire));
        if has_loop {
            let since = *self.looping.get_or_insert(self.now);
            self.longest = self.longest.max(self.now - since + 1);
        } else if let Some(since) = self.looping.take() {
            self.longest = self.longest.max(self.now - since);
        }
    }

    /// Whether there is one tree for each part of the network, with the best bridge at its root.
    fn is_tree(&self) -> bool {
        let (wanted, _) = self.components(|wire| wire.state == Link::Up);
        let (reached, has_loop) = self.components(|wire| self.carries(wire));
        let count = |of: &[usize]| of.iter().collect::<HashSet<_>>().len();
        let roots = (0..self.bridges.len()).all(|at| {
            let best = (0..self.bridges.len()).filter(|other| wanted[*other] == wanted[at]);
            let best = best.map(|other| self.bridges[other].id()).min();
            Some(self.bridges[at].tree().root) == best
        });
        !has_loop && count(&wanted) == count(&reached) && roots
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for bridge in &self.bridges {
            text += &format!("\n{} root {}", bridge.id(), bridge.tree().root);
            for port in bridge.ports(None) {
                text += &format!("\n  {} {} {}", port.port, port.role, port.state);
            }
        }
        text
    }
}

fn plans() -> impl Strategy<Value = Plan> {
    (2usize..8).prop_flat_map(|count| {
        let bridge = (prop::sample::select(vec![0u16, 4096, 32768]), 0..SECOND);
        let cost = prop::sample::select(vec![200u32, 20_000, 200_000]);
        let link = (0..count, 0..count, 1..LONGEST_DELAY, cost);
        let edge = prop::sample::select(vec![Edge::Auto, Edge::Off]);
        (prop::collection::vec(bridge, count), prop::collection::vec(link, 1..14), edge)
            .prop_map(|(bridges, links, edge)| Plan { bridges, links, edge })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_network_becomes_a_tree_and_has_no_loop_before(plan in plans()) {
        let mut network = Network::new(&plan);
        network.all_up();
        network.run(60 * SECOND);
        prop_assert_eq!(network.longest, 0, "a loop");
        prop_assert!(network.is_tree(), "{}", network.describe());
    }

    #[test]
    fn a_link_that_fails_or_returns_makes_no_loop(
        plan in plans(),
        which: prop::sample::Index,
        is_silent: bool,
        wait in 0..3 * SECOND,
    ) {
        let mut network = Network::new(&plan);
        network.all_up();
        network.run(60 * SECOND + wait);
        let wire = which.index(network.wires.len());
        network.set(wire, if is_silent { Link::Silent } else { Link::Down });
        network.run(60 * SECOND);
        let bound = if network.counts { BOUND } else { LONGEST_DELAY };
        prop_assert!(network.longest <= bound, "a loop of {} ms", network.longest);
        prop_assert!(network.is_tree(), "{}", network.describe());
        if !is_silent {
            network.longest = 0;
            network.set(wire, Link::Up);
            network.run(60 * SECOND);
            prop_assert_eq!(network.longest, 0, "a loop when it returns");
            prop_assert!(network.is_tree(), "{}", network.describe());
        }
    }

    #[test]
    fn after_several_failures_at_once_a_loop_is_short(
        plan in plans(),
        fails in prop::collection::vec(prop::sample::select(vec![Link::Up, Link::Down, Link::Silent]), 14),
        wait in 0..3 * SECOND,
    ) {
        let mut network = Network::new(&plan);
        network.all_up();
        network.run(60 * SECOND + wait);
        for (wire, fails) in (0..network.wires.len()).zip(fails) {
            if fails != Link::Up {
                network.set(wire, fails);
            }
        }
        network.run(120 * SECOND);
        prop_assert!(network.longest <= BOUND, "a loop of {} ms", network.longest);
        prop_assert!(network.is_tree(), "{}", network.describe());
    }
}

//! A network of one port at each end and links between them that delay, lose and break, for
//! property tests: no flow is ever delivered out of order, and none twice.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use proptest::{collection::vec, prelude::*};

use super::{
    distributor::{BUCKETS, Saying},
    *,
};

const LINKS: u8 = 4;

const FLOWS: u8 = 12;

/// What happens in the network.
#[derive(Debug, Clone)]
enum Step {
    /// A frame of this flow is sent.
    Send(u8),
    /// So many items of a connection arrive: those of its newest, or of one before it.
    Deliver { link: u8, former: bool, items: usize },
    /// The sender opens a link, or opens it again.
    Join(u8),
    /// The sender gives a link up. What it has sent by it may still arrive.
    Leave(u8),
    /// The receiver gives a link up, and the sender does not know yet.
    Break(u8),
    /// All that is under way arrives, and time passes.
    Wait,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let link = || 0..LINKS;
    let step = prop_oneof![
        8 => (0..FLOWS).prop_map(Step::Send),
        6 => (link(), any::<bool>(), 1..6_usize)
            .prop_map(|(link, former, items)| Step::Deliver { link, former, items }),
        2 => link().prop_map(Step::Join),
        1 => link().prop_map(Step::Leave),
        1 => link().prop_map(Step::Break),
        1 => Just(Step::Wait),
    ];
    vec(step, 1..300)
}

/// A frame of a flow, numbered.
type Numbered = (u8, u32);

enum Item {
    Frame(Numbered),
    Message(LinkMessage),
}

/// A connection and what is under way on it.
struct Connection {
    link: u8,
    items: VecDeque<Item>,
    /// Whether the receiver has it, and whether it has given it up.
    is_open: bool,
    is_broken: bool,
}

struct Network {
    sender: Distributor,
    receiver: Collector<Numbered>,
    /// By id. Those that were given up stay: what is under way on them may still arrive.
    connections: BTreeMap<u32, Connection>,
    current: [Option<u32>; LINKS as usize],
    sent: BTreeMap<u8, u32>,
    delivered: BTreeMap<u8, u32>,
    now: Instant,
}

impl Network {
    fn new(failover: bool) -> Self {
        Self {
            sender: Distributor::new(failover),
            receiver: Collector::default(),
            connections: BTreeMap::new(),
            current: [None; LINKS as usize],
            sent: BTreeMap::new(),
            delivered: BTreeMap::new(),
            now: Instant::now(),
        }
    }

    fn say(&mut self, sayings: Vec<Saying>) {
        for (link, message) in sayings {
            self.put(link, Item::Message(message));
        }
    }

    fn put(&mut self, link: u8, item: Item) {
        let id = self.current[usize::from(link)];
        if let Some(connection) = id.and_then(|id| self.connections.get_mut(&id)) {
            // It passes by what is queued, of which more or less has left already.
            let passes = matches!(item, Item::Message(LinkMessage::Gone(_)));
            let at = if passes { connection.items.len() / 2 } else { connection.items.len() };
            connection.items.insert(at, item);
        }
    }

    fn join(&mut self, link: u8) {
        let id = u32::try_from(self.connections.len() + 1).expect("few");
        let (items, is_open, is_broken) = (VecDeque::new(), false, false);
        self.connections.insert(id, Connection { link, items, is_open, is_broken });
        let left = self.sender.leave(link, self.now);
        self.current[usize::from(link)] = None;
        self.say(left);
        self.current[usize::from(link)] = Some(id);
        let sayings = self.sender.join(link, LinkId(id), self.now);
        self.say(sayings);
    }

    fn leave(&mut self, link: u8) {
        self.current[usize::from(link)] = None;
        let sayings = self.sender.leave(link, self.now);
        self.say(sayings);
    }

    fn give_up(&mut self, id: u32) {
        self.receiver.close(LinkId(id));
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.is_broken = true;
            connection.items.clear();
        }
        self.collect();
    }

    fn send(&mut self, flow: u8) {
        let number = self.sent.entry(flow).or_default();
        *number += 1;
        let numbered = (flow, *number);
        // A bucket each, so that a failure is the same one when it is tried again.
        let link = self.sender.buckets[usize::from(flow) * BUCKETS / usize::from(FLOWS)];
        self.put(link, Item::Frame(numbered));
    }

    /// The next item of a connection arrives; whether there was one.
    fn deliver(&mut self, id: u32) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        if connection.is_broken {
            return false;
        }
        let Some(item) = connection.items.pop_front() else { return false };
        if !connection.is_open {
            connection.is_open = true;
            // In the place of another, as a server has it.
            let link = connection.link;
            let is_former =
                |(other, c): &(&u32, &Connection)| **other < id && c.link == link && c.is_open;
            let former: Vec<_> =
                self.connections.iter().filter(is_former).map(|(other, _)| *other).collect();
            former.into_iter().for_each(|former| self.give_up(former));
            if !self.receiver.open(LinkId(id), self.now) {
                self.give_up(id);
                return true;
            }
        }
        match item {
            Item::Frame(numbered) => {
                if let Collected::Now(numbered) = self.receiver.batch(LinkId(id), numbered) {
                    self.count(numbered);
                }
            }
            Item::Message(message) => {
                let gone = self.receiver.message(LinkId(id), message);
                if let Some((LinkId(gone), _)) = gone {
                    self.give_up(gone);
                }
                self.collect();
            }
        }
        true
    }

    fn collect(&mut self) {
        while let Some(numbered) = self.receiver.ready(self.now) {
            self.count(numbered);
        }
    }

    fn count(&mut self, (flow, number): Numbered) {
        let before = self.delivered.insert(flow, number);
        let is_later = before.is_none_or(|before| before < number);
        assert!(is_later, "flow {flow}: {number} after {before:?}");
    }

    fn newest(&self, link: u8, former: bool) -> Option<u32> {
        let of_link = self.connections.iter().rev().filter(|(_, c)| c.link == link);
        of_link.map(|(id, _)| *id).nth(usize::from(former))
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Send(flow) => self.send(flow),
            Step::Deliver { link, former, items } => {
                if let Some(id) = self.newest(link, former) {
                    for _ in 0..items {
                        self.deliver(id);
                    }
                }
            }
            // Both ends remember so many that have ended: as many as there are at one time.
            Step::Join(link) if self.connections.len() + 1 < ENDED => self.join(link),
            Step::Join(_) => {}
            Step::Leave(link) => self.leave(link),
            Step::Break(link) => {
                if let Some(id) = self.newest(link, false) {
                    self.give_up(id);
                }
            }
            Step::Wait => {
                self.settle();
                self.now += MARKER_LIMIT;
            }
        }
    }

    /// The sender notices what is broken; all that is under way arrives.
    fn settle(&mut self) {
        for link in 0..LINKS {
            let id = self.current[usize::from(link)];
            if id.is_some_and(|id| self.connections[&id].is_broken) {
                self.leave(link);
            }
        }
        let ids: Vec<_> = self.connections.keys().copied().collect();
        while ids.iter().filter(|&&id| self.deliver(id)).count() > 0 {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_flow_is_reordered_whatever_becomes_of_its_links(
        steps in steps(),
        failover in any::<bool>(),
    ) {
        let mut network = Network::new(failover);
        steps.iter().for_each(|step| network.step(step));
        network.settle();
        prop_assert!(network.receiver.wait(network.now).is_none(), "a link waits for what is not coming");
        // What is sent from now on arrives, by whichever links are left, or by a new one.
        if network.current.iter().all(Option::is_none) {
            network.join(0);
        }
        for flow in 0..FLOWS {
            network.send(flow);
        }
        network.settle();
        for flow in 0..FLOWS {
            prop_assert_eq!(network.delivered.get(&flow), network.sent.get(&flow));
        }
    }
}

//! A network of one port at each end and links between them, with a queue each, that delay, lose
//! and break, for property tests: no flow is ever delivered out of order, and none twice.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::{
    distributor::{BUCKETS, Saying},
    *,
};
use crate::core::{
    batch::Source,
    outgoing::Outgoing,
    packet::{ETHERTYPE_ARP, HEADER_LEN},
};

const LINKS: u8 = 4;

const FLOWS: u8 = 12;

/// What happens in the network.
#[derive(Debug, Clone)]
enum Step {
    /// A frame of this flow is sent.
    Send(u8),
    /// A link takes so many items of its queue.
    Take { link: u8, items: usize },
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
        4 => (link(), 1..12_usize).prop_map(|(link, items)| Step::Take { link, items }),
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

/// It, as a frame: flows are known, flooded or urgent.
fn frame((flow, number): Numbered) -> (Source, Frame) {
    let ethertype = if flow % 2 == 0 { 0x88b5 } else { ETHERTYPE_ARP };
    let mut octets = [2; HEADER_LEN + 4];
    octets[11] = flow;
    octets[12..14].copy_from_slice(&ethertype.to_be_bytes());
    octets[HEADER_LEN..].copy_from_slice(&number.to_be_bytes());
    let source = Source { flooded: flow % 3 == 0, ..Source::OWN };
    (source, Frame::new(Bytes::copy_from_slice(&octets)))
}

fn numbered(frame: &Frame) -> Numbered {
    let data = frame.data();
    let number = data[HEADER_LEN..].first_chunk().expect("a number");
    (data[11], u32::from_be_bytes(*number))
}

enum Item {
    Frame(Numbered),
    Message(LinkMessage),
}

/// A connection and what is under way on it.
struct Connection {
    link: u8,
    queue: Outgoing,
    items: VecDeque<Item>,
    /// Whether the sender has ended it, since there was no room for what it was to say.
    is_over: bool,
    /// Whether the receiver has it, and whether it has given it up.
    is_open: bool,
    is_broken: bool,
}

impl Connection {
    /// Nothing of its queue is sent any more.
    fn end(&mut self) {
        self.queue = Outgoing::default();
        self.is_over = true;
    }

    /// Takes an item of the queue; whether there was one.
    fn take(&mut self) -> bool {
        let item = self.queue.message().map(Item::Message);
        let item =
            item.or_else(|| self.queue.pop(true).map(|(_, frame)| Item::Frame(numbered(&frame))));
        let is_one = item.is_some();
        self.items.extend(item);
        is_one
    }
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
            if let Some(connection) = self.current(link)
                && !connection.is_over
                && !connection.queue.say(message)
            {
                connection.end();
            }
        }
    }

    fn current(&mut self, link: u8) -> Option<&mut Connection> {
        let id = self.current[usize::from(link)]?;
        self.connections.get_mut(&id)
    }

    fn join(&mut self, link: u8) {
        self.leave(link);
        let id = u32::try_from(self.connections.len() + 1).expect("few");
        let (queue, items) = (Outgoing::default(), VecDeque::new());
        let (is_over, is_open, is_broken) = (false, false, false);
        let connection = Connection { link, queue, items, is_over, is_open, is_broken };
        self.connections.insert(id, connection);
        self.current[usize::from(link)] = Some(id);
        let sayings = self.sender.join(link, LinkId(id), self.now);
        self.say(sayings);
    }

    fn leave(&mut self, link: u8) {
        if let Some(connection) = self.current(link) {
            connection.end();
        }
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
        if let Some(connection) = self.current(link)
            && !connection.is_over
        {
            let (source, frame) = frame(numbered);
            connection.queue.push(source, frame);
        }
    }

    /// The next item of a connection arrives; whether there was one.
    fn deliver(&mut self, id: u32) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        if connection.is_broken {
            return false;
        }
        let Some(item) = connection.items.pop_front() else {
            // The stream's end.
            let is_over = connection.is_over && connection.is_open;
            if is_over {
                self.give_up(id);
            }
            return is_over;
        };
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
                let gone = self.receiver.message(LinkId(id), message, (0, 0), self.now);
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
            Step::Take { link, items } => {
                if let Some(connection) = self.current(link) {
                    for _ in 0..items {
                        connection.take();
                    }
                }
            }
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

    /// All that is under way arrives, no link waits, and what is sent from now on arrives as well, by
    /// whichever links are left, or by a new one.
    fn ends_well(&mut self) {
        self.settle();
        assert!(self.receiver.wait(self.now).is_none(), "a link waits for what is not coming");
        if self.current.iter().all(Option::is_none) {
            self.join(0);
        }
        (0..FLOWS).for_each(|flow| self.send(flow));
        self.settle();
        assert_eq!(self.delivered, self.sent);
    }

    /// The sender notices what is broken; all that is under way arrives.
    fn settle(&mut self) {
        // What it says of one may be too much for another.
        let is_lost = |connection: &mut Connection| connection.is_broken || connection.is_over;
        while let Some(link) = (0..LINKS).find(|&link| self.current(link).is_some_and(is_lost)) {
            self.leave(link);
        }
        for connection in self.connections.values_mut() {
            while connection.take() {}
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
        network.ends_well();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_flow_is_reordered_where_a_link_takes_nothing_while_others_come_and_go(
        steps in vec((1..LINKS, any::<bool>(), 0..3_u8), 18..24),
    ) {
        let mut network = Network::new(false);
        network.join(0);
        for (link, takes, delivers) in steps {
            (0..FLOWS).for_each(|flow| network.send(flow));
            network.step(&Step::Join(link));
            if takes {
                network.step(&Step::Take { link, items: 20 });
            }
            let items = usize::from(delivers) * 5;
            network.step(&Step::Deliver { link, former: false, items });
        }
        let is_over = network.current(0).is_some_and(|connection| connection.is_over);
        prop_assert!(is_over, "there is room for so many changes");
        network.ends_well();
    }
}

use proptest::prelude::*;

use super::*;
use crate::core::frame::MacAddr;

/// The agents on a virtual clock.
struct Lab {
    lldp: Lldp,
    start: Instant,
    now: Instant,
}

impl Lab {
    fn new() -> Self {
        let start = Instant::now();
        Self { lldp: Lldp::new(start), start, now: start }
    }

    fn set(&mut self, number: u32, status: LldpStatus) {
        self.lldp.set(port(number), number as usize, status, self.now);
    }

    fn hear(&mut self, number: u32, neighbor: u16, ttl: u16) -> Heard {
        let octets = pdu(neighbor, ttl).write(usize::MAX);
        self.lldp.receive(port(number), &octets, self.now)
    }

    /// What happens in so many seconds, each with the tick at which it does.
    fn run(&mut self, seconds: u64) -> Vec<(u128, Action)> {
        let end = self.now + Duration::from_secs(seconds);
        let mut done = Vec::new();
        while let Some(due) = self.lldp.due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.lldp.look(self.now);
            let tick = (self.now - self.start).as_nanos() / TICK.as_nanos();
            done.extend(self.lldp.take_actions().into_iter().map(|action| (tick, action)));
        }
        self.now = end;
        done
    }

    /// The ticks at which the port sends in so many seconds.
    fn sends(&mut self, number: u32, seconds: u64) -> Vec<u128> {
        let of = |(tick, action)| (action == Action::Send(port(number), TTL)).then_some(tick);
        self.run(seconds).into_iter().filter_map(of).collect()
    }

    fn news(&mut self) -> Vec<(u32, News)> {
        let of = |action| match action {
            Action::Tell(port, news, _) => Some((port.get(), news)),
            Action::Send(..) => None,
        };
        self.lldp.take_actions().into_iter().filter_map(of).collect()
    }
}

fn port(number: u32) -> PortNumber {
    PortNumber::new(number).expect("a number")
}

fn pdu(neighbor: u16, ttl: u16) -> Pdu {
    let [high, low] = neighbor.to_be_bytes();
    let chassis = Id::mac(MacAddr([2, 0, 0, 0, high, low]));
    let name = Some(format!("switch {neighbor}"));
    Pdu { system_name: name, ..Pdu::new(chassis, Id::text(IdType::IfName, "eth0"), ttl) }
}

#[test]
fn a_port_tells_at_once_and_then_every_thirty_seconds() {
    let mut lab = Lab::new();
    assert_eq!(lab.lldp.due(), None, "no timer without a port");
    lab.set(1, LldpStatus::RxAndTx);
    lab.set(2, LldpStatus::RxOnly);
    assert_eq!(lab.sends(1, 100), [1, 31, 61, 91]);
    assert!(lab.run(100).iter().all(|(_, action)| *action == Action::Send(port(1), TTL)));
    lab.set(1, LldpStatus::Disabled);
    assert_eq!(lab.lldp.take_actions(), [Action::Send(port(1), 0)], "it takes leave");
    assert_eq!(lab.run(100), []);
    assert_eq!(lab.lldp.due(), None);
}

#[test]
fn a_new_neighbor_is_told_four_times_in_a_row() {
    let mut lab = Lab::new();
    lab.set(1, LldpStatus::RxAndTx);
    lab.set(2, LldpStatus::TxOnly);
    lab.run(10);
    assert_eq!(lab.hear(1, 7, 121), Heard::Taken);
    assert_eq!(lab.hear(2, 7, 121), Heard::Taken, "but it does not listen");
    assert_eq!(lab.news(), [(1, News::New)]);
    let both = lab.run(60);
    let of = |number| {
        let sent =
            both.iter().filter(move |(_, action)| *action == Action::Send(port(number), TTL));
        sent.map(|(tick, _)| *tick).collect::<Vec<_>>()
    };
    assert_eq!((of(1), of(2)), (vec![10, 11, 12, 13, 43], vec![31, 61]));
    // Not again for one that is known, and never more than one a tick.
    lab.hear(1, 7, 121);
    assert_eq!(lab.sends(1, 25), [73]);
    (0..100).for_each(|number| _ = lab.hear(1, 100 + number, 121));
    assert_eq!(lab.sends(1, 10).len(), 4);
}

#[test]
fn what_has_changed_is_told_at_the_next_tick_and_once_a_tick_at_most() {
    let mut lab = Lab::new();
    lab.set(1, LldpStatus::TxOnly);
    lab.set(2, LldpStatus::TxOnly);
    lab.run(10);
    (0..50).for_each(|_| lab.lldp.change(Some(port(2)), lab.now));
    assert_eq!(lab.sends(2, 5), [10]);
    lab.lldp.change(None, lab.now);
    assert_eq!(lab.run(1).len(), 2);
}

#[test]
fn a_neighbor_is_known_for_as_long_as_it_says() {
    let mut lab = Lab::new();
    lab.set(1, LldpStatus::RxOnly);
    lab.hear(1, 7, 20);
    lab.hear(1, 8, 20);
    assert_eq!(lab.news(), [(1, News::New), (1, News::New)]);
    lab.run(15);
    lab.hear(1, 7, 20);
    assert_eq!((lab.news(), lab.lldp.count().0), (vec![], 2), "nothing new");
    let gone = lab.run(6);
    assert!(matches!(&gone[..], [(20, Action::Tell(_, News::Gone, lost))] if **lost == pdu(8, 20)));
    let changed = Pdu { pvid: Some(9), ..pdu(7, 60) };
    lab.lldp.receive(port(1), &changed.write(1500), lab.now);
    assert_eq!(lab.news(), [(1, News::Changed)]);
    let left = lab.lldp.page(None, None, lab.now).0;
    assert_eq!(left, [(port(1), changed, Duration::from_secs(60))]);
    lab.hear(1, 7, 0);
    lab.hear(1, 7, 0);
    assert_eq!((lab.news(), lab.lldp.count().0), (vec![(1, News::Gone)], 0));
    lab.run(100);
    assert_eq!(lab.lldp.due(), None, "no timer while there is nobody");
}

#[test]
fn a_port_that_is_down_has_no_neighbors() {
    let mut lab = Lab::new();
    lab.set(1, LldpStatus::RxAndTx);
    lab.set(2, LldpStatus::RxAndTx);
    lab.hear(1, 7, 121);
    lab.hear(2, 8, 121);
    lab.set(1, LldpStatus::Disabled);
    assert_eq!(lab.lldp.count().0, 1);
    lab.lldp.remove(port(2));
    assert_eq!(lab.lldp.count().0, 0);
    assert!(lab.lldp.held.is_empty() && lab.lldp.agents.is_empty());
    assert_eq!(lab.hear(1, 7, 121), Heard::Taken, "of a port that does not listen");
    assert_eq!(lab.lldp.count().0, 0);
}

#[test]
fn neighbors_are_bounded_and_who_has_most_gives_way() {
    let mut lab = Lab::new();
    let hear = |lab: &mut Lab, number: u32, held: usize| {
        lab.lldp.set(port(number), held, LldpStatus::RxOnly, lab.now);
        (0..50).filter(|neighbor| lab.hear(number, *neighbor, 3600) == Heard::Taken).count()
    };
    assert_eq!(hear(&mut lab, 1, 1), MAX_ON_PORT);
    assert_eq!(hear(&mut lab, 2, 1), MAX_OF_HOLDER - MAX_ON_PORT);
    assert_eq!(hear(&mut lab, 3, 1), 0, "his part is full");
    for number in 10..200 {
        hear(&mut lab, number, number as usize / 2);
    }
    assert_eq!(lab.lldp.count().0, MAX_NEIGHBORS);
    let fair = MAX_NEIGHBORS / (lab.lldp.held.len() + 1);
    lab.news();
    assert!(hear(&mut lab, 1000, 1000) >= fair, "whoever comes last has his part");
    assert!(lab.news().iter().any(|(_, news)| *news == News::Gone));
    // What nobody gains by is refused.
    assert_eq!(hear(&mut lab, 1000, 1000) + lab.news().len(), fair);
    assert_eq!(lab.lldp.count().0, MAX_NEIGHBORS);
}

#[test]
fn a_flood_of_lldpdus_is_cut_and_nonsense_is_told_apart() {
    let mut lab = Lab::new();
    lab.set(1, LldpStatus::RxOnly);
    assert_eq!(lab.lldp.receive(port(1), b"nonsense", lab.now), Heard::Malformed);
    let heard: Vec<_> = (0..1000).map(|_| lab.hear(1, 7, 121)).collect();
    assert_eq!(heard.iter().filter(|one| **one == Heard::Taken).count(), 127);
    assert!(heard.ends_with(&[Heard::TooMany]));
    lab.run(1);
    assert_eq!((0..1000).filter(|_| lab.hear(1, 7, 121) == Heard::Taken).count(), 10);
}

#[test]
fn neighbors_are_listed_page_by_page() {
    let mut lab = Lab::new();
    for number in 1..=10 {
        lab.set(number, LldpStatus::RxOnly);
        (0..20).for_each(|neighbor| _ = lab.hear(number, neighbor, 121));
    }
    let all = |port| {
        let (mut after, mut all) = (None, Vec::new());
        loop {
            let (page, next) = lab.lldp.page(port, after.as_ref(), lab.now);
            assert!(page.len() <= PAGE);
            all.extend(page.into_iter().map(|(port, pdu, _)| (port.get(), pdu.chassis)));
            after = next;
            if after.is_none() {
                return all;
            }
        }
    };
    let listed = all(None);
    assert!(listed.is_sorted() && listed.len() == 200);
    assert_eq!(all(Some(port(7))), listed[120..140]);
    assert_eq!(all(Some(port(70))), []);
}

#[test]
fn the_switch_takes_leave_at_its_end() {
    let mut lab = Lab::new();
    lab.set(1, LldpStatus::RxAndTx);
    lab.set(2, LldpStatus::RxOnly);
    lab.lldp.end(lab.now);
    assert_eq!(lab.lldp.take_actions(), [Action::Send(port(1), 0)]);
}

#[test]
fn only_untagged_frames_to_the_three_addresses_are_lldp() {
    let of = |digit: u8, rest: &[u8]| {
        let data = [&[1, 0x80, 0xc2, 0, 0, digit, 2, 0, 0, 0, 0, 1][..], rest, &[0; 46]].concat();
        is_lldp(Ethernet::new_checked(&data).expect("a header"))
    };
    let digits = (0..16).filter(|digit| of(*digit, &[0x88, 0xcc]));
    assert_eq!(digits.collect::<Vec<_>>(), [0, 3, 14]);
    assert!(!of(14, &[0x81, 0, 0, 7, 0x88, 0xcc]) && !of(14, &[0x88, 0xf7]));
}

#[derive(Debug, Clone)]
enum Step {
    Set(u32, LldpStatus),
    Remove(u32),
    Hear(u32, u16, u16),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 1u32..5;
    prop_oneof![
        1 => (number(), prop::sample::select(&LldpStatus::ALL[..])).prop_map(|(p, s)| Step::Set(p, s)),
        1 => number().prop_map(Step::Remove),
        8 => (number(), 0u16..50, 0u16..20).prop_map(|(p, n, ttl)| Step::Hear(p, n, ttl)),
        2 => (0u64..8).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Who is known was heard, by a port that listens, for as long as it said; counts are right.
    #[test]
    fn neighbors_agree_with_a_naive_model(steps in prop::collection::vec(step(), 0..150)) {
        let mut lab = Lab::new();
        let mut listens: BTreeMap<u32, bool> = BTreeMap::new();
        let mut model: BTreeMap<(u32, u16), Instant> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Set(number, status) => {
                    // Two ports of one holder.
                    lab.lldp.set(port(number), number as usize / 2, status, lab.now);
                    listens.insert(number, status.receives());
                    model.retain(|(port, _), _| *port != number || status.receives());
                }
                Step::Remove(number) => {
                    lab.lldp.remove(port(number));
                    listens.remove(&number);
                    model.retain(|(port, _), _| *port != number);
                }
                Step::Hear(number, neighbor, ttl) => {
                    let heard = lab.hear(number, neighbor, ttl);
                    if listens.get(&number) == Some(&true) && heard == Heard::Taken {
                        model.insert((number, neighbor), lab.now + Duration::from_secs(ttl.into()));
                        model.retain(|known, _| ttl > 0 || *known != (number, neighbor));
                    }
                }
                Step::Wait(seconds) => {
                    lab.run(seconds);
                    // Up to a tick later.
                    let latest = lab.now.checked_sub(TICK).unwrap_or(lab.now);
                    let is_known = |(number, neighbor): &(u32, u16)| {
                        let pdu = pdu(*neighbor, 1);
                        lab.lldp.neighbors.contains_key(&(port(*number), pdu.chassis, pdu.port))
                    };
                    model.retain(|known, until| is_known(known) || *until > lab.now);
                    prop_assert!(model.values().all(|until| *until > latest));
                }
            }
            prop_assert_eq!(lab.lldp.neighbors.len(), model.len());
            let mut held: HashMap<usize, usize> = HashMap::new();
            for (number, agent) in &lab.lldp.agents {
                let count = model.keys().filter(|known| known.0 == number.get()).count();
                prop_assert_eq!(agent.neighbors, count);
                prop_assert!(count <= MAX_ON_PORT);
                if count > 0 {
                    *held.entry(agent.held).or_default() += count;
                }
            }
            prop_assert_eq!(&lab.lldp.held, &held);
            prop_assert!(held.values().all(|count| *count <= MAX_OF_HOLDER));
        }
    }
}

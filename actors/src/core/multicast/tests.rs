mod queriers;

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    model::{
        self, MAC, PORTS, groups, host, join, leave, message, packet, query, receivers, record,
    },
    snooping::NETWORKS,
    *,
};
use crate::core::{
    counters::Incident,
    frame::MacAddr,
    offload::checksum::{fold, sum},
    settings::McastRouter,
};

proptest! {
    #[test]
    fn who_gets_what_agrees_with_a_naive_model(
        steps in prop::collection::vec((prop_oneof![Just(0u16), Just(7)], model::step()), 0..80),
    ) {
        model::check(steps);
    }

    #[test]
    fn no_octets_make_snooping_panic(data: Vec<u8>, kind: u8, v6: bool, rest: Vec<u8>) {
        let now = Instant::now();
        let mut snooping = snooping(64, 2, now);
        let mut framed = if v6 {
            let mut head = vec![0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 1, 0, 0, 1];
            head.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            head.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 58, 0, 5, 2, 0, 0, 1, 0]);
            head
        } else {
            vec![1, 0, 0x5e, 0, 0, 1, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 1, 0, 0, 0, 0, 0, 1, 2, 0, 0, 10, 0, 0, 1, 224, 0, 0, 1]
        };
        framed.push(kind);
        framed.extend(rest);
        for octets in [data, framed] {
            let frame = Frame::new(Bytes::from(octets));
            snooping.audience(&frame).word(0);
            snooping.hear(0, &frame, now).word(0);
        }
    }

    /// What has any octet changed is either taken for what it says, or malformed and changes
    /// nothing; and nothing that is cut short is read.
    #[test]
    fn reports_that_are_cut_short_change_nothing(group in 0usize..4, cut in 1usize..12, third: bool) {
        let now = Instant::now();
        let mut snooping = snooping(64, 2, now);
        let version = if third { Version::Third } else { Version::Second };
        let data = join(1, 0, groups()[group], version).into_data();
        let frame = Frame::new(data.slice(..data.len() - cut));
        snooping.hear(0, &frame, now);
        prop_assert_eq!(snooping.count().0, 0);
    }
}

fn snooping(capacity: usize, ports: usize, now: Instant) -> Snooping {
    let mut snooping = Snooping::new(MAC, capacity, now);
    for at in 0..ports {
        snooping.set_port(at, PortOptions::default(), at, true, now);
    }
    snooping
}

fn asking(capacity: usize, ports: usize, now: Instant) -> Snooping {
    let mut snooping = snooping(capacity, ports, now);
    snooping.set_querier([Vid::UNTAGGED].into_iter(), now);
    snooping.look(now);
    snooping.take_actions();
    snooping
}

/// Looks at all that is due until so many seconds after `start`.
fn pass(snooping: &mut Snooping, start: Instant, seconds: u64) -> Instant {
    let end = start + Duration::from_secs(seconds);
    let mut actions = snooping.take_actions();
    while let Some(due) = snooping.due().into_iter().chain(snooping.wakes()).min()
        && due <= end
    {
        snooping.look(due);
        actions.extend(snooping.take_actions());
    }
    snooping.actions = actions;
    end
}

fn group(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn all() -> BTreeSet<usize> {
    (0..PORTS).collect()
}

#[test]
fn what_hosts_use_without_asking_passes_for_half_an_hour_with_a_querier_and_without() {
    let never = [
        "224.0.0.1",
        "224.0.0.251",
        "224.0.0.252",
        "ff01::1",
        "ff02::1",
        "ff02::2",
        "ff02::fb",
        "ff02::1:2",
        "ff02::1:ff00:1",
        "ff02::1:ffab:cdef",
        "ff12::7",
        "ff05::1:3",
        "ff05::fb",
    ];
    let start = Instant::now();
    for is_querier in [false, true] {
        let mut snooping = snooping(64, PORTS, start);
        if is_querier {
            snooping.set_querier([Vid::UNTAGGED].into_iter(), start);
        }
        for minute in 0..30 {
            pass(&mut snooping, start + Duration::from_secs(minute * 60), 60);
            for text in never {
                assert_eq!(receivers(&snooping, &packet(0, group(text))), all(), "{text}");
            }
            let is_pruned = is_querier;
            for text in ["239.255.255.250", "239.0.0.251", "ff05::7", "ff0e::1:2"] {
                let reached = receivers(&snooping, &packet(0, group(text)));
                assert_eq!(reached.is_empty(), is_pruned, "{text}: {reached:?}");
            }
        }
    }
}

#[test]
fn what_is_no_ip_multicast_or_of_a_network_within_is_for_everybody() {
    let start = Instant::now();
    let mut snooping = asking(64, PORTS, start);
    pass(&mut snooping, start, 60);
    let pruned = packet(0, group("239.1.1.1"));
    assert_eq!(receivers(&snooping, &pruned), BTreeSet::new());
    let changed = |at: usize, octets: &[u8]| {
        let mut data = pruned.data().to_vec();
        data[at..at + octets.len()].copy_from_slice(octets);
        Frame::new(Bytes::from(data))
    };
    let others = [
        changed(0, &[3, 0, 0, 0, 0, 1]),
        changed(12, &[0x88, 0xcc]),
        changed(14, &[0x65]),
        // A cluster's address.
        changed(30, &[192, 0, 2, 9]),
        pruned.clone().push_tag(Tag::service(7)),
        pruned.clone().push_tag(Tag::customer(7)).push_tag(Tag::customer(0)),
        // Of a VLAN in which nobody asks.
        pruned.clone().push_tag(Tag::customer(7)),
    ];
    for frame in others {
        assert_eq!(receivers(&snooping, &frame), all(), "{frame:?}");
    }
    let priority = pruned.push_tag(Tag::customer(0x6000));
    assert_eq!(receivers(&snooping, &priority), BTreeSet::new());
}

#[test]
fn messages_are_read_as_the_standards_have_them() {
    let of = |frame: &Frame| match read(frame) {
        Heard::Reports(reports) => (reports.version, reports.records().collect::<Vec<_>>()),
        other => panic!("{other:?}"),
    };
    for group in groups() {
        for (kind, what) in [
            (1, What::Nothing),
            (2, What::Join),
            (3, What::Leave),
            (4, What::Join),
            (5, What::Nothing),
            (6, What::Nothing),
            (9, What::Nothing),
        ] {
            let read = of(&record(1, 0, group, kind));
            assert_eq!(read, (Version::Third, vec![Record { group, what }]));
        }
        let second = (Version::Second, vec![Record { group, what: What::Leave }]);
        assert_eq!(of(&leave(1, 0, group, Version::Second)), second);
    }
    // One source, four octets of further data, and a second record.
    let mut body =
        vec![0x22, 0, 0, 0, 0, 0, 0, 2, 6, 1, 0, 1, 239, 1, 1, 1, 9, 9, 9, 9, 0, 0, 0, 0];
    body.extend([4, 0, 0, 0, 239, 1, 1, 2]);
    let (_, records) = of(&message(1, 0, group("224.0.0.22"), body.clone()));
    assert_eq!(records.iter().map(|it| it.what).collect::<Vec<_>>(), [What::Block, What::Join]);
    // A record more than there is, and one about a station.
    let mut more = body.clone();
    more[7] = 3;
    body[12] = 10;
    for body in [more, body] {
        let frame = message(1, 0, group("224.0.0.22"), body);
        assert!(matches!(read(&frame), Heard::Malformed(_)));
    }
    for frame in [query(1, 0, Family::V4, None), join(1, 0, groups()[0], Version::Second)] {
        let mut data = frame.data().to_vec();
        data[36] ^= 1;
        let heard = Frame::new(Bytes::from(data));
        assert!(matches!(read(&heard), Heard::Malformed(_)), "checksum");
    }
    for (at, value) in [(21, 2), (20, 58), (22, 0x20)] {
        // Hop limit; no options for each hop; a source of elsewhere.
        let mut data = query(1, 0, Family::V6, None).data().to_vec();
        data[at] = value;
        let heard = Frame::new(Bytes::from(data));
        assert!(!matches!(read(&heard), Heard::Query(_)), "{at}");
    }
}

#[test]
fn codes_are_floating_point_numbers() {
    assert_eq!([0, 125, 127, 128, 255].map(code), [0, 125, 127, 128, 31_744]);
}

#[test]
fn reports_go_to_routers_only_and_to_everybody_while_nobody_asks() {
    let start = Instant::now();
    let mut snooping = snooping(64, PORTS, start);
    let report = join(1, 0, groups()[0], Version::Second);
    let to = |snooping: &mut Snooping| snooping.hear(0, &report, start).word(0) & 0xf;
    assert_eq!(to(&mut snooping), 0xf);
    snooping.hear(2, &query(5, 0, Family::V4, None), start);
    assert_eq!(to(&mut snooping), 0b100);
    let options = PortOptions { router: McastRouter::On, ..PortOptions::default() };
    snooping.set_port(3, options, 3, true, start);
    assert_eq!(to(&mut snooping), 0b1100);
    let options = PortOptions { router: McastRouter::Off, ..PortOptions::default() };
    snooping.set_port(2, options, 2, true, start);
    snooping.hear(2, &query(5, 0, Family::V4, None), start);
    assert_eq!(to(&mut snooping), 0b1000);
}

#[test]
fn pim_and_multicast_router_advertisements_make_a_router_port() {
    let start = Instant::now();
    let mut snooping = asking(64, PORTS, start);
    let now = pass(&mut snooping, start, 60);
    let hello = model::v4(5, 0, [[192, 0, 2, 5], [224, 0, 0, 13]], 103, &[0x20, 0, 0, 0]);
    snooping.hear(1, &hello, now);
    snooping.hear(2, &message(5, 0, group("ff02::6a"), vec![151, 20, 0, 0, 0, 0, 0, 0]), now);
    assert_eq!(receivers(&snooping, &packet(0, groups()[0])), BTreeSet::from([1]));
    assert_eq!(receivers(&snooping, &packet(0, groups()[2])), BTreeSet::from([2]));
}

#[test]
fn one_leave_does_not_cut_the_other_receiver_and_the_last_prunes_at_once_or_in_two_seconds() {
    let start = Instant::now();
    let mut snooping = asking(64, PORTS, start);
    let options = PortOptions { fast_leave: true, ..PortOptions::default() };
    snooping.set_port(3, options, 3, true, start);
    let now = pass(&mut snooping, start, 60);
    let stream = packet(0, groups()[0]);
    for (port, hosts) in [(3, [1, 2]), (2, [3, 4])] {
        for one in hosts {
            snooping.hear(port, &join(one, 0, groups()[0], Version::Third), now);
        }
        let left = |snooping: &mut Snooping, one, now| {
            snooping.hear(port, &leave(one, 0, groups()[0], Version::Third), now);
        };
        left(&mut snooping, hosts[0], now);
        assert!(receivers(&snooping, &stream).contains(&port));
        // The other one answers.
        let again = record(hosts[1], 0, groups()[0], 2);
        snooping.hear(port, &again, now + Duration::from_millis(900));
        pass(&mut snooping, now, 5);
        assert!(receivers(&snooping, &stream).contains(&port));
        let now = now + Duration::from_secs(5);
        left(&mut snooping, hosts[1], now);
        snooping.look(now + Duration::from_millis(1900));
        assert_eq!(receivers(&snooping, &stream).contains(&port), port == 2);
        snooping.look(now + Duration::from_secs(3));
        snooping.look(now + Duration::from_secs(4));
        assert!(!receivers(&snooping, &stream).contains(&port));
    }
    // Hosts of IGMPv2 hide each other.
    let now = now + Duration::from_secs(60);
    snooping.hear(3, &join(1, 0, groups()[0], Version::Second), now);
    snooping.take_actions();
    snooping.hear(3, &leave(1, 0, groups()[0], Version::Second), now);
    assert!(receivers(&snooping, &stream).contains(&3));
    assert!(matches!(snooping.take_actions()[..], [Action::Send(To::Port(3), _)]));
}

#[test]
fn over_the_bound_a_port_gets_all_groups_and_whoever_has_most_gives_way() {
    let start = Instant::now();
    let mut snooping = asking(64, PORTS, start);
    let mut now = pass(&mut snooping, start, 60);
    let of = |port: usize, number: u8| {
        IpAddr::from([239, 1, u8::try_from(port).expect("small"), number])
    };
    let fill = |snooping: &mut Snooping, port: usize, count: u8, now| {
        snooping.take_actions();
        for number in 0..count {
            snooping.hear(port, &join(1, 0, of(port, number), Version::Third), now);
        }
        let counted = snooping.take_actions();
        counted
            .iter()
            .filter_map(|one| match one {
                Action::Count(at, Incident::GroupOverflow) => Some(*at),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    let unknown = packet(0, groups()[0]);
    assert_eq!(fill(&mut snooping, 0, 16, now), Vec::<usize>::new());
    assert_eq!(receivers(&snooping, &unknown), BTreeSet::new());
    // A quarter is a holder's part.
    assert_eq!(fill(&mut snooping, 1, 200, now), [1], "once");
    assert_eq!(receivers(&snooping, &unknown), BTreeSet::from([1]));
    assert_eq!(snooping.count().0, 16, "what it gets anyhow takes no room");
    now = pass(&mut snooping, now, 265);
    assert_eq!(receivers(&snooping, &unknown), BTreeSet::from([1]), "its hosts are asked first");
    assert!(snooping.take_actions().iter().any(|one| matches!(one, Action::Send(To::Port(1), _))));
    now = pass(&mut snooping, now, 20);
    assert_eq!(receivers(&snooping, &unknown), BTreeSet::new());
    // All is full: of those who have most one gives way to who has less.
    snooping.set_capacity(40);
    for (port, count) in [(0, 10), (1, 10), (2, 10), (3, 9)] {
        assert_eq!(fill(&mut snooping, port, count, now), Vec::<usize>::new());
    }
    assert_eq!(fill(&mut snooping, 3, 10, now), Vec::<usize>::new());
    snooping.set_port(4, PortOptions::default(), 4, true, now);
    assert_eq!(fill(&mut snooping, 4, 1, now), [3]);
    assert_eq!(snooping.count(), (31, 40));
}

#[test]
fn networks_are_bounded_and_nothing_is_pruned_where_there_is_no_room() {
    let start = Instant::now();
    let mut snooping = snooping(64, 2, start);
    for vid in 1..4000 {
        snooping.hear(0, &query(5, vid, Family::V4, None), start);
    }
    assert_eq!(snooping.networks.len(), NETWORKS);
    pass(&mut snooping, start, 12);
    assert_eq!(receivers(&snooping, &packet(1, groups()[0])), BTreeSet::from([0]));
    assert_eq!(receivers(&snooping, &packet(3999, groups()[0])), all());
}

#[test]
fn a_port_that_comes_up_is_asked_and_gets_all_until_its_hosts_have_answered() {
    let start = Instant::now();
    let mut snooping = snooping(64, 2, start);
    let asked = query(5, 0, Family::V4, None);
    snooping.hear(0, &asked, start);
    let now = pass(&mut snooping, start, 60);
    snooping.take_actions();
    snooping.set_port(2, PortOptions::default(), 2, true, now);
    assert_eq!(snooping.take_actions(), [Action::Send(To::Port(2), asked.clone())], "in its name");
    let stream = packet(0, groups()[0]);
    assert_eq!(receivers(&snooping, &stream), BTreeSet::from([0, 2]));
    let now = pass(&mut snooping, now, 12);
    assert_eq!(receivers(&snooping, &stream), BTreeSet::from([0]));
    snooping.topology_changed(now);
    assert_eq!(snooping.take_actions(), [Action::Send(To::AllBut(Some(0)), asked)]);
    assert_eq!(receivers(&snooping, &stream), BTreeSet::from([0, 1, 2]));
}

#[test]
fn the_database_is_listed_page_by_page() {
    let start = Instant::now();
    let mut snooping = asking(4096, 3, start);
    snooping.hear(2, &query(5, 0, Family::V4, None), start);
    let now = pass(&mut snooping, start, 20);
    for number in 0..600u16 {
        let [a, b] = number.to_be_bytes();
        for port in 0..2 {
            snooping.hear(port, &join(1, 0, [239, 1, a, b].into(), Version::Third), now);
        }
    }
    let (mut after, mut entries, mut pages) = (None, Vec::new(), 0);
    loop {
        let (page, next) = snooping.page(after, now, |_| true);
        entries.extend(page);
        (after, pages) = (next, pages + 1);
        if after.is_none() {
            break;
        }
    }
    assert_eq!((entries.len(), pages), (602, 2));
    let shown =
        |at: usize| (entries[at].group.to_string(), entries[at].ports.len(), entries[at].querier);
    let querier =
        MdbQuerier { address: group("192.0.2.5"), port: Some(2), age: Duration::from_secs(20) };
    assert_eq!(shown(0), ("224.0.0.0".to_owned(), 1, Some(querier)));
    assert_eq!(shown(1), ("239.1.0.0".to_owned(), 2, None));
    let own = MdbQuerier { address: group("fe80::fc00:ff:fe00:9"), port: None, ..querier };
    assert_eq!(shown(601), ("ff00::".to_owned(), 0, Some(own)));
    let member = MdbPort { port: 1, state: MdbState::Temp, left: Some(Duration::from_secs(260)) };
    assert_eq!(entries[1].ports[1], member);
    let one = snooping.page(None, now, |(_, of)| of == group("239.1.0.7")).0;
    assert_eq!(one.len(), 1);
}

#[test]
fn a_thousand_ports_in_a_thousand_groups_take_less_than_40_mb() {
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        let pages: usize = statm.split(' ').nth(1).expect("a number").parse().expect("a number");
        pages * 4096
    };
    let start = Instant::now();
    let mut snooping = Snooping::new(MAC, DEFAULT_GROUPS, start);
    let reports: Vec<_> = (0..10u8)
        .map(|third| {
            let mut body = vec![0x22, 0, 0, 0, 0, 0, 0, 100];
            (0..100).for_each(|last| body.extend([4, 0, 0, 0, 239, 1, third, last]));
            message(1, 0, group("224.0.0.22"), body)
        })
        .collect();
    let before = resident();
    for at in 0..1000 {
        // All of one holder: a quarter of all groups is enough.
        snooping.set_port(at, PortOptions::default(), 0, true, start);
        for report in &reports {
            snooping.hear(at, report, start);
        }
    }
    let taken = resident() - before;
    println!("1,000 groups with 1,000 ports each: {} octets", taken);
    assert_eq!(snooping.count().0, 1000);
    let Audience::Everybody = snooping.audience(&packet(0, group("239.1.3.7"))) else {
        panic!("nobody asks");
    };
    assert!(taken < 40_000_000, "{taken}");
}

#[test]
fn more_hosts_than_are_told_apart_are_asked() {
    let start = Instant::now();
    let mut snooping = asking(64, 1, start);
    let options = PortOptions { fast_leave: true, ..PortOptions::default() };
    snooping.set_port(0, options, 0, true, start);
    for count in [32, 33] {
        for one in 1..=count {
            snooping.hear(0, &join(one, 0, groups()[0], Version::Third), start);
        }
        for one in 1..=count {
            snooping.hear(0, &leave(one, 0, groups()[0], Version::Third), start);
        }
        assert_eq!(snooping.count().0, usize::from(count > 32), "{count}");
    }
}

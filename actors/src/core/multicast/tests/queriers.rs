//! Who asks, and what becomes of members where somebody else does.

use super::*;

#[test]
fn members_last_as_long_as_the_queriers_interval_wants_it_and_new_ports_as_its_hosts_may_take() {
    let start = Instant::now();
    let mut snooping = snooping(64, PORTS, start);
    // IGMPv3: 20 s to answer, robustness 2, each 250 s.
    let body = vec![0x11, 0x94, 0, 0, 0, 0, 0, 0, 2, 0x8f, 0, 0];
    let Heard::Query(asked) = read(&message(5, 0, group("224.0.0.1"), body.clone())) else {
        panic!("a query");
    };
    assert_eq!((asked.response, asked.lasts), (320, 2 * 2480 + 320));
    snooping.hear(0, &message(5, 0, group("224.0.0.1"), body), start);
    let now = pass(&mut snooping, start, 60);
    snooping.hear(1, &join(1, 0, groups()[0], Version::Third), now);
    snooping.set_port(4, PortOptions::default(), 4, true, now);
    let now = pass(&mut snooping, now, 400);
    let entries = snooping.page(None, now, |_| true).0;
    assert_eq!(entries[1].ports[0].left, Some(Duration::from_secs(528 - 400)));
    // From a querier whose question is not known a port that comes up hears it first.
    let mut long = vec![0x11, 100, 0, 0, 0, 0, 0, 0, 2, 125, 0, 20];
    long.extend([9; 160]);
    snooping.hear(0, &message(4, 0, group("224.0.0.1"), long), now);
    snooping.take_actions();
    snooping.set_port(5, PortOptions::default(), 5, true, now);
    assert_eq!(snooping.take_actions(), []);
    let now = pass(&mut snooping, now, 250);
    let everything = snooping.audience(&packet(0, groups()[1]));
    assert_eq!(everything.word(0) >> 5 & 1, 1, "{now:?}");
}

#[test]
fn the_querier_asks_twice_at_first_then_each_125_seconds_and_yields_to_another() {
    let start = Instant::now();
    let mut snooping = snooping(64, 2, start);
    snooping.set_querier([Vid::UNTAGGED].into_iter(), start);
    let asked = |snooping: &mut Snooping, from: u64, seconds: u64| -> Vec<u64> {
        snooping.take_actions();
        let mut times = Vec::new();
        let end = start + Duration::from_secs(from + seconds);
        while let Some(due) = snooping.wakes().filter(|due| *due <= end) {
            snooping.look(due);
            let sent = snooping.take_actions();
            let general = |one: &&Action| matches!(one, Action::Send(To::AllBut(None), _));
            let count = sent.iter().filter(general).count();
            times.extend(vec![due.duration_since(start).as_secs(); count]);
        }
        times
    };
    assert_eq!(asked(&mut snooping, 0, 200), [0, 0, 31, 31, 156, 156]);
    // A router asks for IPv4; and one for IPv6 whose address is higher than ours.
    let now = start + Duration::from_secs(200);
    snooping.hear(1, &query(5, 0, Family::V4, None), now);
    snooping.hear(0, &mld::query(MacAddr([0xfc, 1, 0, 0, 0, 9]), Vid::UNTAGGED, None, 100), now);
    assert_eq!(asked(&mut snooping, 200, 200), [281]);
    assert_eq!(asked(&mut snooping, 400, 100), [406, 455, 486], "it is gone after 255 s");
}

#[test]
fn a_querier_without_an_address_is_one_only_while_no_other_is() {
    let start = Instant::now();
    let mut snooping = snooping(64, PORTS, start);
    let nobody = || igmp::query(host(9), Vid::UNTAGGED, None, 100);
    snooping.hear(1, &nobody(), start);
    let now = pass(&mut snooping, start, 12);
    let stream = packet(0, groups()[0]);
    assert_eq!(receivers(&snooping, &stream), BTreeSet::from([1]), "it hears what is sent");
    snooping.hear(2, &query(5, 0, Family::V4, None), now);
    let mut now = now;
    for _ in 0..3 {
        now = pass(&mut snooping, now, 100);
        snooping.hear(1, &nobody(), now);
        snooping.hear(2, &query(5, 0, Family::V4, None), now);
    }
    assert_eq!(receivers(&snooping, &stream), BTreeSet::from([2]), "a switch that repeats");
    pass(&mut snooping, now, 300);
    assert_eq!(receivers(&snooping, &stream), all(), "nobody asks any more");
}

#[test]
fn own_queries_are_read_as_what_they_are() {
    for vid in [0, 7].map(Vid::from_tci) {
        for about in [None, Some(groups()[0])] {
            let of = about.map(|group| match group {
                IpAddr::V4(group) => group,
                IpAddr::V6(_) => unreachable!(),
            });
            let frame = igmp::query(MAC, vid, of, 100);
            let Heard::Query(query) = read(&frame) else { panic!("{:?}", read(&frame)) };
            assert_eq!((query.group, query.response, query.lasts), (about, 100, 2600));
            assert!(query.source.is_unspecified());
            assert_eq!(frame.vlan().map(|(vid, _)| vid), Some(vid));
            // The checksum of the IPv4 header.
            let header = &frame.data()[14..38];
            assert_eq!(fold(sum(header)), 0xffff);
        }
        for about in [None, Some(groups()[2])] {
            let of = about.map(|group| match group {
                IpAddr::V6(group) => group,
                IpAddr::V4(_) => unreachable!(),
            });
            let frame = mld::query(MAC, vid, of, 10);
            let Heard::Query(query) = read(&frame) else { panic!("{:?}", read(&frame)) };
            assert_eq!((query.group, query.response), (about, 10));
            assert_eq!(query.source, group("fe80::fc00:ff:fe00:9"));
        }
    }
}

/// A stranger with the lowest address asks once, and says of himself whatever he likes. Hosts answer
/// what all of them hear, and do so soon.
#[test]
fn a_querier_that_falls_silent_cuts_nobody_off() {
    for (to, response, interval) in [
        ("224.0.0.1", 100, 255),
        ("224.0.0.1", 255, 255),
        ("239.99.99.99", 100, 255),
        ("224.0.0.1", 100, 1),
    ] {
        let start = Instant::now();
        let mut snooping = asking(64, PORTS, start);
        let (mut now, wanted) = (pass(&mut snooping, start, 20), groups()[0]);
        let mut last = 0;
        for second in 0..1000 {
            let asks = |frame: &Frame| matches!(read(frame), Heard::Query(query) if query.group.is_none() && query.source.is_ipv4());
            let actions = snooping.take_actions();
            let own = actions.iter().any(|one| matches!(one, Action::Send(_, one) if asks(one)));
            let body = vec![0x11, response, 0, 0, 0, 0, 0, 0, 2, interval, 0, 0];
            let theirs = message(5, 0, group(to), body);
            if second == 100 {
                snooping.hear(0, &theirs, now);
            }
            let is_asked = to == "224.0.0.1" && response < 255 && second == 110;
            if own || is_asked || second == 0 {
                snooping.hear(1, &join(1, 0, wanted, Version::Third), now);
                last = if own { second } else { last };
            }
            let receivers = match snooping.audience(&packet(0, wanted)) {
                Audience::Everybody => true,
                audience => audience.word(0) & 2 != 0,
            };
            assert!(receivers, "{to} {response} {interval}: second {second}");
            assert!(second - last <= 100 + 260, "nobody asks: second {second}");
            now = pass(&mut snooping, now, 1);
        }
    }
}

use super::*;

const AGING: Duration = Duration::from_secs(10);

fn port(number: u32) -> PortNumber {
    PortNumber::new(number).expect("ports count from 1")
}

fn mac(station: u32) -> MacAddr {
    let [a, b, c, d] = station.to_be_bytes();
    MacAddr([2, 0, a, b, c, d])
}

fn seen(fdb: &mut Fdb, station: u32, number: u32, now: Instant) -> Learned {
    fdb.learn(Vid::UNTAGGED, mac(station), port(number), now)
}

#[test]
fn one_port_cannot_fill_the_table_and_what_ages_makes_room() {
    let (mut fdb, now) = (Fdb::new(AGING, 5).with_max_macs(3), Instant::now());
    assert!((0..3).all(|station| seen(&mut fdb, station, 1, now) == Learned::New));
    assert_eq!(seen(&mut fdb, 3, 1, now), Learned::PortFull);
    assert!((4..6).all(|station| seen(&mut fdb, station, 2, now) == Learned::New));
    assert_eq!(seen(&mut fdb, 6, 2, now), Learned::Full);
    assert_eq!(seen(&mut fdb, 0, 1, now), Learned::Refreshed, "what is known stays");
    assert_eq!(seen(&mut fdb, 4, 1, now), Learned::PortFull, "nor may one move there");
    assert_eq!(fdb.macs(port(1)), (3, 3));
    fdb.set_max_macs(port(1), 4);
    assert_eq!(seen(&mut fdb, 4, 1, now), Learned::Moved(port(2)));
    assert_eq!((fdb.macs(port(1)), fdb.macs(port(2))), ((4, 4), (1, 3)));
    let later = now + AGING + Duration::from_secs(1);
    assert_eq!(seen(&mut fdb, 7, 2, later), Learned::New, "all others have aged");
    assert_eq!((fdb.macs(port(1)).0, fdb.macs(port(2)).0), (0, 1));
}

#[test]
fn ports_of_an_owner_have_a_bound_together() {
    let (mut fdb, now) = (Fdb::new(AGING, 100).with_max_macs(3), Instant::now());
    (1..=2).for_each(|number| fdb.set_owner(port(number), Owner::Holder(5)));
    for station in 0..3 {
        assert_eq!(seen(&mut fdb, station, 1 + station % 2, now), Learned::New);
    }
    assert_eq!(seen(&mut fdb, 3, 2, now), Learned::PortFull);
    assert_eq!(seen(&mut fdb, 0, 2, now), Learned::Moved(port(1)), "it is his already");
    assert_eq!(seen(&mut fdb, 4, 3, now), Learned::New);
    assert_eq!(seen(&mut fdb, 4, 1, now), Learned::PortFull, "another's is not");
    assert_eq!((fdb.macs(port(1)).0, fdb.macs(port(2)).0), (1, 2));
    assert_eq!(fdb.most(), Some((Owner::Holder(5), 3)));
    fdb.remove_port(port(2));
    assert_eq!(seen(&mut fdb, 5, 1, now), Learned::New);
}

#[test]
fn a_full_table_takes_from_whoever_has_most_and_from_nobody_else() {
    let (mut fdb, mut now) = (Fdb::new(AGING, 1600), Instant::now());
    // Two sessions of one attacker, one of another, and somebody with a few stations.
    (1..=2).for_each(|number| fdb.set_owner(port(number), Owner::Holder(0)));
    (0..50).for_each(|station| assert_eq!(seen(&mut fdb, station, 4, now), Learned::New));
    let flood = |fdb: &mut Fdb, from: u32, now: &mut Instant| {
        (0..1600).for_each(|n| {
            *now += Duration::from_micros(1);
            seen(fdb, from + n, 1 + n % 3, *now);
        });
    };
    flood(&mut fdb, 10_000, &mut now);
    assert_eq!(fdb.learned().0, 1500, "a sixteenth is left to others");
    let of_most = fdb.macs(port(1)).0 + fdb.macs(port(2)).0;
    assert!(of_most > 900 && fdb.most() == Some((Owner::Holder(0), of_most)));
    for newcomer in 100..200 {
        assert_eq!(seen(&mut fdb, newcomer, 5, now), Learned::New, "{newcomer}");
    }
    // Now it is full: who has most loses what he has not used for longest, and gets
    // nothing of it back, whatever he sends.
    now += MIN_COLLECT_INTERVAL;
    for newcomer in 200..300 {
        flood(&mut fdb, 20_000 + newcomer * 2000, &mut now);
        assert_eq!(seen(&mut fdb, newcomer, 5, now), Learned::New, "{newcomer}");
    }
    assert_eq!((fdb.macs(port(4)).0, fdb.macs(port(5)).0), (50, 200));
    assert_eq!(fdb.macs(port(1)).0 + fdb.macs(port(2)).0, of_most - 100);
    assert_eq!(fdb.lookup(Vid::UNTAGGED, mac(10_000), now), None, "the oldest");
    // Where all have the same, nobody gives.
    let mut even = Fdb::new(AGING, 4);
    (0..4).for_each(|n| assert_eq!(seen(&mut even, n, n + 1, now), Learned::New));
    assert_eq!(seen(&mut even, 4, 5, now), Learned::Full);
}

#[test]
fn what_ages_is_told_of_once_wherever_it_is_found() {
    let (mut fdb, start) = (Fdb::new(AGING, 2), Instant::now());
    let late = start + AGING + Duration::from_secs(1);
    let aged = |station, number| Aged { vid: Vid::UNTAGGED, mac: mac(station), port: port(number) };
    seen(&mut fdb, 1, 1, start);
    seen(&mut fdb, 2, 1, start);
    fdb.add_static(Vid::UNTAGGED, mac(9), port(1), start).expect("there is room");
    assert_eq!(fdb.take_aged(), []);
    assert_eq!(seen(&mut fdb, 1, 2, late), Learned::New);
    assert_eq!(fdb.take_aged(), [aged(1, 1)], "it was behind another port");
    fdb.collect(late);
    fdb.collect(late);
    assert_eq!((fdb.take_aged(), fdb.take_aged()), (vec![aged(2, 1)], vec![]));
    let later = late + AGING + Duration::from_secs(1);
    seen(&mut fdb, 3, 1, late);
    assert_eq!(seen(&mut fdb, 4, 1, later), Learned::New, "a full table is collected");
    assert_eq!(fdb.take_aged().len(), 2);
    fdb.remove_port(port(1));
    assert_eq!(fdb.take_aged(), [], "what goes with its port has not aged");
}

#[test]
fn a_static_entry_neither_moves_nor_ages_and_goes_with_its_port() {
    let (mut fdb, now) = (Fdb::new(AGING, 1), Instant::now());
    seen(&mut fdb, 1, 1, now);
    fdb.add_static(Vid::UNTAGGED, mac(1), port(2), now).expect("there is room");
    assert_eq!(fdb.macs(port(1)).0, 0, "it is learned no more");
    assert_eq!(seen(&mut fdb, 1, 1, now), Learned::Static(port(2)));
    assert_eq!(seen(&mut fdb, 1, 2, now), Learned::Refreshed);
    assert_eq!(seen(&mut fdb, 2, 1, now), Learned::New, "it takes no room from the learned");
    let later = now + 2 * AGING;
    fdb.collect(later);
    fdb.flush_port(port(2));
    assert_eq!(fdb.lookup(Vid::UNTAGGED, mac(1), later), Some(port(2)));
    fdb.remove_port(port(2));
    assert_eq!(fdb.entries(later).count(), 0);
}

#[test]
fn pages_are_bounded_and_show_each_entry_that_stays_once() {
    let (mut fdb, now) = (Fdb::new(AGING, 10_000).with_max_macs(10_000), Instant::now());
    let count = 5 * u32::try_from(PAGE).expect("small") / 2;
    (0..count).for_each(|station| assert_eq!(seen(&mut fdb, station, 1, now), Learned::New));
    let (mut stations, mut next) = (Vec::new(), Some(0));
    while let Some(page) = next {
        let (entries, after) = fdb.page(page, FdbFilter::default(), now);
        assert!(entries.len() <= PAGE);
        stations.extend(entries.into_iter().map(|(_, mac, _)| mac));
        next = after;
        // Others come and go meanwhile.
        let other = 1_000_000 + u32::try_from(page).expect("small");
        seen(&mut fdb, other, 2, now);
        fdb.remove(Vid::UNTAGGED, mac(other));
    }
    stations.retain(|one| *one < mac(1_000_000));
    stations.sort_unstable();
    assert!(stations.into_iter().eq((0..count).map(mac)));
    let filter = FdbFilter { port: Some(port(2)), ..FdbFilter::default() };
    assert_eq!(fdb.page(0, filter, now), (vec![], Some(1)), "what is looked at is bounded");
    assert_eq!(fdb.page(usize::MAX, filter, now), (vec![], None));
}

#[test]
fn static_entries_are_bounded_and_never_groups() {
    let (mut fdb, now) = (Fdb::new(AGING, 1), Instant::now());
    let mut add = |mac| fdb.add_static(Vid::UNTAGGED, mac, port(1), now);
    for station in 0..4096 {
        add(mac(station)).expect("there is room");
    }
    assert_eq!(add(mac(5000)), Err(FdbError::TooManyStatic));
    add(mac(7)).expect("it is one already");
    assert_eq!(add(MacAddr::BROADCAST), Err(FdbError::GroupAddress(MacAddr::BROADCAST)));
    assert!(fdb.remove(Vid::UNTAGGED, mac(7)).is_some());
    assert!(fdb.remove(Vid::UNTAGGED, mac(7)).is_none());
}

#[test]
fn an_address_that_flaps_stays_where_it_was() {
    let (mut fdb, now) = (Fdb::new(AGING, 5), Instant::now());
    seen(&mut fdb, 1, 2, now);
    let moves: Vec<_> = (0..8).map(|n| seen(&mut fdb, 1, 1 + n % 2, now)).collect();
    assert!(moves[..5].iter().all(|learned| matches!(learned, Learned::Moved(_))), "{moves:?}");
    assert_eq!(
        moves[5..],
        [Learned::Flaps(port(2)), Learned::Pinned(port(2)), Learned::Refreshed],
        "where it was before"
    );
    let later = now + Duration::from_secs(1);
    assert_eq!(seen(&mut fdb, 1, 1, later), Learned::Moved(port(2)), "it is silent there");
}

#[test]
fn who_sends_ten_frames_a_second_in_a_stations_name_does_not_have_it_pinned_to_himself() {
    let (mut fdb, start) = (Fdb::new(AGING, 5), Instant::now());
    let mut at_home = 0;
    for ms in 0..60_000 {
        let now = start + Duration::from_millis(ms);
        if ms % 50 == 0 {
            seen(&mut fdb, 1, 1, now);
        }
        if ms % 100 == 30 {
            seen(&mut fdb, 1, 2, now);
        }
        at_home += u32::from(fdb.lookup(Vid::UNTAGGED, mac(1), now) == Some(port(1)));
    }
    assert!(at_home > 57_000, "{at_home} of 60,000 ms");
}

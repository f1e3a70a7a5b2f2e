use std::{collections::HashSet, net::IpAddr};

use proptest::prelude::*;

use super::{
    super::{fdb::DEFAULT_CAPACITY, frame::Vid},
    *,
};

fn key(last: u8) -> Key {
    (Vid::UNTAGGED, IpAddr::from([192, 0, 2, last]))
}

fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

#[derive(Debug, Clone)]
enum Step {
    Hear { ip: u8, who: u8, anycast: bool },
    Live(u8, bool),
    Wait(u64),
    Collect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..3, 0u8..3, prop::bool::weighted(0.1))
            .prop_map(|(ip, who, anycast)| Step::Hear { ip, who, anycast }),
        2 => (0u8..3, any::<bool>()).prop_map(|(who, lives)| Step::Live(who, lives)),
        4 => prop_oneof![Just(1u64), Just(4), Just(200), Just(400)].prop_map(Step::Wait),
        1 => Just(Step::Collect),
    ]
}

proptest! {
    /// Held against a list of all that was ever said: who is answered has said so last, and not
    /// long ago; a station that was there and has said so within [`CONFIRM`] was not replaced.
    #[test]
    fn who_is_answered_has_said_so_last_and_no_living_station_is_replaced_at_once(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let (mut now, holder) = (Instant::now(), Arc::from("port"));
        let mut neighbors = Neighbors::new(64);
        let mut dead = HashSet::new();
        let mut said: Vec<(u8, u8, bool, Instant)> = Vec::new();
        let mut known: HashMap<u8, (u8, Instant)> = HashMap::new();
        for step in steps {
            match step {
                Step::Hear { ip, who, anycast } => {
                    said.push((ip, who, anycast, now));
                    // It takes back what it has said, or what one that is gone has.
                    known.retain(|of, (by, _)| {
                        !(anycast && *of == ip && (*by == who || dead.contains(by)))
                    });
                    let kind = (!anycast).then_some(BindingType::Heard);
                    let is_alive = |mac: MacAddr| !dead.contains(&mac.0[5]);
                    neighbors.hear(key(ip), (mac(who), &holder), kind, is_alive, now);
                }
                Step::Live(who, true) => _ = dead.remove(&who),
                Step::Live(who, false) => _ = dead.insert(who),
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
                Step::Collect => neighbors.collect(now),
            }
            for ip in 0..3 {
                let Some(answered) = neighbors.get(key(ip), now) else { continue };
                let last = said.iter().rfind(|one| one.0 == ip).expect("somebody has said so");
                let who = answered.mac.0[5];
                prop_assert_eq!((who, false), (last.1, last.2));
                prop_assert!(now - last.3 < AGE);
                if let Some((before, at)) = known.insert(ip, (who, now))
                    && before != who
                    && !dead.contains(&before)
                {
                    prop_assert!(now - at >= CONFIRM, "{} was there", before);
                }
            }
        }
    }
}

#[test]
fn a_station_that_is_there_still_keeps_its_address_and_one_that_is_gone_loses_it() {
    let (start, holder) = (Instant::now(), Arc::from("port"));
    let mut neighbors = Neighbors::new(64);
    let mut hear = |who: u8, lives: bool, seconds: u64| {
        let (now, kind) = (start + Duration::from_secs(seconds), Some(BindingType::Heard));
        let news = neighbors.hear(key(7), (mac(who), &holder), kind, |_| lives, now);
        (news, neighbors.get(key(7), now).map(|known| known.mac.0[5]))
    };
    assert_eq!(hear(1, true, 0), (News::Nothing, Some(1)));
    // The first is asked, and nobody is answered meanwhile.
    assert_eq!(hear(2, true, 1), (News::Disputed(mac(1)), None));
    assert_eq!(hear(2, true, 2), (News::Nothing, None));
    assert_eq!(hear(1, false, 2), (News::Nothing, Some(1)), "the other has gone");
    // It says nothing the next time.
    assert_eq!(hear(2, true, 10), (News::Disputed(mac(1)), None));
    assert_eq!(hear(2, true, 13), (News::Nothing, Some(2)));
    // Of one that is gone nothing is asked.
    assert_eq!(hear(1, false, 14), (News::Nothing, Some(1)));
    assert_eq!(hear(1, true, 313), (News::Nothing, Some(1)));
    assert_eq!(neighbors.get(key(7), start + Duration::from_secs(613)), None, "it is old");
}

#[test]
fn an_address_that_two_have_is_nobodys_for_long_and_that_is_told_once() {
    let (start, holder) = (Instant::now(), Arc::from("port"));
    let mut neighbors = Neighbors::new(64);
    let mut told = Vec::new();
    for n in 0..190u64 {
        let now = start + Duration::from_millis(n * 1000);
        let station = (mac(u8::try_from(n % 2).expect("a digit")), &holder);
        let kind = Some(BindingType::Heard);
        if let News::Duplicate(mac) = neighbors.hear(key(7), station, kind, |_| true, now) {
            told.push((n, mac.0[5]));
        }
        assert!(n == 0 || neighbors.get(key(7), now).is_none(), "{n}");
    }
    assert_eq!(told, [(2, 1)]);
}

#[test]
fn a_holders_part_is_four_thousand_stations_of_less_than_a_hundred_octets_each() {
    let (now, holder) = (Instant::now(), Arc::from("uplink"));
    let mut neighbors = Neighbors::new(DEFAULT_CAPACITY);
    for number in 0..4096u32 {
        let [.., high, low] = number.to_be_bytes();
        let key = (Vid::UNTAGGED, IpAddr::from([10, 0, high, low]));
        let station = (MacAddr([2, 0, 0, 0, high, low]), &holder);
        let heard = neighbors.hear(key, station, Some(BindingType::Heard), |_| true, now);
        assert_eq!(heard, News::Nothing);
    }
    assert_eq!(neighbors.all().count().0, 4096);
    // Nodes of a tree are half full at worst.
    assert!(size_of::<(Key, Binding)>() <= 80);
}

#[test]
fn no_holder_fills_the_table_nor_watches_for_duplicates_for_all() {
    let now = Instant::now();
    let mut neighbors = Neighbors::new(64 * PART);
    let [one, two] = ["one", "two"].map(Arc::<str>::from);
    let kind = Some(BindingType::Heard);
    let key = |number: u32| (Vid::UNTAGGED, IpAddr::from(number.to_be_bytes()));
    let mut hear =
        |number, who, holder| neighbors.hear(key(number), (mac(who), holder), kind, |_| true, now);
    for number in 0..64 {
        assert_eq!(hear(number, 1, &one), News::Nothing);
    }
    assert_eq!(hear(64, 1, &one), News::Nothing, "for one that ends first");
    assert_eq!(hear(65, 1, &one), News::Full);
    assert_eq!(hear(65, 1, &two), News::Nothing);
    for number in 1..65 {
        assert_eq!(hear(number, 2, &two), News::Disputed(mac(1)));
    }
    assert_eq!((neighbors.disputes.len(), neighbors.all().count()), (64, (65, 1024)));
    neighbors.collect(now + WINDOW);
    assert_eq!((neighbors.disputes.len(), neighbors.all().count().0), (0, 1));
    neighbors.clear();
    assert!(neighbors.is_empty());
    assert_eq!(neighbors.all().count(), (0, 1024));
}

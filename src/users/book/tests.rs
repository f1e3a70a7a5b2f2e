use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};

use super::*;

const NOW: i64 = 1_800_000_000;

fn pool(network: &str) -> Pool {
    let network: IpNet = network.parse().unwrap();
    Pool { network: Some(network), taken: network.hosts().take(1).collect() }
}

fn terms(uses: u32) -> Terms {
    Terms { until: NOW + 60, uses, ..Terms::default() }
}

fn address(book: &Book, name: &str) -> Option<String> {
    book.user(name).and_then(|user| user.address).map(|address| address.to_string())
}

#[test]
fn an_invitation_is_used_once_in_time_and_by_the_key_that_came_first() {
    let (mut book, pool) = (Book::default(), pool("10.99.0.0/24"));
    book.invite("alice", "s".into(), &terms(1), &pool, NOW).unwrap();
    assert_eq!(address(&book, "alice").as_deref(), Some("10.99.0.2/24"));
    let redeem = |book: &mut Book, secret, key, now| book.redeem(secret, key, false, &pool, now);
    assert_eq!(redeem(&mut book, "x", "k1", NOW), Err(NoEntry::Unknown));
    assert_eq!(redeem(&mut book, "s", "k1", NOW + 60), Err(NoEntry::Expired));
    assert_eq!(redeem(&mut book, "s", "k1", NOW + 59), Ok("alice".to_owned()));
    assert_eq!(redeem(&mut book, "s", "k2", NOW + 59), Err(NoEntry::Used));
    assert_eq!(redeem(&mut book, "s", "k1", NOW + 59), Ok("alice".to_owned()), "it was lost");
    assert_eq!(redeem(&mut book, "t", "k1", NOW + 59), Err(NoEntry::KeyTaken));
    assert_eq!(
        book.of_key("k1").map(|(name, user)| (name, user.state(NOW))),
        Some(("alice", State::Active))
    );
    book.revoke("alice", NOW).unwrap();
    assert_eq!(redeem(&mut book, "s", "k1", NOW + 59), Err(NoEntry::Revoked));
    assert_eq!(redeem(&mut book, "s", "k2", NOW + 59), Err(NoEntry::Revoked));
}

#[test]
fn who_was_revoked_is_invited_again_with_another_key() {
    let (mut book, pool) = (Book::default(), pool("10.99.0.0/24"));
    book.invite("alice", "s".into(), &terms(1), &pool, NOW).unwrap();
    let again = book.invite("alice", "t".into(), &terms(1), &pool, NOW);
    assert_eq!(again, Err(BookError::Exists("alice".to_owned(), State::Invited)));
    book.redeem("s", "k1", false, &pool, NOW).unwrap();
    book.revoke("alice", NOW).unwrap();
    assert!(book.is_revoked("alice") && address(&book, "alice").is_none(), "others may have it");
    book.invite("alice", "t".into(), &terms(1), &pool, NOW).unwrap();
    assert!(book.of_key("k1").is_none());
    assert_eq!(book.redeem("t", "k1", false, &pool, NOW), Ok("alice".to_owned()));
    assert!(!book.is_revoked("alice"));
}

#[test]
fn a_password_of_who_was_revoked_is_no_way_in_before_the_invitation_was_used() {
    let mut book = Book::default();
    book.revoke("alice", NOW).unwrap();
    book.invite("alice", "s".into(), &terms(1), &Pool::default(), NOW).unwrap();
    assert!(book.is_revoked("alice"));
    book.redeem("s", "k", false, &Pool::default(), NOW).unwrap();
    assert!(!book.is_revoked("alice"));
}

#[test]
fn the_same_key_is_certified_again_while_its_invitation_lasts_or_an_operator_thinks() {
    let (mut book, pool) = (Book::default(), Pool::default());
    book.invite("alice", "s".into(), &terms(1), &pool, NOW).unwrap();
    book.redeem("s", "k", true, &pool, NOW).unwrap();
    assert!(book.redeem("s", "k", true, &pool, NOW + 1000).is_ok(), "it waits for approval");
    book.certified("alice", NOW + 5000);
    assert_eq!(book.redeem("s", "k", true, &pool, NOW + 60), Err(NoEntry::KeyTaken));
}

#[test]
fn no_number_is_given_twice_and_who_was_revoked_does_not_come_again_by_the_same_link() {
    let (mut book, pool) = (Book::default(), Pool::default());
    book.invite("crew", "s".into(), &terms(9), &pool, NOW).unwrap();
    book.redeem("s", "k1", false, &pool, NOW).unwrap();
    book.rename("crew-1", "bob", NOW).unwrap();
    assert_eq!(book.redeem("s", "k2", false, &pool, NOW), Ok("crew-2".to_owned()));
    book.revoke("crew-2", NOW).unwrap();
    assert_eq!(book.redeem("s", "k3", false, &pool, NOW), Err(NoEntry::Revoked));
    assert_eq!(book.of_key("k1").map(|(name, _)| name), Some("bob"), "others stay");
}

#[test]
fn an_invitation_for_several_makes_a_user_of_each() {
    let (mut book, pool) = (Book::default(), pool("10.99.0.0/24"));
    book.invite("lab", "s".into(), &terms(2), &pool, NOW).unwrap();
    let names = ["k1", "k2", "k1", "k3"].map(|key| book.redeem("s", key, false, &pool, NOW));
    let own = |name: &str| Ok(name.to_owned());
    assert_eq!(names, [own("lab-1"), own("lab-2"), own("lab-1"), Err(NoEntry::Used)]);
    assert_eq!(address(&book, "lab-1").as_deref(), Some("10.99.0.2/24"));
    assert_eq!(address(&book, "lab-2").as_deref(), Some("10.99.0.3/24"));
    assert!(book.user("lab").is_none(), "it is used up");
}

#[test]
fn an_operator_approves_what_waits_and_nothing_else() {
    let (mut book, pool) = (Book::default(), Pool::default());
    book.invite("alice", "s".into(), &terms(1), &pool, NOW).unwrap();
    let wrong = BookError::NotPending("alice".to_owned(), State::Invited);
    assert_eq!(book.approve("alice", NOW), Err(wrong));
    book.redeem("s", "k", true, &pool, NOW).unwrap();
    assert_eq!(book.user("alice").unwrap().state(NOW), State::Pending);
    book.approve("alice", NOW).unwrap();
    assert_eq!(book.user("alice").unwrap().state(NOW), State::Active);
    assert_eq!(book.approve("bob", NOW), Err(BookError::Unknown("bob".to_owned())));
}

#[test]
fn a_name_goes_with_the_key_to_another() {
    let (mut book, pool) = (Book::default(), pool("10.99.0.0/24"));
    book.invite("alice", "s".into(), &terms(1), &pool, NOW).unwrap();
    book.redeem("s", "k", false, &pool, NOW).unwrap();
    book.revoke("mallory", NOW).unwrap();
    assert!(matches!(book.rename("alice", "mallory", NOW), Err(BookError::Exists(..))));
    assert!(matches!(book.rename("alice", "a b", NOW), Err(BookError::Name(_))));
    book.rename("alice", "bob", NOW).unwrap();
    assert_eq!(book.of_key("k").map(|(name, _)| name), Some("bob"));
    assert_eq!(address(&book, "bob").as_deref(), Some("10.99.0.2/24"));
    assert!(book.user("alice").is_none());
}

#[test]
fn an_address_is_one_of_the_pool_that_nobody_has() {
    let (mut book, pool) = (Book::default(), pool("192.0.2.0/30"));
    let fixed = |last: u8| Terms { address: Some([192, 0, 2, last].into()), ..terms(1) };
    for (last, why) in [(0, "not a host"), (1, "in use"), (3, "not a host"), (9, "pool")] {
        let error = book.invite("a", "s".into(), &fixed(last), &pool, NOW).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    book.invite("a", "s".into(), &fixed(2), &pool, NOW).unwrap();
    assert_eq!(address(&book, "a").as_deref(), Some("192.0.2.2/30"));
    let full = book.invite("b", "t".into(), &terms(1), &pool, NOW);
    assert_eq!(full, Err(BookError::PoolFull("192.0.2.0/30".parse().unwrap())));
    let none = book.invite("b", "t".into(), &fixed(2), &Pool::default(), NOW);
    assert_eq!(none, Err(BookError::NoPool));
    let v6: Pool = Pool { network: "2001:db8::/64".parse().ok(), taken: Vec::new() };
    book.invite("c", "u".into(), &terms(1), &v6, NOW).unwrap();
    assert_eq!(address(&book, "c").as_deref(), Some("2001:db8::1/64"));
}

#[test]
fn a_file_is_read_as_it_was_written_and_a_later_form_is_left_alone() {
    let (mut book, pool) = (Book::default(), pool("10.99.0.0/24"));
    book.invite("alice", "s".into(), &terms(1), &pool, NOW).unwrap();
    book.invite("lab", "t".into(), &terms(5), &pool, NOW).unwrap();
    book.redeem("s", "k", true, &pool, NOW).unwrap();
    let text = book.to_text();
    assert_eq!(Book::parse(text.as_bytes()).as_ref(), Ok(&book));
    let later = text.replace("\"version\": 1", "\"version\": 2");
    assert!(Book::parse(later.as_bytes()).unwrap_err().contains("version 2"));
    for damaged in ["", "{}", "[]", &text[..text.len() / 2]] {
        assert!(Book::parse(damaged.as_bytes()).is_err(), "{damaged}");
    }
}

#[test]
fn the_book_is_bounded_and_forgets_who_was_revoked_first() {
    let (mut book, pool) = (Book::default(), Pool::default());
    for n in 0..MAX_USERS {
        let (name, secret) = (format!("u{n}"), format!("s{n}"));
        book.invite(&name, secret, &terms(1), &pool, NOW + n as i64).unwrap();
    }
    assert_eq!(book.invite("more", "s".into(), &terms(1), &pool, NOW), Err(BookError::Full));
    book.redeem("s7", "k7", false, &pool, NOW).unwrap();
    book.revoke("u7", NOW).unwrap();
    book.invite("more", "s".into(), &terms(1), &pool, NOW).unwrap();
    assert!(book.user("u7").is_none() && book.of_key("k7").is_none());
}

/// What may be done to a book, with few names, secrets and keys, so that they meet.
#[derive(Debug, Clone)]
enum Step {
    Invite { name: u8, uses: u32 },
    Redeem { secret: usize, key: u8, approval: bool, later: bool },
    Approve(u8),
    Revoke(u8),
    Rename(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4u8, 1..4u32).prop_map(|(name, uses)| Step::Invite { name, uses }),
        (0..6usize, 0..5u8, any::<bool>(), prop::bool::weighted(0.1)).prop_map(
            |(secret, key, approval, later)| Step::Redeem { secret, key, approval, later }
        ),
        (0..4u8).prop_map(Step::Approve),
        (0..4u8).prop_map(Step::Revoke),
        (0..4u8, 0..4u8).prop_map(|(from, to)| Step::Rename(from, to)),
    ]
}

proptest! {
    /// However things are done: an invitation lets in as many keys as it is for, no address is
    /// two users', and a key is let in only if it was, and nobody took that back.
    #[test]
    fn nobody_is_let_in_who_was_not_invited(steps in vec(step(), 1..60)) {
        let (mut book, pool) = (Book::default(), pool("10.99.0.0/28"));
        // Uses of each invitation, by number, and the keys that it has let in.
        let mut invitations: Vec<(u32, BTreeSet<u8>)> = Vec::new();
        let mut revoked_keys: BTreeSet<u8> = BTreeSet::new();
        let name = |n: u8| format!("u{n}");
        for step in steps {
            match step {
                Step::Invite { name: n, uses } => {
                    let secret = format!("s{}", invitations.len());
                    if book.invite(&name(n), secret, &terms(uses), &pool, NOW).is_ok() {
                        invitations.push((uses, BTreeSet::new()));
                    }
                }
                Step::Redeem { secret, key, approval, later } => {
                    let now = if later { NOW + 61 } else { NOW };
                    let given = format!("s{secret}");
                    let known = book.of_key(&key.to_string()).is_some();
                    let done = book.redeem(&given, &key.to_string(), approval, &pool, now);
                    if done.is_ok() {
                        prop_assert!(secret < invitations.len(), "there is no such invitation");
                        prop_assert!(!later || known, "it has expired");
                        let (uses, keys) = &mut invitations[secret];
                        keys.insert(key);
                        prop_assert!(keys.len() <= *uses as usize, "used too often");
                        revoked_keys.remove(&key);
                    }
                }
                Step::Approve(n) => drop(book.approve(&name(n), NOW)),
                Step::Revoke(n) => {
                    let has = |key: &u8| {
                        book.of_key(&key.to_string()).is_some_and(|(own, _)| own == name(n))
                    };
                    revoked_keys.extend((0..5).filter(has));
                    book.revoke(&name(n), NOW).unwrap();
                }
                Step::Rename(from, to) => drop(book.rename(&name(from), &name(to), NOW)),
            }
            let mut addresses: Vec<_> =
                book.users().filter_map(|(_, user)| user.address).collect();
            let count = addresses.len();
            addresses.sort();
            addresses.dedup();
            prop_assert_eq!(addresses.len(), count, "an address is that of two");
            for key in 0..5u8 {
                let state = book.of_key(&key.to_string()).map(|(_, user)| user.state(NOW));
                let was_let_in = invitations.iter().any(|(_, keys)| keys.contains(&key));
                prop_assert!(state.is_none() || was_let_in);
                if revoked_keys.contains(&key) {
                    prop_assert_ne!(state, Some(State::Active), "it was revoked");
                }
            }
            let read = Book::parse(book.to_text().as_bytes());
            prop_assert_eq!(read.as_ref(), Ok(&book), "the file says the same");
        }
    }
}

use std::{fs, net::IpAddr};

use futures_util::FutureExt;
use proptest::prelude::*;
use slog::Discard;
use tempfile::TempDir;

use super::*;

/// The password of `slow` is "secret".
const FILE: &[u8] = b"alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n\
    bob:{SHA}cLzgnoJ6mP5qz3w+mwvPE2vDgu0=\n\
    empty:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n\
    slow:$2y$04$u6SsYfusOhIVIFRoLLM3meGLtkNnSfdbdnvFDRy2s8dze3oyYCH7u\n";

fn htpasswd(content: &[u8]) -> (TempDir, Arc<Htpasswd>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("htpasswd");
    fs::write(&path, content).unwrap();
    let htpasswd = Htpasswd::open(&path, &Logger::root(Discard, o!())).unwrap();
    (dir, Arc::new(htpasswd))
}

/// Reads the file again, and gives the users who are no longer in it.
fn gone(htpasswd: &Arc<Htpasswd>) -> Vec<Box<str>> {
    let way = Password(Arc::clone(htpasswd));
    let before = way.users();
    way.reload();
    before.into_iter().filter(|user| way.knows(user) == Some(false)).collect()
}

/// From an address of its own, so that failures do not add up.
fn verify(htpasswd: &Arc<Htpasswd>, value: Option<&[u8]>) -> Result<Arc<str>, Refused> {
    verify_from(htpasswd, value, None)
}

fn login_of(value: Option<&[u8]>, address: Option<IpAddr>) -> Option<Login> {
    let source = address.map_or(Source::UNIX, Source::from);
    Login::basic(value?).map(|login| Login { source, ..login })
}

fn verify_from(
    htpasswd: &Arc<Htpasswd>,
    value: Option<&[u8]>,
    address: Option<IpAddr>,
) -> Result<Arc<str>, Refused> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(htpasswd.verify(login_of(value, address)))
}

fn value(credentials: &[u8]) -> Vec<u8> {
    format!("Basic {}", hash::BASE64.encode(credentials)).into_bytes()
}

fn login(htpasswd: &Arc<Htpasswd>, credentials: &[u8]) -> Result<String, Refused> {
    verify(htpasswd, Some(&value(credentials))).map(|name| name.to_string())
}

#[test]
fn the_right_password_is_let_in_and_nothing_else() {
    let (_dir, htpasswd) = htpasswd(FILE);
    for right in [b"alice:secret".as_slice(), b"bob:a:b:c", b"empty:", b"slow:secret"] {
        // The second time it is in the cache.
        assert!(login(&htpasswd, right).is_ok(), "{}", right.escape_ascii());
        assert!(login(&htpasswd, right).is_ok(), "{}", right.escape_ascii());
    }
    for wrong in [
        b"alice:secre".as_slice(),
        b"alice:",
        b"ALICE:secret",
        b"nobody:secret",
        b":",
        b"slow:secre",
        b"\xff:secret",
    ] {
        assert_eq!(login(&htpasswd, wrong), Err(Refused::Wrong), "{}", wrong.escape_ascii());
    }
    assert_eq!(login(&htpasswd, b"alice"), Err(Refused::Malformed));
    assert_eq!(login(&htpasswd, &[b'a'; 2000]), Err(Refused::Malformed));
}

#[test]
fn header_is_read_as_rfc_7617_says() {
    let (_dir, htpasswd) = htpasswd(FILE);
    let check = |value: &str| verify(&htpasswd, Some(value.as_bytes())).map(drop);
    assert_eq!(check("Basic YWxpY2U6c2VjcmV0"), Ok(()));
    assert_eq!(check("bASIC  YWxpY2U6c2VjcmV0 "), Ok(()));
    assert_eq!(check("Basic ZW1wdHk6"), Ok(()));
    assert_eq!(check("Basic am9iOng="), Err(Refused::Wrong));
    assert_eq!(check("Basic am9iOng"), Err(Refused::Wrong), "padding may be left out");
    for malformed in ["", "Basic", "BasicYWxpY2U6c2VjcmV0", "Digest YWxpY2U6c2VjcmV0", "Basic *"] {
        assert_eq!(check(malformed), Err(Refused::Malformed), "{malformed}");
    }
}

#[test]
fn a_reload_takes_over_what_is_good_and_names_who_is_gone() {
    let (dir, htpasswd) = htpasswd(FILE);
    let path = dir.path().join("htpasswd");
    assert!(login(&htpasswd, b"alice:secret").is_ok());

    fs::write(&path, b"alice:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\nslow:plain\n").unwrap();
    assert!(gone(&htpasswd).is_empty());
    assert!(login(&htpasswd, b"alice:secret").is_ok(), "a broken file changes nothing");

    fs::write(&path, b"alice:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n").unwrap();
    let mut gone = gone(&htpasswd);
    gone.sort();
    assert_eq!(gone, ["bob".into(), "empty".into(), Box::<str>::from("slow")]);
    assert_eq!(login(&htpasswd, b"alice:secret"), Err(Refused::Wrong), "not from the cache");
    assert!(login(&htpasswd, b"alice:").is_ok());
    assert_eq!(login(&htpasswd, b"bob:a:b:c"), Err(Refused::Wrong));
}

#[test]
fn an_unreadable_file_lets_nobody_in_until_it_is_back() {
    let (dir, htpasswd) = htpasswd(FILE);
    let path = dir.path().join("htpasswd");
    assert!(login(&htpasswd, b"alice:secret").is_ok());
    fs::remove_file(&path).unwrap();
    assert!(gone(&htpasswd).is_empty());
    assert_eq!(login(&htpasswd, b"alice:secret"), Err(Refused::Unreadable));
    fs::write(&path, b"alice:nonsense").unwrap();
    htpasswd.reload();
    assert_eq!(login(&htpasswd, b"alice:secret"), Err(Refused::Unreadable));
    fs::write(&path, b"alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=").unwrap();
    assert_eq!(gone(&htpasswd).len(), 3);
    assert!(login(&htpasswd, b"alice:secret").is_ok());
}

#[test]
fn a_bad_file_is_refused_at_the_start_by_its_name() {
    let log = Logger::root(Discard, o!());
    let text = |path: &str| format!("{:#}", Htpasswd::open(Path::new(path), &log).unwrap_err());
    let missing = text("/nonexistent/htpasswd");
    assert!(missing.contains("/nonexistent/htpasswd: No such file"), "{missing}");
    assert!(text("/dev/null").contains("not a regular file"));
}

#[test]
fn guesses_end_in_too_many_for_that_address_alone() {
    let (_dir, htpasswd) = htpasswd(FILE);
    let from = |last, credentials: &[u8]| {
        let address = IpAddr::from([192, 0, 2, last]);
        verify_from(&htpasswd, Some(&value(credentials)), Some(address)).map(drop)
    };
    for _ in 0..5 {
        assert_eq!(from(1, b"alice:guess"), Err(Refused::Wrong));
    }
    assert!(matches!(from(1, b"alice:guess"), Err(Refused::TooMany(_))));
    assert!(matches!(from(1, b"alice:secret"), Err(Refused::TooMany(_))), "right or not");
    assert_eq!(from(2, b"alice:secret"), Ok(()));
    assert!(matches!(from(1, b"alice:secret"), Err(Refused::TooMany(_))), "cached or not");
    assert_eq!(from(1, b"bob:a:b:c"), Ok(()));
}

#[test]
fn what_was_right_before_passes_the_limit_of_its_address() {
    let (_dir, htpasswd) = htpasswd(FILE);
    let address = IpAddr::from([192, 0, 2, 1]);
    let of = |credentials: &[u8], port: Option<&str>| {
        let login = login_of(Some(&value(credentials)), Some(address)).unwrap();
        let login = Login { port: port.and_then(Instance::parse), ..login };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(htpasswd.verify(Some(login))).map(drop)
    };
    let own = "7".repeat(32);
    assert_eq!(of(b"alice:secret", Some(&own)), Ok(()));
    for n in 0..20 {
        assert_eq!(of(format!("u{n}:x").as_bytes(), None), Err(Refused::Wrong));
    }
    assert!(matches!(of(b"bob:a:b:c", None), Err(Refused::TooMany(_))), "not known yet");
    assert_eq!(of(b"alice:secret", None), Ok(()));
    // It is no way to guess faster: each guess counts for the user.
    for _ in 0..5 {
        assert!(matches!(of(b"alice:guess", None), Err(Refused::TooMany(_))));
    }
    assert!(matches!(of(b"alice:secret", None), Err(Refused::TooMany(_))));
    // The client port that had it right is no guesser, and no other has its number.
    assert_eq!(of(b"alice:secret", Some(&own)), Ok(()));
    assert!(matches!(of(b"alice:guess", Some(&own)), Err(Refused::TooMany(_))));
    let other = "8".repeat(32);
    assert!(matches!(of(b"alice:secret", Some(&other)), Err(Refused::TooMany(_))));
}

#[test]
fn a_login_that_was_right_needs_no_hash_until_its_entry_changes() {
    let (dir, htpasswd) = htpasswd(FILE);
    assert!(login(&htpasswd, b"slow:secret").is_ok());
    // No hash can be computed from here on.
    htpasswd.turns.close();
    assert!(login(&htpasswd, b"slow:secret").is_ok());
    assert_eq!(login(&htpasswd, b"slow:other"), Err(Refused::Busy));
    assert_eq!(login(&htpasswd, b"nobody:secret"), Err(Refused::Busy));
    let entry = b"slow:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";
    fs::write(dir.path().join("htpasswd"), entry).unwrap();
    htpasswd.reload();
    assert_eq!(login(&htpasswd, b"slow:secret"), Err(Refused::Busy));
}

#[test]
fn logins_beyond_the_queue_are_refused() {
    let (_dir, htpasswd) = htpasswd(FILE);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let right = value(b"slow:secret");
    let (outcome, room) = runtime.block_on(async {
        // No hash begins before the last has come.
        let wait = || htpasswd.turns.wait(Source::UNIX).now_or_never().flatten();
        let held: Vec<_> = std::iter::from_fn(wait).collect();
        let room = QUEUE - held.len();
        let local = tokio::task::LocalSet::new();
        let tasks: Vec<_> = (0..4 * QUEUE)
            .map(|_| {
                let (htpasswd, right) = (Arc::clone(&htpasswd), right.clone());
                local
                    .spawn_local(async move { htpasswd.verify(login_of(Some(&right), None)).await })
            })
            .collect();
        local.spawn_local(async move { drop(held) });
        local.await;
        let mut outcome = Vec::new();
        for task in tasks {
            outcome.push(task.await.unwrap().map(drop));
        }
        (outcome, room)
    });
    let of = |wanted| outcome.iter().filter(|result| **result == wanted).count();
    assert_eq!((of(Ok(())), of(Err(Refused::Busy))), (room, 4 * QUEUE - room));
}

proptest! {
    #[test]
    fn nothing_panics_and_nobody_gets_in_by_chance(
        content in prop::collection::vec(any::<u8>(), 0..200),
        value in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        if let Ok(users) = Users::parse(&content) {
            prop_assert!(users.names().all(|name| users.contains(name)));
        }
        Login::basic(&value);
    }
}

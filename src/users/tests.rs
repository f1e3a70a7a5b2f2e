use etherws_actors::connect::Scheme;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::*;
use crate::users::ca::{BACKDATED, Request, SERVER_LIFETIME};

const NOW: i64 = 1_800_000_000;

fn options(folder: &Path, urls: &[&str]) -> UsersOptions {
    let url = |url: &&str| ServerUrl::parse(url, Scheme::WebSocket).unwrap();
    let policy = Policy {
        name: "hub".to_owned(),
        urls: urls.iter().map(url).collect(),
        public: false,
        approval: false,
        lifetime: DEFAULT_LIFETIME,
        pool: Pool { network: "10.99.0.0/24".parse().ok(), taken: Vec::new() },
        dhcp: false,
    };
    UsersOptions { folder: folder.to_owned(), policy }
}

fn facts(chain: &str) -> Facts {
    Facts::of(&CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()).unwrap()
}

#[test]
fn whoever_joins_has_a_certificate_that_lasts_and_is_that_of_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("hub");
    create(&folder, "hub", NOW).unwrap();
    let options = options(&folder, &["wss://hub.example/", "wss://192.0.2.1:8443/"]);
    let users = Users::open(&options, NOW).unwrap();
    let terms = Terms { until: NOW + 60, uses: 1, ..Terms::default() };
    let invited = users.invite("alice", &terms, NOW).unwrap();
    let link = Link::parse(&invited.link.to_string()).unwrap();
    assert_eq!((link.urls.len(), link.until), (2, NOW + 60));
    let request = Request::new(None).unwrap();
    let requested = Requested::read(&request.request).unwrap();
    let joined = users.join(&link.secret, &requested, NOW).unwrap();
    let issued = joined.issued.unwrap();
    assert_eq!((&*joined.name, joined.address.as_deref()), ("alice", Some("10.99.0.1/24")));
    let facts = facts(&issued.chain);
    assert_eq!((&*facts.subject, &*facts.issuer), ("alice", "hub"));
    assert_eq!((facts.from, facts.until), (NOW - BACKDATED, NOW + DEFAULT_LIFETIME));
    assert_eq!(renewal(facts.from, facts.until), NOW + DEFAULT_LIFETIME / 3 * 2);
    assert_eq!(users.of_key(&hash(&facts.key)).unwrap().0, "alice");
    assert_eq!(link.pin, Some(users.ca.pin()));
    let text = fs::read_to_string(folder.join(BOOK)).unwrap();
    assert!(!text.contains(&hash(b"")) && text.contains(&hash(&link.secret)), "hashes alone");

    // Another key is not certified in the name of this one.
    let other = Requested::read(&Request::new(None).unwrap().request).unwrap();
    assert!(matches!(
        users.renew("alice", &other, NOW),
        Err(ChangeError::Refused(NoEntry::Unknown))
    ));
    let again = Request::new(Some(&request.key)).unwrap();
    let again = Requested::read(&again.request).unwrap();
    let later = NOW + DEFAULT_LIFETIME / 2;
    let renewed = users.renew("alice", &again, later).unwrap().issued.unwrap();
    assert_eq!(renewed.until, later + DEFAULT_LIFETIME);
    drop(users);
    let users = Users::open(&options, NOW).unwrap();
    assert_eq!(users.list()[0].1.certificate_until(), Some(renewed.until), "it is kept");
}

#[test]
fn the_hub_certifies_itself_for_its_urls_and_again_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("hub");
    create(&folder, "hub", NOW).unwrap();
    let chain = || fs::read_to_string(folder.join(CERT)).unwrap();
    let names = || facts(&chain()).names;
    let hub = options(&folder, &["wss://192.0.2.1/"]);
    let users = Users::open(&hub, NOW).unwrap();
    assert_eq!(names(), ["192.0.2.1"]);
    assert_eq!(chain().matches("BEGIN CERTIFICATE").count(), 2, "the CA's is pinned by others");
    let due = NOW + SERVER_LIFETIME / 3 * 2;
    assert!(!users.certify_hub(due - 1).unwrap() && users.certify_hub(due).unwrap());
    users.set_policy(options(&folder, &["wss://hub.example/", "wss://[2001:db8::1]/"]).policy);
    assert!(users.certify_hub(due).unwrap() && !users.certify_hub(due).unwrap());
    assert_eq!(names(), ["hub.example", "2001:db8::1"]);
    let error = Users::open(&hub, NOW).unwrap_err().to_string();
    assert!(error.contains("a running switch"), "one hub at a time: {error}");
}

#[test]
fn a_folder_that_is_made_twice_keeps_its_keys_and_nobody_else_reads_them() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("hub");
    create(&folder, "hub", NOW).unwrap();
    let keys = || [CA_KEY, KEY].map(|name| fs::read(folder.join(name)).unwrap());
    let before = keys();
    create(&folder, "other", NOW).unwrap();
    assert_eq!(keys(), before);
    for path in [folder.clone(), folder.join(CA_KEY), folder.join(KEY)] {
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn what_cannot_be_written_has_not_been_done() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("hub");
    create(&folder, "hub", NOW).unwrap();
    let users = Users::open(&options(&folder, &["wss://192.0.2.1/"]), NOW).unwrap();
    let terms = Terms { until: NOW + 60, uses: 1, ..Terms::default() };
    users.invite("alice", &terms, NOW).unwrap();
    fs::rename(&folder, dir.path().join("gone")).unwrap();
    assert!(matches!(users.rename("alice", "bob", NOW), Err(ChangeError::System(_))));
    assert_eq!(users.list()[0].0, "alice");
    // To keep somebody out needs no disk.
    assert!(matches!(users.revoke("alice", NOW), Err(ChangeError::System(_))));
    assert!(users.is_revoked("alice"));
    fs::rename(dir.path().join("gone"), &folder).unwrap();
    users.revoke("alice", NOW).unwrap();
    assert!(fs::read_to_string(folder.join(BOOK)).unwrap().contains("\"revoked\": true"));
}

#[test]
fn a_request_that_its_key_has_not_signed_is_refused() {
    let request = Request::new(None).unwrap().request;
    let other = Request::new(None).unwrap().request;
    let lines: Vec<_> = request.lines().collect();
    let others: Vec<_> = other.lines().collect();
    let middle = lines.len() / 2;
    let mixed = [&lines[..middle], &others[middle..]].concat().join("\n");
    for wrong in ["", "-----BEGIN CERTIFICATE REQUEST-----\n", &mixed, &"x".repeat(10_000)] {
        assert!(Requested::read(wrong).is_err(), "{wrong}");
    }
}
